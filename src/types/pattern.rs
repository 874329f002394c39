//! Patterns: regular expressions that must fit a whole text.
//!
//! They take time linear in the text (no backtracking, so no look-around and no back
//! references), are compiled once and are bounded in size. They work on bytes: `.` is any
//! byte but a line's end, `\d` and `\w` are ASCII.

use super::text::{TextValue, text_value};
use regex::bytes::{Captures, Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{Extractor, Seq};
use std::fmt;
use std::str::FromStr;

/// Longest pattern, in bytes.
const TEXT_BYTES_MAX: usize = 2048;
/// Memory of a compiled pattern.
const PROGRAM_BYTES_MAX: usize = 256 * 1024;
/// Memory of what is learnt while it is used, per thread that uses it.
const CACHE_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting.
const DEPTH_MAX: u32 = 64;

/// A regular expression that must fit a whole text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
    literal: Box<[u8]>,
    /// What all texts that fit begin with, if that is one of a few.
    beginnings: Option<Box<[u8]>>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It breaks the grammar.
    #[error("not a regular expression: {why} at character {at}")]
    Syntax {
        /// What is wrong.
        why: String,
        /// Where, counted from 1.
        at: usize,
    },
    /// It would take too much memory.
    #[error("too large for a regular expression")]
    Size,
}

impl Pattern {
    /// Whether all of `text` fits. Cost: O(n), no allocation once a thread has used it a while.
    #[must_use]
    pub fn fits(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// What the groups hold, if all of `text` fits. Allocates.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// How many groups it has; the whole text is not one.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// What every text that fits begins with; may be empty.
    #[must_use]
    pub fn literal(&self) -> &[u8] {
        &self.literal
    }

    /// Whether a text that begins with `byte` could fit. May say so though none can.
    #[must_use]
    pub fn may_begin_with(&self, byte: u8) -> bool {
        self.beginnings.as_ref().is_none_or(|bytes| bytes.contains(&byte))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidPattern::Size);
        }
        // Alone first: so that no odd bracket can get around what is put about it below.
        let tree = parse(text)?;
        let regex = RegexBuilder::new(&format!("\\A(?:{tree})\\z"))
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .nest_limit(2 * DEPTH_MAX)
            .build()
            .map_err(|_too_large| InvalidPattern::Size)?;
        let prefixes = Extractor::new().extract(&tree);
        Ok(Self {
            text: text.into(),
            regex,
            literal: prefixes.longest_common_prefix().unwrap_or_default().into(),
            beginnings: beginnings(&prefixes),
        })
    }
}

fn parse(text: &str) -> Result<Hir, InvalidPattern> {
    let mut parser = ParserBuilder::new().nest_limit(DEPTH_MAX).utf8(false).unicode(false).build();
    parser.parse(text).map_err(|error| {
        let (why, at) = match &error {
            regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span()),
            regex_syntax::Error::Translate(error) => (error.kind().to_string(), error.span()),
            _ => return InvalidPattern::Size,
        };
        InvalidPattern::Syntax { why, at: at.start.column }
    })
}

/// The first bytes of all `prefixes`, if they are few and none is empty.
fn beginnings(prefixes: &Seq) -> Option<Box<[u8]>> {
    prefixes.literals()?.iter().map(|literal| literal.as_bytes().first().copied()).collect()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TextValue for Pattern {
    const FORMAT: &'static str = "regex";
    const ACCEPTED: &'static str =
        "a regular expression without look-around and back references, of moderate size";
}

text_value!(Pattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_fits_a_whole_text_or_not_at_all() {
        for (text, fitting, other) in [
            ("a|b", "b", "ab"),
            ("/users/[0-9]+", "/users/17", "/users/17/x"),
            ("^/a$", "/a", "/a\n"),
            ("(?x) /a # a comment", "/a", "/a # a comment"),
            ("(?m)^a$", "a", "b\na"),
            ("(?i)abc", "ABC", "ABCD"),
            ("\\d", "1", "\u{661}"),
            (".", "\u{1}", "\u{e4}"),
            ("\u{e4}", "\u{e4}", "a"),
            ("", "", "a"),
        ] {
            assert!(pattern(text).fits(fitting.as_bytes()), "{text} {fitting}");
            assert!(!pattern(text).fits(other.as_bytes()), "{text} {other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_place() {
        for (text, why, at) in
            [("a(b", "unclosed group", 2), ("a)|(b", "unopened group", 2), ("a**", "", 0)]
        {
            match text.parse::<Pattern>() {
                Err(InvalidPattern::Syntax { why: said, at: place }) => {
                    assert_eq!((said.as_str(), place), (why, at), "{text}");
                }
                // A repetition may be repeated.
                Ok(_) => assert_eq!(at, 0, "{text}"),
                Err(InvalidPattern::Size) => panic!("{text}"),
            }
        }
        for text in ["(?=a)b", "(a)\\1"] {
            assert!(matches!(text.parse::<Pattern>(), Err(InvalidPattern::Syntax { .. })));
        }
        for text in ["((a{100}){100}){100}", &"a".repeat(TEXT_BYTES_MAX + 1)] {
            assert_eq!(text.parse::<Pattern>(), Err(InvalidPattern::Size));
        }
    }

    #[test]
    fn what_all_texts_begin_with_is_known() {
        for (text, literal) in [
            ("/users/[0-9]+", "/users/"),
            ("^/users/new$", "/users/new"),
            ("/(a|b)/c", "/"),
            ("/a|/ab", "/a"),
            ("(?i)/api/.*", "/"),
            (".*", ""),
            ("(/a)?/b", "/"),
        ] {
            assert_eq!(pattern(text).literal(), literal.as_bytes(), "{text}");
        }
        assert!(!pattern("api/.*").may_begin_with(b'/') && !pattern("(a|b)").may_begin_with(b'/'));
        for text in [".*", "/a", "[a-z/]+", "a?/", ""] {
            assert!(pattern(text).may_begin_with(b'/') || text.is_empty(), "{text}");
        }
    }

    #[test]
    fn groups_are_counted_and_captured() {
        let pattern = pattern("/(a+)(/b)?");
        assert_eq!(pattern.groups(), 2);
        let captures = pattern.captures(b"/aa").unwrap();
        assert_eq!(
            (captures.get(1).unwrap().as_bytes(), captures.get(2).is_none()),
            (&b"aa"[..], true)
        );
    }
}
