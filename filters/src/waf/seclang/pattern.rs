//! Regular expressions: written for PCRE, run by `regex-automata`, on bytes, in linear time.
//!
//! Rules are written for PCRE with DOTALL and MULTILINE and without Unicode (ModSecurity reference
//! manual, `@rx`). Where the two syntaxes give one text two meanings (`[` and `&&` in a class, `\<`,
//! a dash beside a class, `\h`, raw bytes beyond ASCII), the text is rewritten; what only a
//! backtracking engine can do (look-around, back-references, possessive quantifiers) is refused.

use std::sync::Arc;

use regex_syntax::hir::Hir;

use super::problem::Problem;

/// A pattern that can be compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the rule has it.
    pub source: Arc<str>,
    /// What it means.
    pub hir: Hir,
}

const HELP: &str = "patterns run in linear time: character classes, alternation, groups, \
                    repetition, anchors and \\b; write what must not follow as a second, chained rule";

/// Parses `source`.
///
/// # Errors
/// The place in `source` and what is not supported there.
pub(crate) fn parse(source: &str) -> Result<Pattern, Problem> {
    let translated = Translator::new(source).run()?;
    let hir = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .multi_line(true)
        .build()
        .parse(&translated)
        .map_err(|error| {
            Problem::at(0, format!("the pattern is broken: {}", brief(&error)), HELP)
        })?;
    Ok(Pattern { source: source.into(), hir })
}

fn brief(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

struct Translator<'a> {
    source: &'a [u8],
    at: usize,
    out: String,
}

impl<'a> Translator<'a> {
    fn new(source: &'a str) -> Self {
        Self { source: source.as_bytes(), at: 0, out: String::with_capacity(source.len() + 16) }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn refuse<T>(&self, what: &str) -> Result<T, Problem> {
        Err(Problem::at(self.at, format!("{what} in a pattern is not supported"), HELP))
    }

    fn broken<T>(&self, what: &str, help: &str) -> Result<T, Problem> {
        Err(Problem::at(self.at, format!("the pattern is broken: {what}"), help))
    }

    fn run(mut self) -> Result<String, Problem> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => {
                    self.escape(false)?;
                }
                b'[' => self.class()?,
                b'(' => self.group()?,
                b'*' | b'+' | b'?' => self.quantifier(1)?,
                b'{' => match self.repetition() {
                    Some(length) => self.quantifier(length)?,
                    None => self.literal(byte),
                },
                b'}' => self.literal(byte),
                byte => self.raw(byte),
            }
        }
        Ok(self.out)
    }

    /// One byte that means itself, escaped.
    fn literal(&mut self, byte: u8) {
        self.out.push('\\');
        self.out.push(char::from(byte));
        self.at += 1;
    }

    /// One byte as it is; beyond ASCII as the byte that it is.
    fn raw(&mut self, byte: u8) {
        if byte.is_ascii() {
            self.out.push(char::from(byte));
        } else {
            self.hex(byte);
        }
        self.at += 1;
    }

    fn hex(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.out.push_str("\\x");
        for nibble in [byte >> 4, byte & 15] {
            self.out.push(DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
        }
    }

    fn quantifier(&mut self, length: usize) -> Result<(), Problem> {
        for _ in 0..length {
            let byte = self.peek(0).unwrap_or_default();
            self.raw(byte);
        }
        match self.peek(0) {
            Some(b'+') => self.refuse("a possessive quantifier"),
            Some(b'?') => {
                self.raw(b'?');
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Length of `{n}`, `{n,}` or `{n,m}`, when that is what stands here.
    fn repetition(&self) -> Option<usize> {
        let rest = self.source.get(self.at + 1..)?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        let inner = rest.get(..end)?;
        let mut parts = inner.splitn(2, |byte| *byte == b',');
        let from = parts.next()?;
        let to = parts.next().unwrap_or_default();
        let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        (!from.is_empty() && is_number(from) && is_number(to)).then_some(end + 2)
    }

    fn group(&mut self) -> Result<(), Problem> {
        const REFUSED: &[(&[u8], &str)] = &[
            (b"(?=", "a look-ahead"),
            (b"(?!", "a negative look-ahead"),
            (b"(?<=", "a look-behind"),
            (b"(?<!", "a negative look-behind"),
            (b"(?>", "an atomic group"),
            (b"(?|", "a branch reset"),
            (b"(?(", "a condition"),
            (b"(?P=", "a back-reference"),
            (b"(?P>", "a recursion"),
            (b"(?R", "a recursion"),
            (b"(?&", "a recursion"),
            (b"(?#", "a comment"),
            (b"(*", "a verb"),
        ];
        let rest = self.source.get(self.at..).unwrap_or_default();
        if let Some((_, what)) = REFUSED.iter().find(|(opening, _)| rest.starts_with(opening)) {
            return self.refuse(what);
        }
        self.raw(b'(');
        if self.peek(0) == Some(b'?') {
            self.raw(b'?');
        }
        Ok(())
    }

    /// An escape, inside or outside of a class. Returns whether it stands for one byte.
    fn escape(&mut self, in_class: bool) -> Result<bool, Problem> {
        let Some(next) = self.peek(1) else {
            return self.broken("a `\\` at its end", "`\\\\` stands for itself");
        };
        match next {
            b'd' | b'D' | b's' | b'S' | b'w' | b'W' => self.pair(next),
            b'b' if in_class => return Ok(self.byte(8, 2)),
            b'A' | b'z' | b'b' | b'B' if !in_class => self.pair(next),
            b'h' => self.set(in_class, "\\t "),
            b'v' => self.set(in_class, "\\n\\x0B\\f\\r"),
            b'a' | b'f' | b'n' | b'r' | b't' => {
                self.pair(next);
                return Ok(true);
            }
            b'e' => return Ok(self.byte(0x1b, 2)),
            b'x' => return self.hex_escape(),
            b'0'..=b'7' if in_class || next == b'0' => return Ok(self.octal()),
            b'1'..=b'9' | b'g' | b'k' => return self.refuse("a back-reference"),
            byte if byte.is_ascii_alphanumeric() => {
                return self.refuse(&format!("`\\{}`", char::from(byte)));
            }
            b'<' | b'>' => {
                self.out.push(char::from(next));
                self.at += 2;
                return Ok(true);
            }
            byte => {
                if byte.is_ascii_punctuation() {
                    self.out.push('\\');
                }
                self.at += 1;
                self.raw(byte);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pair(&mut self, next: u8) {
        self.out.push('\\');
        self.out.push(char::from(next));
        self.at += 2;
    }

    fn set(&mut self, in_class: bool, members: &str) {
        if in_class {
            self.out.push_str(members);
        } else {
            self.out.push('[');
            self.out.push_str(members);
            self.out.push(']');
        }
        self.at += 2;
    }

    fn byte(&mut self, byte: u8, length: usize) -> bool {
        self.hex(byte);
        self.at += length;
        true
    }

    fn hex_escape(&mut self) -> Result<bool, Problem> {
        let rest = self.source.get(self.at + 2..).unwrap_or_default();
        let (digits, length) = match rest.strip_prefix(b"{") {
            Some(inner) => {
                let end = inner.iter().position(|byte| *byte == b'}').unwrap_or(inner.len());
                (inner.get(..end).unwrap_or_default(), end + 4)
            }
            None => {
                let count = rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                (rest.get(..count).unwrap_or_default(), count + 2)
            }
        };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let value = if text.is_empty() { Ok(0) } else { u32::from_str_radix(text, 16) };
        match value.ok().and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => Ok(self.byte(byte, length)),
            None => self.refuse("a code point above \\xFF"),
        }
    }

    fn octal(&mut self) -> bool {
        let rest = self.source.get(self.at + 1..).unwrap_or_default();
        let digits: Vec<u8> =
            rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).copied().collect();
        let value = digits.iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
        self.byte((value & 0xff) as u8, digits.len() + 1)
    }

    fn class(&mut self) -> Result<(), Problem> {
        let opened = self.at;
        self.raw(b'[');
        if self.peek(0) == Some(b'^') {
            self.raw(b'^');
        }
        // Whether the last member can be the lower end of a range.
        let mut is_lower_end = self.peek(0) == Some(b']');
        if is_lower_end {
            self.literal(b']');
        }
        while let Some(byte) = self.peek(0) {
            is_lower_end = match byte {
                b']' => {
                    self.raw(byte);
                    return Ok(());
                }
                b'\\' => self.escape(true)?,
                b'[' if self.peek(1) == Some(b':') => {
                    self.posix();
                    false
                }
                b'-' => self.dash(is_lower_end)?,
                b'[' | b'&' | b'~' => {
                    self.literal(byte);
                    true
                }
                byte => {
                    self.raw(byte);
                    true
                }
            };
        }
        self.at = opened;
        self.broken("a class is not closed", "close it with `]`; `\\[` stands for itself")
    }

    /// `[:alpha:]`, copied; or `[` when no such name follows.
    fn posix(&mut self) {
        let rest = self.source.get(self.at + 2..).unwrap_or_default();
        let name =
            rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'^').count();
        if rest.get(name..).is_some_and(|rest| rest.starts_with(b":]")) {
            for _ in 0..name + 4 {
                let byte = self.peek(0).unwrap_or_default();
                self.raw(byte);
            }
        } else {
            self.literal(b'[');
        }
    }

    /// A dash: a range where it can be one, else itself. Returns whether it can begin a range.
    fn dash(&mut self, is_lower_end: bool) -> Result<bool, Problem> {
        let beside_class = matches!(
            (self.peek(1), self.peek(2)),
            (Some(b']') | None, _)
                | (Some(b'\\'), Some(b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'h' | b'v'))
                | (Some(b'['), Some(b':'))
        );
        if !is_lower_end || beside_class {
            self.literal(b'-');
            return Ok(true);
        }
        self.raw(b'-');
        // The upper end is consumed here, so that it does not begin another range.
        match self.peek(0) {
            Some(b'\\') => {
                self.escape(true)?;
            }
            Some(byte @ (b'[' | b'&' | b'~' | b'-')) => self.literal(byte),
            Some(byte) => self.raw(byte),
            None => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(source: &str) -> String {
        Translator::new(source).run().unwrap()
    }

    #[test]
    fn what_means_something_else_here_is_rewritten() {
        let cases: &[(&str, &str)] = &[
            ("a[b[c&&d]", r"a[b\[c\&\&d]"),
            (r"\<a\>", "<a>"),
            (r"[\w-.]", r"[\w\-.]"),
            ("[-a-z-]", r"[\-a-z\-]"),
            ("[a-z-9]", r"[a-z\-9]"),
            ("[]a]", r"[\]a]"),
            ("é", r"\xC3\xA9"),
            ("[[:alpha:]_]", "[[:alpha:]_]"),
            (r"a{2,}b{c}", r"a{2,}b\{c\}"),
            (r"\x5c\x{bc}", r"\x5C\xBC"),
            (r"[\b]", r"[\x08]"),
            (r"\h+?", r"[\t ]+?"),
            (r"[+--]", r"[+-\-]"),
            (r"[a\[-\]]", r"[a\[-\]]"),
            (r"[^-\[]", r"[^\-\[]"),
        ];
        for (source, expected) in cases {
            assert_eq!(translated(source), *expected, "{source}");
            parse(source).unwrap();
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused_with_its_place() {
        for (source, at, what) in [
            ("a(?=b)", 1, "look-ahead"),
            ("a(?<!b)", 1, "look-behind"),
            (r"(a)\1", 3, "back-reference"),
            ("a++", 2, "possessive"),
            ("(?>a)", 0, "atomic"),
            ("[a", 0, "not closed"),
            (r"\p{L}", 0, "`\\p`"),
        ] {
            let problem = parse(source).unwrap_err();
            assert_eq!(problem.offset, at, "{source}");
            assert!(problem.message.contains(what), "{source}: {}", problem.message);
        }
    }
}
