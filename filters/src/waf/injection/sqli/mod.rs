//! SQL injection: the kinds of the first five words, folded, are looked up in a list.

mod fold;
mod judge;
mod lexer;
mod token;
mod words;

use fold::fold;
use judge::judge;
use lexer::{Dialect, Lexer};
use memchr::memchr;
use token::{EVIL, Token};

/// Words in a fingerprint.
const WORDS_MAX: usize = 5;

/// What a value looks like in one state of quoting.
struct Reading<'a> {
    input: &'a [u8],
    /// The words that remain after folding.
    tokens: [Token<'a>; WORDS_MAX],
    /// The kinds of the words.
    fingerprint: [u8; WORDS_MAX],
    length: usize,
    /// Words before folding.
    read: usize,
    /// The value has a `#`, or a `--` that is a comment in one dialect only.
    depends_on_dialect: bool,
}

/// The fingerprint of `value` when libinjection calls it SQL injection: its length, 1..=8.
///
/// `fingerprint` is written only then; what is after its length is unspecified. Cost: O(n), at
/// most five readings of the value; no allocation.
pub fn sqli(value: &[u8], fingerprint: &mut [u8; 8]) -> Option<usize> {
    if is_plain(value) { None } else { detect(value, fingerprint) }
}

/// Whether `value` is letters, digits and `_` alone: a number and a word at most, which no
/// fingerprint of injection consists of.
fn is_plain(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    value.chunks(32).all(|block| block.iter().fold(true, |plain, byte| plain & is_plain(byte)))
}

fn detect(value: &[u8], fingerprint: &mut [u8; 8]) -> Option<usize> {
    let mut is_found = |quote: u8, dialect: Dialect| {
        let reading = Reading::new(value, quote, dialect);
        let is_injection = judge(&reading);
        if is_injection && let Some(kinds) = fingerprint.get_mut(..WORDS_MAX) {
            kinds.copy_from_slice(&reading.fingerprint);
        }
        (is_injection.then_some(reading.length), reading.depends_on_dialect)
    };
    let mut in_dialects = |quote: u8| match is_found(quote, Dialect::Ansi) {
        (None, true) => is_found(quote, Dialect::Mysql).0,
        (found, _) => found,
    };
    in_dialects(0)
        .or_else(|| memchr(b'\'', value).and_then(|_| in_dialects(b'\'')))
        .or_else(|| memchr(b'"', value).and_then(|_| is_found(b'"', Dialect::Mysql).0))
}

impl<'a> Reading<'a> {
    /// Reads `input` as if a `quote` (0: none) stood before it.
    fn new(input: &'a [u8], quote: u8, dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(input, quote, dialect);
        let (mut tokens, length) = fold(&mut lexer);
        // A backquote at the end that opens nothing is a comment to PHP.
        if length > 2
            && let Some(last) = tokens.get_mut(length - 1)
            && last.is_open_backquote()
        {
            last.kind = token::COMMENT;
        }
        let is_evil = tokens.iter().take(length).any(|token| token.kind == EVIL);
        let [a, b, c, d, e, _] = tokens;
        let kept = [a, b, c, d, e];
        let kinds = kept.map(|token| token.kind);
        Self {
            input,
            tokens: kept,
            fingerprint: if is_evil { [EVIL, 0, 0, 0, 0] } else { kinds },
            length: if is_evil { 1 } else { length },
            read: lexer.read,
            depends_on_dialect: lexer.depends_on_dialect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(value: &str) -> Option<String> {
        let mut fingerprint = [0; 8];
        let length = sqli(value.as_bytes(), &mut fingerprint)?;
        Some(String::from_utf8_lossy(&fingerprint[..length]).into_owned())
    }

    #[test]
    fn injections_have_fingerprints() {
        let cases = [
            ("1' OR '1'='1", "s&sos"),
            ("1 UNION SELECT 1,2--", "1UE1c"), // misspelt on purpose
            ("-1' and 1=1 union/* foo */select load_file('/etc/passwd')--", "s&1UE"), // misspelt on purpose
            ("1; DROP TABLE users", "1;Tnn"),
            ("'; exec xp_cmdshell('dir')--", "s;Tn("),
            ("1/*!50000UNION*/", "X"),
            ("\t1/*", "1c"),
            ("1 AND SLEEP(5)", "1&f(1"),
            ("\" or \"\"=\"", "s&sos"),
            ("admin'--", "sc"),
            ("1--", "1c"),
        ];
        for (value, fingerprint) in cases {
            assert_eq!(found(value).as_deref(), Some(fingerprint), "{value}");
        }
    }

    #[test]
    fn what_people_write_is_no_injection() {
        let values = [
            "",
            "hello",
            "O'Brien",
            "1",
            "1 and 2",
            "select the right one from our list of things",
            "user@example.org",
            "2024-01-01T00:00:00Z",
            "a-b-c",
            "it's -- well -- fine",
            "C# or F#",
            "550e8400-e29b-41d4-a716-446655440000",
            "$1,000.00",
            "(555) 123-4567",
            "'",
            "\"",
            "\\",
            "#",
        ];
        for value in values {
            assert_eq!(found(value), None, "{value}");
        }
    }

    /// Values of pieces of SQL, and of any bytes.
    fn values() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "union", "select", "or", "1", "0x", "0b1", "1e", "1e5", "f", "d", "_", "a", "'", "\"",
            " ", "--", "#", "/*", "*/", "(", ")", ",", ";", "$a$", "$$", "@", "`", "q'(", "x'1'",
            "\\", "=", "<=>", "{", "[",
        ]);
        let word = prop_oneof![
            8 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(word, 0..14).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn plain_values_are_no_injection(value in "[A-Za-z0-9_]{0,40}|(union|select|0x|1e|1d|f|or|9|_){0,8}") {
            prop_assert!(is_plain(value.as_bytes()));
            prop_assert_eq!(detect(value.as_bytes(), &mut [0; 8]), None);
        }

        #[test]
        fn any_bytes_are_read(value in values()) {
            let mut fingerprint = [0; 8];
            let found = sqli(&value, &mut fingerprint);
            prop_assert_eq!(found, detect(&value, &mut [0; 8]));
            prop_assert!(found.is_none_or(|length| (1..=5).contains(&length)));
        }
    }
}
