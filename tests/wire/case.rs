//! A case: what is sent, what the backend answers, and what policy wants to come of it.

use crate::notation;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The folder: tests run in the root of the package.
const FOLDER: &str = "tests/wire";
/// What is sent where a case is about the answer.
const PLAIN: &str = r"GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n";

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What its cases are about, in a word or two.
    class: String,
    #[serde(rename = "case")]
    cases: Vec<Written>,
}

/// A case as it is written; README.md says what each key means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    section: String,
    send: Option<String>,
    #[serde(default)]
    split: Vec<usize>,
    #[serde(default)]
    bytewise: bool,
    #[serde(default)]
    end: bool,
    methods: Option<Vec<String>>,
    answer: Option<String>,
    #[serde(default)]
    early: bool,
    #[serde(default)]
    then: Then,
    #[serde(default)]
    alone: bool,
    want: Want,
    statuses: Option<Vec<u16>>,
    #[serde(default)]
    may_close: bool,
    #[serde(default)]
    backend: Expected,
    #[serde(default)]
    client: Expected,
}

/// What policy wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Want {
    /// It goes through.
    Pass,
    /// It is answered by the proxy; what is wrong goes no further.
    Refuse,
    /// Either of the two.
    PassOrRefuse,
    /// The proxy answers, or the answer breaks off if it has begun: never is it whole.
    RefuseOrCut,
    /// It never is whole, so nobody may take it for whole.
    Cut,
}

/// What the backend does after its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Then {
    /// It waits for the next request.
    #[default]
    Keep,
    /// It closes.
    Close,
    /// It resets.
    Reset,
}

/// What must be seen of the case's message where it arrives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// Fields, as `name: value`; the name in lower case.
    #[serde(default)]
    pub(crate) has: Vec<String>,
    /// Names of fields, in lower case, or `name: value`.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// The first line.
    pub(crate) line: Option<String>,
    /// The body, without its framing.
    pub(crate) body: Option<String>,
    /// How many whole requests the backend gets.
    pub(crate) requests: Option<usize>,
}

/// Whose message it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client's.
    Request,
    /// The backend's.
    Answer,
}

/// A case, with its bytes.
pub(crate) struct Case {
    /// Its mark: in its messages, and nowhere else.
    pub(crate) id: String,
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) section: String,
    pub(crate) kind: Kind,
    /// What the client sends, piece by piece.
    pub(crate) send: Vec<Vec<u8>>,
    /// Whether it sends nothing after that, and says so.
    pub(crate) ends: bool,
    /// The method of each request that is to be answered.
    pub(crate) methods: Vec<String>,
    pub(crate) answer: Option<Answer>,
    /// Whether no other case may be played meanwhile.
    pub(crate) is_alone: bool,
    pub(crate) want: Want,
    /// Good statuses.
    pub(crate) statuses: Vec<u16>,
    /// Whether refusing by closing without an answer will do.
    pub(crate) may_close: bool,
    /// What the backend must see of the first request.
    pub(crate) backend: Expected,
    /// What the client must see of the first answer.
    pub(crate) client: Expected,
    /// How all that goes, in short: to tell cases with the same bytes apart.
    pub(crate) manner: String,
}

/// What the backend answers.
#[derive(Clone)]
pub(crate) struct Answer {
    /// Piece by piece. Empty: an answer as to any other request.
    pub(crate) bytes: Vec<Vec<u8>>,
    /// Whether it comes before the request's body.
    pub(crate) is_early: bool,
    pub(crate) then: Then,
}

/// All cases, in order of class and file.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, folder) in [(Kind::Request, "requests"), (Kind::Answer, "answers")] {
        for path in files(&Path::new(FOLDER).join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let file: File =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            for written in file.cases {
                let id = format!("w{:04}q", cases.len());
                let name = written.name.clone();
                let case = compile(kind, id, file.class.clone(), written);
                cases.push(case.unwrap_or_else(|why| panic!("{}: {name}: {why}", path.display())));
            }
        }
    }
    cases
}

impl Case {
    /// Has everything come in pieces of so many bytes, where the case does not say how, and where
    /// that is not too many pieces. Bytes behind an answer may then come late, so such a case is
    /// alone.
    pub(crate) fn cut(&mut self, piece_bytes: usize) {
        const PIECES_MAX: usize = 400;
        self.is_alone |= self.kind == Kind::Answer;
        let answer = self.answer.as_mut().map(|answer| &mut answer.bytes);
        for pieces in std::iter::once(&mut self.send).chain(answer) {
            let cut = |whole: &[u8]| whole.chunks(piece_bytes).map(<[u8]>::to_vec).collect();
            *pieces = match &pieces[..] {
                [whole] if whole.len() <= PIECES_MAX * piece_bytes => cut(whole),
                _ => continue,
            };
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

fn compile(kind: Kind, id: String, class: String, written: Written) -> Result<Case, String> {
    let send = notation::bytes(written.send.as_deref().unwrap_or(PLAIN), &id)?;
    let method = String::from_utf8_lossy(&send).split(' ').next().unwrap_or_default().to_owned();
    let answer = match (&written.answer, written.early) {
        (None, false) => None,
        (text, is_early) => {
            let bytes = notation::bytes(text.as_deref().unwrap_or_default(), &id)?;
            let pieces = match kind {
                Kind::Answer => pieces(bytes, &written.split, written.bytewise),
                Kind::Request => vec![bytes],
            };
            let bytes = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
            Some(Answer { bytes, is_early, then: written.then })
        }
    };
    let send = match kind {
        Kind::Request => pieces(send, &written.split, written.bytewise),
        Kind::Answer => vec![send],
    };
    let refusal = if kind == Kind::Request { 400 } else { 502 };
    let usual = if written.want == Want::Pass { 200 } else { refusal };
    Ok(Case {
        send,
        ends: written.end,
        methods: written.methods.unwrap_or_else(|| vec![method]),
        answer,
        is_alone: written.alone,
        want: written.want,
        statuses: written.statuses.unwrap_or_else(|| vec![usual]),
        may_close: written.may_close,
        backend: filled(written.backend, &id)?,
        client: filled(written.client, &id)?,
        manner: format!("{:?} {:?} {} {:?}", kind, written.split, written.bytewise, written.then),
        id,
        class,
        name: written.name,
        section: written.section,
        kind,
    })
}

/// `bytes` in pieces that begin at these offsets, which grow; or in pieces of one byte.
fn pieces(bytes: Vec<u8>, split: &[usize], bytewise: bool) -> Vec<Vec<u8>> {
    if bytewise {
        return bytes.chunks(1).map(<[u8]>::to_vec).collect();
    }
    let (mut pieces, mut rest, mut at) = (Vec::new(), bytes, 0);
    for offset in split {
        let after = rest.split_off((offset - at).min(rest.len()));
        pieces.push(std::mem::replace(&mut rest, after));
        at = *offset;
    }
    pieces.push(rest);
    pieces
}

/// With the mark, and without escapes.
fn filled(expected: Expected, id: &str) -> Result<Expected, String> {
    let text =
        |text: &String| Ok(String::from_utf8_lossy(&notation::bytes(text, id)?).into_owned());
    let list = |list: &[String]| list.iter().map(text).collect::<Result<Vec<_>, String>>();
    Ok(Expected {
        has: list(&expected.has)?,
        lacks: list(&expected.lacks)?,
        line: expected.line.as_ref().map(text).transpose()?,
        body: expected.body.as_ref().map(text).transpose()?,
        requests: expected.requests,
    })
}
