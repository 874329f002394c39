//! The oracle: a process that answers about single values.

use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Oracle {
    child: Child,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var_os(name).and_then(|value| value.into_string().ok());
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// How many values a test asks about.
pub(crate) fn cases() -> u64 {
    number("VANNE_WAF_CASES", 20_000)
}

/// Where the row of values begins.
pub(crate) fn seed() -> u64 {
    number("SEED", 1)
}

impl Oracle {
    /// `None`, with a message, when no oracle is named.
    pub(crate) fn start(names: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("VANNE_WAF_PARTS") else {
            println!("skipped: VANNE_WAF_PARTS names no oracle");
            return None;
        };
        let mut child = Command::new(program)
            .args(names)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let questions = BufWriter::new(child.stdin.take().expect("piped"));
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Some(Self { child, questions, answers })
    }

    /// Asks without waiting for an answer.
    pub(crate) fn ask(&mut self, kind: u8, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("short").to_le_bytes();
        self.questions.write_all(&[kind]).expect("it reads");
        self.questions.write_all(&length).expect("it reads");
        self.questions.write_all(value).expect("it reads");
    }

    pub(crate) fn flush(&mut self) {
        self.questions.flush().expect("it reads");
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.answers.read_exact(&mut byte).expect("it answers");
        byte[0]
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.answers.read_exact(&mut length).expect("it answers");
        let mut value = vec![0; u32::from_le_bytes(length) as usize];
        self.answers.read_exact(&mut value).expect("it answers");
        value
    }

    /// Asks about `values`, a few at a time, and gives each to `judge` with this oracle, which
    /// reads the answer.
    pub(crate) fn each(
        &mut self,
        kind: u8,
        values: impl Iterator<Item = Vec<u8>>,
        mut judge: impl FnMut(&mut Self, &[u8]),
    ) {
        let mut values = values.peekable();
        while values.peek().is_some() {
            let block: Vec<_> = values.by_ref().take(16).collect();
            block.iter().for_each(|value| self.ask(kind, value));
            self.flush();
            block.iter().for_each(|value| judge(self, value));
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ran");
    }
}
