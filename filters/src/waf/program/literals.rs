//! What a pattern cannot do without: pieces of text of which every match contains one.
//!
//! Where patterns are tried one by one, most need not be: a text without any of its pieces cannot
//! match. Pieces are compared without regard to the case of ASCII letters, so they say yes too
//! often, never too rarely.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind};
use std::collections::BTreeMap;

use super::automaton::set;

/// Bytes of a piece that are kept: longer ones are hardly rarer.
const PIECE_BYTES_MAX: usize = 8;
/// Pieces of one pattern, at most.
const PIECES_MAX: usize = 2048;
/// Texts that a part of a pattern may stand for, to be written out.
const TEXTS_MAX: usize = 64;

/// What every match contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing that could be named.
    Nothing,
    /// One of these bytes.
    Byte(Vec<u8>),
    /// One of these pieces, all of two bytes at least, in lower case.
    Piece(Vec<Vec<u8>>),
}

impl Needs {
    /// What each match of `hir` contains.
    pub(crate) fn of(hir: &Hir) -> Self {
        let Some(mut pieces) = needed(hir) else { return Self::Nothing };
        if shortest(&pieces) == 1 {
            let bytes: Vec<u8> = pieces.iter().filter_map(|piece| piece.first()).copied().collect();
            let both = bytes.iter().flat_map(|byte| [*byte, byte.to_ascii_uppercase()]);
            let mut bytes: Vec<u8> = both.collect();
            bytes.sort_unstable();
            bytes.dedup();
            return Self::Byte(bytes);
        }
        pieces.iter_mut().for_each(|piece| piece.truncate(PIECE_BYTES_MAX));
        pieces.sort_unstable();
        pieces.dedup();
        Self::Piece(pieces)
    }
}

/// What many patterns need: which of them a text may match.
#[derive(Debug)]
pub(crate) struct Literals {
    /// The pieces of all patterns; the patterns that need each.
    pieces: AhoCorasick,
    needing: Vec<Box<[u32]>>,
    /// Patterns that need a byte: which ones, as bits.
    bytes: Vec<(u32, [u64; 4])>,
    /// Patterns that may match any text.
    others: Vec<u32>,
}

impl Literals {
    /// Of patterns that need this, by bit.
    ///
    /// # Errors
    /// They are too many or too large to be numbered.
    pub(crate) fn build(needs: &[Needs]) -> Result<Self, String> {
        let (mut bytes, mut others) = (Vec::new(), Vec::new());
        let mut needing: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (bit, needs) in (0..).zip(needs) {
            match needs {
                Needs::Nothing => others.push(bit),
                Needs::Byte(of) => bytes.push((bit, byte_set(of))),
                Needs::Piece(of) => {
                    of.iter().for_each(|piece| needing.entry(piece).or_default().push(bit));
                }
            }
        }
        let pieces = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(needing.keys())
            .map_err(|error| error.to_string())?;
        let needing = needing.into_values().map(Vec::into_boxed_slice).collect();
        Ok(Self { pieces, needing, bytes, others })
    }

    /// Sets in `row` the bit of each pattern that may match `value`.
    /// Cost: a pass over the text, and more for each piece in it.
    pub(crate) fn note_possible(&self, value: &[u8], row: &mut [u64]) {
        let there = byte_set(value);
        let meets = |set: &[u64; 4]| set.iter().zip(&there).any(|(one, other)| one & other != 0);
        let with_byte = self.bytes.iter().filter(|(_, set)| meets(set)).map(|(bit, _)| *bit);
        with_byte.chain(self.others.iter().copied()).for_each(|bit| set(row, bit as usize));
        for found in self.pieces.find_overlapping_iter(value) {
            let needing = self.needing.get(found.pattern().as_usize());
            needing.into_iter().flatten().for_each(|bit| set(row, *bit as usize));
        }
    }
}

fn byte_set(bytes: &[u8]) -> [u64; 4] {
    let mut all = [0; 4];
    bytes.iter().for_each(|byte| set(&mut all, usize::from(*byte)));
    all
}

type Texts = Vec<Vec<u8>>;

fn shortest(texts: &Texts) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

/// The texts of which each match of `hir` contains one; none of them is empty.
fn needed(hir: &Hir) -> Option<Texts> {
    let found = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => all_texts(hir),
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min == 0 => None,
        HirKind::Repetition(repetition) => needed(&repetition.sub),
        HirKind::Concat(parts) => rarest_of(parts),
        HirKind::Alternation(parts) => {
            let mut all = Texts::new();
            for part in parts {
                all.append(&mut needed(part)?);
            }
            Some(all)
        }
    };
    found.filter(|texts| shortest(texts) > 0 && texts.len() <= PIECES_MAX)
}

/// Of what parts that follow each other need, what is rarest.
fn rarest_of(parts: &[Hir]) -> Option<Texts> {
    let mut best: Option<Texts> = None;
    let mut offer = |texts: Option<Texts>| {
        let Some(texts) = texts.filter(|texts| shortest(texts) > 0) else { return };
        let rarity = |texts: &Texts| {
            (shortest(texts).min(4), std::cmp::Reverse(texts.len()), shortest(texts))
        };
        if best.as_ref().is_none_or(|best| rarity(&texts) > rarity(best)) {
            best = Some(texts);
        }
    };
    // Parts that stand for few texts each are one longer text together.
    let mut run: Texts = vec![Vec::new()];
    for part in parts {
        let texts = all_texts(part);
        if let Some(joined) = texts.as_ref().and_then(|texts| each_with_each(&run, texts)) {
            run = joined;
            continue;
        }
        offer(Some(run));
        offer(needed(part));
        run = texts.unwrap_or_else(|| vec![Vec::new()]);
    }
    offer(Some(run));
    best
}

/// All texts that `hir` stands for, in lower case, if they are few.
fn all_texts(hir: &Hir) -> Option<Texts> {
    let texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_ascii_lowercase()],
        HirKind::Class(class) => bytes_of(class)?,
        HirKind::Capture(capture) => all_texts(&capture.sub)?,
        HirKind::Repetition(repetition) => {
            let most = repetition.max.filter(|most| *most <= 4)?;
            let once = all_texts(&repetition.sub)?;
            let mut times: Texts = vec![Vec::new()];
            let mut all = Texts::new();
            for count in 0..=most {
                if count >= repetition.min {
                    all.extend_from_slice(&times);
                }
                times = each_with_each(&times, &once)?;
            }
            all
        }
        HirKind::Concat(parts) => {
            let mut texts: Texts = vec![Vec::new()];
            for part in parts {
                texts = each_with_each(&texts, &all_texts(part)?)?;
            }
            texts
        }
        HirKind::Alternation(parts) => {
            let mut texts = Texts::new();
            for part in parts {
                texts.append(&mut all_texts(part)?);
            }
            texts
        }
    };
    (texts.len() <= TEXTS_MAX).then_some(texts)
}

/// Each of `firsts` with each of `seconds` behind it, if those are few.
fn each_with_each(firsts: &Texts, seconds: &Texts) -> Option<Texts> {
    if firsts.len().checked_mul(seconds.len())? > TEXTS_MAX {
        return None;
    }
    let with = |first: &Vec<u8>| {
        let first = first.clone();
        seconds.iter().map(move |second| [first.as_slice(), second].concat())
    };
    let mut all: Texts = firsts.iter().flat_map(with).collect();
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// The bytes of a class, each as a text, if they are few. Patterns are of bytes: a character
/// beyond ASCII in a class would be a byte too many.
fn bytes_of(class: &Class) -> Option<Texts> {
    let mut texts = Texts::new();
    let mut add = |from: u8, to: u8| {
        texts.extend((from..=to).map(|byte| vec![byte.to_ascii_lowercase()]));
    };
    match class {
        Class::Bytes(class) => {
            class.ranges().iter().for_each(|range| add(range.start(), range.end()));
        }
        Class::Unicode(class) => {
            for range in class.ranges() {
                let ascii = |letter: char| letter.is_ascii().then_some(letter as u8);
                add(ascii(range.start())?, ascii(range.end())?);
            }
        }
    }
    texts.sort_unstable();
    texts.dedup();
    (!texts.is_empty() && texts.len() <= TEXTS_MAX).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::seclang::pattern;

    fn needs(pattern: &str) -> Needs {
        Needs::of(&pattern::parse(pattern).unwrap().hir)
    }

    fn pieces(all: &[&str]) -> Needs {
        Needs::Piece(all.iter().map(|one| one.as_bytes().to_vec()).collect())
    }

    #[test]
    fn what_a_pattern_needs() {
        for (pattern, want) in [
            ("(?i)Union.+SELECT", pieces(&["select"])),
            ("(?i)<script", pieces(&["<script"])),
            (r"(?:wget|curl)[^a]", pieces(&["curl", "wget"])),
            (r"\b(?:a|b)c{2}d*", pieces(&["acc", "bcc"])),
            (r"x?ab+", Needs::Byte(vec![b'B', b'b'])),
            (r"colou?r", pieces(&["color", "colour"])),
            (r"[a-z]{2,}\(", Needs::Byte(vec![b'('])),
            (r"[xX]+", Needs::Byte(vec![b'X', b'x'])),
            (r"(?:ab)?", Needs::Nothing),
            (r".*", Needs::Nothing),
            (r"foo|.", Needs::Nothing),
            (r"longer than it is kept", pieces(&["longer t"])),
        ] {
            assert_eq!(needs(pattern), want, "{pattern}");
        }
    }

    /// A text that `hir` may match: assertions are taken for granted.
    fn text_of(hir: &Hir, seed: &mut u64, text: &mut Vec<u8>) {
        let mut next = |below: usize| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (*seed >> 33) as usize % below.max(1)
        };
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
            HirKind::Class(Class::Bytes(class)) => {
                let range = class.ranges().get(next(class.ranges().len()));
                text.extend(range.map(|range| range.start() + next(range.len()) as u8));
            }
            HirKind::Class(Class::Unicode(_)) => {}
            HirKind::Capture(capture) => text_of(&capture.sub, seed, text),
            HirKind::Repetition(repetition) => {
                let most = repetition.max.unwrap_or(u32::MAX).min(repetition.min + 2);
                let count = repetition.min as usize + next((most - repetition.min) as usize + 1);
                (0..count).for_each(|_| text_of(&repetition.sub, seed, text));
            }
            HirKind::Concat(parts) => parts.iter().for_each(|part| text_of(part, seed, text)),
            HirKind::Alternation(parts) => {
                let part = parts.get(next(parts.len()));
                part.into_iter().for_each(|part| text_of(part, seed, text));
            }
        }
    }

    /// Of our own rules, and of the Core Rule Set where it is there.
    #[expect(clippy::disallowed_methods, reason = "a test has no config to read the place from")]
    fn patterns_of_rules() -> Vec<String> {
        let mut texts: Vec<String> =
            crate::waf::own::OWN_RULES.iter().map(|(_, text)| (*text).to_owned()).collect();
        if let Ok(folder) = std::env::var("VANNE_CRS_DIR") {
            let files = std::fs::read_dir(format!("{folder}/rules")).unwrap();
            let paths = files.map(|file| file.unwrap().path());
            let rules = paths.filter(|path| path.extension().is_some_and(|it| it == "conf"));
            texts.extend(rules.map(|path| std::fs::read_to_string(path).unwrap()));
        }
        let patterns = texts.iter().flat_map(|text| text.split("\"@rx ").skip(1));
        patterns.filter_map(|rest| Some(rest.split_once("\" ")?.0.replace("\\\"", "\""))).collect()
    }

    #[test]
    fn what_matches_is_possible() {
        let (mut seed, mut matched) = (7, 0);
        for source in patterns_of_rules() {
            let Ok(pattern) = pattern::parse(&source) else { continue };
            let literals = Literals::build(&[Needs::of(&pattern.hir)]).unwrap();
            let regex = regex_automata::meta::Regex::builder()
                .configure(regex_automata::meta::Config::new().utf8_empty(false))
                .build_from_hir(&pattern.hir)
                .unwrap();
            for _ in 0..40 {
                let mut text = b" ".to_vec();
                text_of(&pattern.hir, &mut seed, &mut text);
                text.push(b' ');
                let mut row = [0];
                literals.note_possible(&text, &mut row);
                let is_match = regex.is_match(&text);
                matched += usize::from(is_match);
                assert!(row[0] == 1 || !is_match, "{source}: {}", text.escape_ascii());
            }
        }
        assert!(matched > 2000, "{matched}");
    }
}
