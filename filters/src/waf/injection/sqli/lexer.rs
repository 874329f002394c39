//! Splits a value into words of SQL: of no database's SQL, but of all that may be behind.

use super::token::{
    BACKSLASH, BAREWORD, COLON, COMMENT, DOT, EVIL, FUNCTION, NUMBER, OPERATOR, STRING, TEXT_MAX,
    Token, UNKNOWN, VARIABLE,
};
use super::words;
use memchr::{memchr, memmem};

/// Whose comments: `--x` is one in ANSI only, `#` in MySQL only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Ansi,
    Mysql,
}

pub(super) struct Lexer<'a> {
    input: &'a [u8],
    at: usize,
    quote: u8,
    dialect: Dialect,
    /// Words so far.
    pub(super) read: usize,
    /// The other dialect would read it otherwise.
    pub(super) depends_on_dialect: bool,
}

/// A word (or none: white space and what databases skip), and how many bytes it takes.
type Step<'a> = (Token<'a>, usize);

impl<'a> Lexer<'a> {
    pub(super) fn new(input: &'a [u8], quote: u8, dialect: Dialect) -> Self {
        Self { input, at: 0, quote, dialect, read: 0, depends_on_dialect: false }
    }

    /// The next word; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        if self.at == 0 && self.quote != 0 && !self.input.is_empty() {
            let (token, length) = string(self.input, 0, self.quote);
            // The quote stands outside of the value.
            let token = Token { open: 0, ..token };
            self.at = length;
            self.read += 1;
            return Some(token);
        }
        loop {
            let rest = self.input.get(self.at..)?;
            let (token, length) = self.step(rest, *rest.first()?);
            self.at += length;
            if token.kind != 0 {
                self.read += 1;
                return Some(token);
            }
        }
    }

    /// Reads the word at the beginning of `rest`, whose first byte is `first`.
    fn step(&mut self, rest: &'a [u8], first: u8) -> Step<'a> {
        match first {
            0..=b' ' | 0x7f | 0xa0 => (Token::NONE, 1),
            b'!' | b'&' | b'*' | b':' | b'<'..=b'>' | b'|' => operator(rest),
            b'"' | b'\'' => string(rest, 1, first),
            b'#' => self.hash(rest),
            b'$' => money(rest),
            b'%' | b'+' | b'^' | b'~' => taken(OPERATOR, rest, 1),
            b'(' | b')' | b',' | b';' | b'{' | b'}' => taken(first, rest, 1),
            b'-' => self.dash(rest),
            b'.' | b'0'..=b'9' => number(rest),
            b'/' => slash(rest),
            b'?' | b']' => taken(UNKNOWN, rest, 1),
            b'@' => variable(rest),
            b'B' | b'b' => literal(rest, b"01"),
            b'E' | b'e' => national(rest),
            b'N' | b'n' => match rest {
                [_, b'\'', _, ..] => national(rest),
                _ => q_string(rest, 1),
            },
            b'Q' | b'q' => q_string(rest, 0),
            b'U' | b'u' => u_string(rest),
            b'X' | b'x' => literal(rest, b"0123456789ABCDEFabcdef"),
            b'[' => {
                let length = memchr(b']', rest).map_or(rest.len(), |at| at + 1);
                taken(BAREWORD, rest, length)
            }
            b'\\' if rest.get(1) == Some(&b'N') => taken(NUMBER, rest, 2),
            b'\\' => taken(BACKSLASH, rest, 1),
            b'`' => backquote(rest),
            _ => word(rest),
        }
    }

    fn hash(&mut self, rest: &'a [u8]) -> Step<'a> {
        self.depends_on_dialect = true;
        match self.dialect {
            Dialect::Mysql => line_comment(rest),
            Dialect::Ansi => taken(OPERATOR, rest, 1),
        }
    }

    fn dash(&mut self, rest: &'a [u8]) -> Step<'a> {
        match rest {
            [_, b'-'] => line_comment(rest),
            [_, b'-', next, ..] if is_white(*next) => line_comment(rest),
            [_, b'-', ..] if self.dialect == Dialect::Ansi => {
                self.depends_on_dialect = true;
                line_comment(rest)
            }
            _ => taken(OPERATOR, rest, 1),
        }
    }
}

/// The first `length` bytes of `rest` as a word.
fn taken(kind: u8, rest: &[u8], length: usize) -> Step<'_> {
    (Token::new(kind, rest.get(..length).unwrap_or(rest)), length)
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0 | 0)
}

/// How many bytes at the beginning of `rest`, from `from` on, are of `set`.
fn span(rest: &[u8], from: usize, set: impl Fn(&u8) -> bool) -> usize {
    rest.iter().skip(from).take_while(|byte| set(byte)).count()
}

fn line_comment(rest: &[u8]) -> Step<'_> {
    let length = memchr(b'\n', rest);
    let (token, taken) = taken(COMMENT, rest, length.unwrap_or(rest.len()));
    (token, taken + usize::from(length.is_some()))
}

/// `/* … */`. PostgreSQL nests them and MySQL runs what is in some: nobody can be sure.
fn slash(rest: &[u8]) -> Step<'_> {
    let [_, b'*', inside @ ..] = rest else { return taken(OPERATOR, rest, 1) };
    let end = memmem::find(inside, b"*/");
    let nests = end.and_then(|end| inside.get(..=end));
    let nests = nests.is_some_and(|inside| memmem::find(inside, b"/*").is_some());
    let kind = if nests || inside.first() == Some(&b'!') { EVIL } else { COMMENT };
    taken(kind, rest, end.map_or(rest.len(), |end| end + 4))
}

fn operator(rest: &[u8]) -> Step<'_> {
    if rest.starts_with(b"<=>") {
        return taken(OPERATOR, rest, 3);
    }
    let known = rest.get(..2).and_then(words::find);
    match (known, rest) {
        (Some((kind, _)), _) => taken(kind, rest, 2),
        (None, [b':', _, ..]) => taken(COLON, rest, 1),
        _ => taken(OPERATOR, rest, 1),
    }
}

/// A string whose text begins `offset` bytes into `rest`, up to `quote`. Twice the quote, and `\`
/// before it, do not end it.
fn string(rest: &[u8], offset: usize, quote: u8) -> Step<'_> {
    let text = rest.get(offset..).unwrap_or_default();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| memchr(quote, rest)) {
        let end = from + found;
        let before = text.get(..end).unwrap_or_default();
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            from = end + 1;
        } else if text.get(end + 1) == Some(&quote) {
            from = end + 2;
        } else {
            return (Token::quoted(STRING, before, quote, quote), offset + end + 1);
        }
    }
    (Token::quoted(STRING, text, quote, 0), rest.len())
}

/// `e'…'` of PostgreSQL and `n'…'` of MySQL.
fn national(rest: &[u8]) -> Step<'_> {
    match rest {
        [_, b'\'', _, ..] => string(rest, 2, b'\''),
        _ => word(rest),
    }
}

/// `u&'…'`
fn u_string(rest: &[u8]) -> Step<'_> {
    let [_, b'&', b'\'', ..] = rest else { return word(rest) };
    let (token, length) = string(rest.get(2..).unwrap_or_default(), 1, b'\'');
    let close = if token.close == b'\'' { b'u' } else { token.close };
    (Token { open: b'u', close, ..token }, length + 2)
}

/// `q'(…)'` of Oracle, after `offset` bytes (`n`).
fn q_string(rest: &[u8], offset: usize) -> Step<'_> {
    let close = match rest.get(offset..) {
        Some([b'q' | b'Q', b'\'', open @ b'!'..=0x7f, ..]) => match open {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            _ => *open,
        },
        _ => return word(rest),
    };
    let text = rest.get(offset + 3..).unwrap_or_default();
    match memmem::find(text, &[close, b'\'']) {
        Some(end) => {
            let inside = text.get(..end).unwrap_or_default();
            (Token::quoted(STRING, inside, b'q', b'q'), offset + 3 + end + 2)
        }
        None => (Token::quoted(STRING, text, b'q', 0), rest.len()),
    }
}

/// `x'41'` and `b'01'`.
fn literal<'a>(rest: &'a [u8], digits: &[u8]) -> Step<'a> {
    let [_, b'\'', _, ..] = rest else { return word(rest) };
    let end = 2 + span(rest, 2, |byte| digits.contains(byte));
    if rest.get(end) == Some(&b'\'') { taken(NUMBER, rest, end + 1) } else { word(rest) }
}

/// `` `name` ``: a name, or a function.
fn backquote(rest: &[u8]) -> Step<'_> {
    let (token, length) = string(rest, 1, b'`');
    let is_function = words::find(token.text).is_some_and(|(kind, _)| kind == FUNCTION);
    (Token { kind: if is_function { FUNCTION } else { BAREWORD }, ..token }, length)
}

/// `@name`, ``@@`name` ``, `@'name'`
fn variable(rest: &[u8]) -> Step<'_> {
    let signs = if rest.get(1) == Some(&b'@') { 2 } else { 1 };
    let name = rest.get(signs..).unwrap_or_default();
    let (token, length) = match name.first() {
        Some(b'`') => backquote(name),
        Some(quote @ (b'\'' | b'"')) => string(name, 1, *quote),
        _ => taken(VARIABLE, name, span(name, 0, |byte| !ends_variable(*byte))),
    };
    (Token { kind: VARIABLE, ..token }, signs + length)
}

const fn ends_word(byte: u8) -> bool {
    ends_either(byte) || matches!(byte, b'[' | b']' | b'{' | b'}' | 0 | 0xa0)
}

const fn ends_variable(byte: u8) -> bool {
    ends_either(byte) || byte == b'`'
}

const fn ends_either(byte: u8) -> bool {
    matches!(
        byte,
        b'\t'..=b'\r'
            | b' '..=b'#'
            | b'%'..=b'-'
            | b'/'
            | b':'..=b'@'
            | b'\\'
            | b'^'
            | b'|'
            | b'~'
    )
}

/// A word. One that begins with a known word and `.` or `` ` `` is that word: `SELECT.1`.
fn word(rest: &[u8]) -> Step<'_> {
    let length = span(rest, 0, |byte| !ends_word(*byte));
    let (token, _) = taken(BAREWORD, rest, length);
    let marks = token.text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'`'));
    for (at, _) in marks {
        let known = token.text.get(..at).and_then(words::find);
        if let Some((kind, _)) = known.filter(|(kind, _)| *kind != BAREWORD) {
            return taken(kind, rest, at);
        }
    }
    let known = if length <= TEXT_MAX { words::find(token.text) } else { None };
    (Token { kind: known.map_or(BAREWORD, |(kind, _)| kind), ..token }, length)
}

/// `$1,000.00`, `$$…$$`, `$tag$…$tag$`
fn money(rest: &[u8]) -> Step<'_> {
    let count = span(rest, 1, |byte| matches!(byte, b'0'..=b'9' | b'.' | b','));
    if count == 1 && rest.get(1) == Some(&b'.') {
        return word(rest);
    }
    if count > 0 {
        return taken(NUMBER, rest, count + 1);
    }
    let tag = span(rest, 1, u8::is_ascii_alphabetic);
    if rest.get(tag + 1) != Some(&b'$') {
        return taken(BAREWORD, rest, 1);
    }
    let (mark, text) = rest.split_at(tag + 2);
    match memmem::find(text, mark) {
        Some(end) => {
            let inside = text.get(..end).unwrap_or_default();
            (Token::quoted(STRING, inside, b'$', b'$'), end + 2 * mark.len())
        }
        None => (Token::quoted(STRING, text, b'$', 0), rest.len()),
    }
}

/// `12`, `.5`, `1.5e-3`, `0x41`, `0b01`, `1.2f`
fn number(rest: &[u8]) -> Step<'_> {
    let digits: Option<fn(&u8) -> bool> = match rest {
        [b'0', b'x' | b'X', ..] => Some(u8::is_ascii_hexdigit),
        [b'0', b'b' | b'B', ..] => Some(|byte| matches!(byte, b'0' | b'1')),
        _ => None,
    };
    if let Some(digits) = digits {
        let count = span(rest, 2, digits);
        return taken(if count == 0 { BAREWORD } else { NUMBER }, rest, 2 + count);
    }
    let byte = |at: usize| rest.get(at).copied().unwrap_or_default();
    let mut end = span(rest, 0, u8::is_ascii_digit);
    if byte(end) == b'.' {
        end += 1 + span(rest, end + 1, u8::is_ascii_digit);
        if end == 1 {
            return taken(DOT, rest, 1);
        }
    }
    let mut is_ignored = false;
    if matches!(byte(end), b'e' | b'E') {
        end += 1 + usize::from(matches!(byte(end + 1), b'+' | b'-'));
        let exponent = span(rest, end, u8::is_ascii_digit);
        end += exponent;
        // MySQL skips a number with an `e` and nothing after it: `1.e(1)` is `(1)`.
        is_ignored = exponent == 0;
    }
    // Oracle's suffix of a float or double, and what makes `1fUNION` two words.
    if matches!(byte(end), b'd' | b'D' | b'f' | b'F') {
        let ends = |next: &u8| is_white(*next) || matches!(next, b';' | b'u' | b'U');
        end += usize::from(rest.get(end + 1).is_none_or(ends));
    }
    if is_ignored { (Token::NONE, end) } else { taken(NUMBER, rest, end) }
}
