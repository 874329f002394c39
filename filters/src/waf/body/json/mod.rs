//! JSON (RFC 8259), flattened to arguments.
//!
//! Names are Coraza's: `{"a":[{"b":1}]}` is `json.a.0.b` = `1`, and `json.a` = `1`, the length of
//! the array, after its elements. (ModSecurity writes `json.a.array_0.b` and no length; no rule of
//! CRS depends on either.) A string is unescaped, `null` is empty, a number stays as written. A
//! scalar that is all of the document is named as if it was in an array. Otherwise than there, a
//! member that is `{}` or `[]` is an empty argument: its name may be what matters.
//!
//! The parser keeps no tree: it holds the way to where it is, and gives each scalar as it passes.
//! It is strict; what it has given before an error stays given.

mod escape;

use super::{Fault, Fields, Limits};
use escape::unescape;
use memchr::memchr2;
use std::io::Write;

/// Names and values together may be this many times as long as the body: a way is written again
/// for each scalar under it, so a small body could otherwise grow without bound.
const GROWTH_MAX: usize = 8;
/// Bodies whose arguments are no longer than this are not held to [`GROWTH_MAX`].
const GROWTH_FREE_BYTES: usize = 4096;

/// Gives each scalar of `body` as an argument named by its way.
///
/// Cost: O(n) and what the names come to, at most eight times the body; memory for the
/// way and the longest string.
///
/// # Errors
/// See [`Fault`].
pub fn json(body: &[u8], limits: Limits, out: &mut impl Fields) -> Result<(), Fault> {
    let mut walk = Walk {
        body,
        at: 0,
        way: b"json".to_vec(),
        text: Vec::new(),
        open: Vec::new(),
        arguments: 0,
        containers: 0,
        growth_left: body.len().saturating_mul(GROWTH_MAX).max(GROWTH_FREE_BYTES),
        limits,
    };
    walk.document(out)
}

/// A container that is open.
#[derive(Clone, Copy)]
struct Open {
    /// The length of its own way.
    way: usize,
    /// Elements of an array so far; `None` for an object.
    elements: Option<usize>,
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    way: Vec<u8>,
    /// The last string, unescaped.
    text: Vec<u8>,
    open: Vec<Open>,
    arguments: usize,
    /// Arguments that stand for containers.
    containers: usize,
    growth_left: usize,
    limits: Limits,
}

impl<'a> Walk<'a> {
    fn document(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            self.way.extend_from_slice(b".0");
            self.scalar(out)?;
            self.way.truncate(b"json".len());
            self.length(1, out)?;
            return self.end();
        }
        loop {
            let is_opened = match self.peek() {
                Some(b'{') => self.enter(None, b'}', out)?,
                Some(b'[') => self.enter(Some(0), b']', out)?,
                _ => {
                    self.scalar(out)?;
                    false
                }
            };
            if !is_opened && !self.next(out)? {
                return self.end();
            }
        }
    }

    /// Opens a container; false when it is empty and so closed again.
    fn enter(
        &mut self,
        elements: Option<usize>,
        close: u8,
        out: &mut impl Fields,
    ) -> Result<bool, Fault> {
        if self.open.len() >= self.limits.depth {
            return Err(Fault::Depth(self.limits.depth));
        }
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            self.empty(out)?;
            return Ok(false);
        }
        self.open.push(Open { way: self.way.len(), elements });
        self.member()?;
        Ok(true)
    }

    /// After a value: goes to the next member, closing what ends here; false at the last end.
    fn next(&mut self, out: &mut impl Fields) -> Result<bool, Fault> {
        while let Some(open) = self.open.last().copied() {
            self.way.truncate(open.way);
            match (self.peek(), open.elements) {
                (Some(b','), _) => {
                    self.at += 1;
                    self.member()?;
                    return Ok(true);
                }
                (Some(b'}'), None) => {}
                (Some(b']'), Some(elements)) => self.length(elements, out)?,
                (_, None) => return Err(self.fault("expected `,` or `}`")),
                (_, Some(_)) => return Err(self.fault("expected `,` or `]`")),
            }
            self.at += 1;
            self.open.pop();
        }
        Ok(false)
    }

    /// Appends the next member's name to the way, and goes to its value.
    fn member(&mut self) -> Result<(), Fault> {
        self.way.push(b'.');
        if let Some(Open { elements: Some(elements), .. }) = self.open.last_mut() {
            self.way.extend_from_slice(decimal(*elements, &mut [0; 20]));
            *elements += 1;
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a name in quotes"));
        }
        let raw = self.string()?;
        self.way.extend_from_slice(raw.unwrap_or(&self.text));
        if self.peek() != Some(b':') {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        let (raw, is_null) = match self.peek() {
            Some(b'"') => (self.string()?, false),
            Some(b'-' | b'0'..=b'9') => (Some(self.number()?), false),
            first => (Some(self.word()?), first == Some(b'n')),
        };
        if self.arguments >= self.limits.arguments {
            return Err(Fault::Arguments(self.limits.arguments));
        }
        self.arguments += 1;
        let value = if is_null { b"" } else { raw.unwrap_or(&self.text) };
        grow(&mut self.growth_left, self.way.len() + value.len(), self.at)?;
        out.argument(&self.way, value);
        Ok(())
    }

    /// Gives the length of an array.
    fn length(&mut self, elements: usize, out: &mut impl Fields) -> Result<(), Fault> {
        self.container(decimal(elements, &mut [0; 20]), out)
    }

    /// Gives an empty container that is a member of an object as an empty value: no other argument
    /// has its name.
    fn empty(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        match self.open.last() {
            Some(Open { elements: None, .. }) => self.container(b"", out),
            _ => Ok(()),
        }
    }

    /// Gives what stands for a container. These do not use up the limit of arguments; they have
    /// their own of the same size.
    fn container(&mut self, value: &[u8], out: &mut impl Fields) -> Result<(), Fault> {
        if self.containers >= self.limits.arguments {
            return Err(Fault::Arguments(self.limits.arguments));
        }
        self.containers += 1;
        grow(&mut self.growth_left, self.way.len() + value.len(), self.at)?;
        out.argument(&self.way, value);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.peek().map_or(Ok(()), |_| Err(self.fault("expected the end")))
    }

    /// The next byte that is no white space, which it goes to.
    fn peek(&mut self) -> Option<u8> {
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(is_space).count();
        self.body.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault::Syntax { format: "JSON", what, at: self.at }
    }

    /// Passes `true`, `false` or `null`.
    fn word(&mut self) -> Result<&'a [u8], Fault> {
        let rest = self.rest();
        let words: [&[u8]; 3] = [b"true", b"false", b"null"];
        let word = words.into_iter().find(|word| rest.starts_with(word));
        let word = word.ok_or_else(|| self.fault("expected a value"))?;
        self.at += word.len();
        Ok(word)
    }

    /// Passes a number: `-1.5e+3`.
    fn number(&mut self) -> Result<&'a [u8], Fault> {
        let rest = self.rest();
        let digits =
            |from: usize| rest.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let byte = |at: usize| rest.get(at).copied().unwrap_or_default();
        let start = usize::from(byte(0) == b'-');
        let mut end = start + if byte(start) == b'0' { 1 } else { digits(start) };
        let mut is_whole = end > start;
        if byte(end) == b'.' {
            let count = digits(end + 1);
            is_whole &= count > 0;
            end += 1 + count;
        }
        if matches!(byte(end), b'e' | b'E') {
            let sign = usize::from(matches!(byte(end + 1), b'+' | b'-'));
            let count = digits(end + 1 + sign);
            is_whole &= count > 0;
            end += 1 + sign + count;
        }
        if !is_whole {
            return Err(self.fault("expected a number"));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// Passes a string: as it is in the body, or `None` when it had escapes and is in `text`.
    fn string(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        self.at += 1;
        let start = self.at;
        self.text.clear();
        loop {
            let rest = self.rest();
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                return Err(self.fault("expected the end of a string"));
            };
            let (plain, mark) = rest.split_at(length);
            if let Some(at) = plain.iter().position(|byte| *byte < 0x20) {
                self.at += at;
                return Err(self.fault("a control character in a string"));
            }
            self.at += length + 1;
            let is_end = mark.first() == Some(&b'"');
            if is_end && self.at == start + length + 1 {
                return Ok(Some(plain));
            }
            self.text.extend_from_slice(plain);
            if is_end {
                return Ok(None);
            }
            let escape = mark.get(1..).unwrap_or_default();
            let length = unescape(escape, &mut self.text);
            self.at += length.ok_or_else(|| self.fault("no such escape"))?;
        }
    }
}

/// Takes `bytes` from what the arguments may still grow.
fn grow(left: &mut usize, bytes: usize, at: usize) -> Result<(), Fault> {
    let what = "its names are too long for it";
    *left = left.checked_sub(bytes).ok_or(Fault::Syntax { format: "JSON", what, at })?;
    Ok(())
}

/// `number` in decimal; `digits` is where it is written.
fn decimal(number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut free = &mut digits[..];
    // 20 digits are enough for 64 bits, so this does not fail.
    let is_written = write!(free, "{number}").is_ok();
    let length = 20 - free.len();
    debug_assert!(is_written);
    digits.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::body::tests::{Found, found};

    fn limited(body: &str, limits: Limits) -> Found {
        found(|out| json(body.as_bytes(), limits, out))
    }

    fn arguments(body: &str) -> Vec<String> {
        let found = limited(body, Limits::default());
        assert_eq!(found.fault, None, "{body}");
        found.arguments
    }

    #[test]
    fn names_are_ways() {
        let body =
            r#" {"a": [1, {"b": "x"}, [], [true]], "c": {"d": null, "e": {}}, "": -1.5e+3} "#;
        let expected = [
            "json.a.0=1",
            "json.a.1.b=x",
            "json.a.3.0=true",
            "json.a.3=1",
            "json.a=4",
            "json.c.d=",
            "json.c.e=",
            "json.=-1.5e+3",
        ];
        assert_eq!(arguments(body), expected);
        assert_eq!(arguments(r#"[{"a":1},{"a":2}]"#), ["json.0.a=1", "json.1.a=2", "json=2"]);
        assert_eq!(arguments(r#""x""#), ["json.0=x", "json=1"]);
        assert!(arguments("{}").is_empty() && arguments("[[],{}]") == ["json=2"]);
    }

    #[test]
    fn names_of_what_is_empty_are_given() {
        assert_eq!(arguments(r#"{"a":{},"b":[],"c":[{},[]]}"#), ["json.a=", "json.b=", "json.c=2"]);
        let limits = Limits { arguments: 1, ..Limits::default() };
        let found = limited(r#"{"a":{},"b":{}}"#, limits);
        assert_eq!((found.arguments.len(), found.fault), (1, Some(Fault::Arguments(1))));
    }

    #[test]
    fn strings_are_unescaped() {
        let body = r#"{"\u0061\n":"\"\\\/\b\f\r\t\u00e9\ud83e\udd80\ud83e!","a.b":"é"}"#;
        let expected = ["json.a\n=\"\\/\u{8}\u{c}\r\té🦀\u{fffd}!", "json.a.b=é"];
        assert_eq!(arguments(body), expected);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let broken = [
            "",
            " ",
            "{",
            "[",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "{a:1}",
            "{1:1}",
            "[1}",
            "{\"a\":1]",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "01",
            "1.",
            "-",
            ".5",
            "1e",
            "+1",
            "truth",
            "nul",
            "NaN",
            "[1]x",
            "{} {}",
            "'a'",
            "[,1]",
            "{\"a\" 1}",
            "\"\\",
        ];
        for body in broken {
            let fault = limited(body, Limits::default()).fault;
            let is_syntax = matches!(fault, Some(Fault::Syntax { format: "JSON", .. }));
            assert!(is_syntax, "{body}: {fault:?}");
        }
    }

    #[test]
    fn what_stood_before_an_error_is_given() {
        let found = limited(r#"{"a":"x","b":nul}"#, Limits::default());
        assert_eq!(found.arguments, ["json.a=x"]);
        let fault = found.fault.map(|fault| fault.to_string());
        assert_eq!(fault.as_deref(), Some("JSON is broken at byte 13: expected a value"));
    }

    #[test]
    fn depth_arguments_and_growth_are_bounded() {
        let limits = Limits { depth: 3, arguments: 2, ..Limits::default() };
        assert_eq!(limited("[[{\"a\":1}]]", limits).fault, None);
        assert_eq!(limited("[[[[1]]]]", limits).fault, Some(Fault::Depth(3)));
        assert_eq!(limited("[[[1]]]", limits).fault, Some(Fault::Arguments(2)));
        let found = limited(r#"{"a":1,"b":2,"c":3}"#, limits);
        assert_eq!((found.arguments.len(), found.fault), (2, Some(Fault::Arguments(2))));
        let body = format!("{{\"{}\":[{}1]}}", "x".repeat(500), "1,".repeat(200));
        let fault = limited(&body, Limits::default()).fault;
        assert!(matches!(fault, Some(Fault::Syntax { what, .. }) if what.contains("too long")));
        let deep = "[".repeat(100_000);
        assert_eq!(limited(&deep, Limits::default()).fault, Some(Fault::Depth(512)));
    }
}
