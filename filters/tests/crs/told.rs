//! What rules and logs make of a transaction, to be compared: with waiting and without.

use vanne_filters::waf::transaction::{Found, Interruption, Match, Shown, Still, Transaction};

/// What logs show, as far as comparing goes: `is_last` of each rule, or the first.
fn shown(is_last: bool) -> Shown<'static> {
    let is_secret = &is_secret;
    Shown { rules: 40, is_last, said_bytes: 500, name_bytes: 200, value_bytes: 100, is_secret }
}

/// A value as logs show it: variable, name, beginning, characters of it all.
type Value = (&'static str, Vec<u8>, Vec<u8>, usize);

/// What there is to tell of a rule that matched.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: u64,
    message: Vec<u8>,
    scores: [i64; 2],
    on: Option<On>,
}

/// On what it matched.
#[derive(Debug, PartialEq)]
struct On {
    data: Vec<u8>,
    shown: Option<Value>,
    is_secret: bool,
    is_hidden: bool,
}

/// What there is to tell of a transaction.
#[derive(Debug, PartialEq)]
pub(crate) struct All {
    pub(crate) told: Vec<Told>,
    interruptions: [Option<Interruption>; 2],
    modes: String,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A value that logs would not show, as far as this test goes.
pub(crate) fn is_secret(found: &Found<'_>) -> bool {
    found.is_secret.unwrap_or_else(|| found.value.ends_with(b"0") || found.name.ends_with(b"7"))
}

/// What a request does that waits wherever it may, for logs that show the last value or the first.
pub(crate) fn rest(is_last: bool) -> impl FnMut(&mut Transaction, Still) {
    move |transaction, still| transaction.rest(still, shown(is_last))
}

fn cut(text: &[u8], most: usize) -> Vec<u8> {
    text.get(..most).unwrap_or(text).to_vec()
}

fn value(found: &Found<'_>, shown: Shown<'_>) -> Value {
    let (name, value) = (cut(found.name, shown.name_bytes), cut(found.value, shown.value_bytes));
    (found.variable, name, value, found.characters())
}

fn one_of<'a>(found: &Match<'a>, is_last: bool) -> Option<Found<'a>> {
    match is_last {
        true => found.found().last(),
        false => found.found().next(),
    }
}

pub(crate) fn all(transaction: &Transaction, is_last: bool) -> All {
    let (hidden, shown) = (transaction.hidden(), shown(is_last));
    let on = |found: &Match<'_>| On {
        data: cut(found.data, shown.said_bytes),
        shown: one_of(found, is_last).map(|found| value(&found, shown)),
        is_secret: found.found().any(|found| is_secret(&found)),
        is_hidden: hidden.hides(found),
    };
    let (mut logged, mut audited) = (0, 0);
    let one = |found: Match<'_>| {
        logged += usize::from(found.about.is_logged);
        audited += usize::from(found.about.is_audited);
        let is_shown = (found.about.is_logged && logged <= shown.rules)
            || (found.about.is_audited && audited <= shown.rules);
        Told {
            id: found.about.id,
            message: cut(found.message, shown.said_bytes),
            scores: [found.inbound_score, found.outbound_score],
            on: is_shown.then(|| on(&found)),
        }
    };
    let fields = transaction.request_fields().chain(transaction.answer_fields());
    All {
        told: transaction.matches().map(one).collect(),
        interruptions: [transaction.interruption(), transaction.would_interrupt()]
            .map(Option::<&_>::cloned),
        modes: format!("{:?} {:?}", transaction.engine(), transaction.audit()),
        fields: fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
    }
}
