//! `@pm` and `@pmFromFile`: is any of many phrases in the value?

use aho_corasick::{AhoCorasick, MatchKind};

/// A set of phrases, found all at once in one pass over a value, in any case (ASCII).
#[derive(Clone, Debug)]
pub struct Phrases {
    automaton: AhoCorasick,
    /// Nothing shorter has one.
    length_min: usize,
}

impl Phrases {
    /// The set of `phrases`; empty ones are left out.
    ///
    /// # Errors
    /// There is no phrase, or there are too many to number (4 GiB of them).
    pub fn new(phrases: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Self, String> {
        let mut kept: Vec<_> =
            phrases.into_iter().map(|phrase| phrase.as_ref().to_ascii_lowercase()).collect();
        kept.retain(|phrase| !phrase.is_empty());
        let length_min = kept.iter().map(Vec::len).min().ok_or("expected at least one phrase")?;
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&kept)
            .map_err(|error| error.to_string())?;
        Ok(Self { automaton, length_min })
    }

    /// The phrases of a file of phrases: one a line, trimmed; `#` begins a comment.
    pub fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
        let lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    }

    /// The first phrase in `value`, as it is written there; the longest of those that begin there.
    ///
    /// Cost: one pass, O(n), no allocation.
    #[must_use]
    pub fn find<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        self.find_all(value).next()
    }

    /// All phrases in `value` that do not overlap, from the left.
    pub fn find_all<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let searched = if value.len() < self.length_min { &[] } else { value };
        self.automaton.find_iter(searched).filter_map(|found| value.get(found.range()))
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.automaton.memory_usage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_in_any_case() {
        let phrases = Phrases::new(["union", "UNION select", ""]).unwrap();
        assert_eq!(phrases.find(b"1 Union SELECT 2"), Some(&b"Union SELECT"[..]));
        assert_eq!(phrases.find(b"re-UNION"), Some(&b"UNION"[..]));
        assert_eq!(phrases.find(b"uni on"), None);
        assert_eq!(phrases.find(b""), None);
        assert_eq!(phrases.find_all(b"union union union").count(), 3);
        assert!(Phrases::new(["", ""]).is_err());
        assert!(phrases.memory_bytes() > 0);
    }

    #[test]
    fn a_file_has_one_phrase_a_line() {
        let file = b"# comment\n\n  /etc/passwd \r\nboot.ini\n#x\n.git";
        let lines: Vec<_> = Phrases::lines(file).collect();
        assert_eq!(lines, [&b"/etc/passwd"[..], b"boot.ini", b".git"]);
    }
}
