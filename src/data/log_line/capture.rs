//! Captured header fields: copied while the head is there, redacted at once.

use super::redact::{HIDDEN, Redact};
use vanne_filters::FieldList;

/// A field that is captured.
#[derive(Clone, Debug)]
pub struct Captures {
    /// Its name, in lower case.
    pub name: Box<str>,
    /// The most that is kept of it.
    pub bytes_max: usize,
    /// Its value is a secret.
    pub is_hidden: bool,
}

/// Which fields are captured of each head.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Of the request's.
    pub request: Vec<Captures>,
    /// Of the answer's.
    pub response: Vec<Captures>,
}

/// What was captured of a head: in the order of the list that it was captured by.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`, and whether the field was there.
    ends: Vec<(usize, bool)>,
}

impl Captured {
    /// Takes what `wanted` says out of `fields`, in place of what there was.
    /// Cost: O(wanted × fields); allocates where more is taken than before.
    pub fn fill(&mut self, wanted: &[Captures], fields: &dyn FieldList) {
        self.clear();
        for one in wanted {
            let is_there = self.take(one, fields);
            self.ends.push((self.bytes.len(), is_there));
        }
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        let Self { bytes, ends } = self;
        bytes.clear();
        ends.clear();
    }

    /// Bytes of memory that it holds, used or not.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let Self { bytes, ends } = self;
        bytes.capacity() + ends.capacity() * size_of::<(usize, bool)>()
    }

    fn take(&mut self, one: &Captures, fields: &dyn FieldList) -> bool {
        let start = self.bytes.len();
        let mut is_there = false;
        fields.each(&mut |name, value| {
            if !name.eq_ignore_ascii_case(one.name.as_bytes()) || (is_there && one.is_hidden) {
                return;
            }
            if is_there {
                self.bytes.extend_from_slice(b", ");
            }
            self.bytes.extend_from_slice(if one.is_hidden { HIDDEN } else { value });
            is_there = true;
        });
        self.bytes.truncate(start + one.bytes_max.max(HIDDEN.len() * usize::from(one.is_hidden)));
        is_there
    }

    /// The value of the field at `index` of the list; `None` if it was not there.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let (end, is_there) = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before));
        self.bytes.get(start.map_or(0, |(end, _)| *end)..end).filter(|_| is_there)
    }
}

impl Capture {
    /// Whether nothing is captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Whether the value of `name` is a secret: some are whatever the config says.
    #[must_use]
    pub fn is_secret(name: &str, redact: &Redact) -> bool {
        const ALWAYS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];
        ALWAYS.contains(&name) || redact.headers.iter().any(|header| **header == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::FieldSlice;

    #[test]
    fn values_are_joined_cut_and_hidden() {
        let one =
            |name: &str, bytes_max, is_hidden| Captures { name: name.into(), bytes_max, is_hidden };
        let wanted = [
            one("cookie", 1, true),
            one("missing", 9, false),
            one("x-a", 6, false),
            one("x-empty", 9, false),
        ];
        let fields = FieldSlice(&[
            ("X-A", "abc"),
            ("Cookie", "s=1"),
            ("x-empty", ""),
            ("x-a", "def"),
            ("cookie", "t"),
        ]);
        let mut captured = Captured::default();
        captured.fill(&wanted, &FieldSlice(&[("missing", "not any more")]));
        captured.fill(&wanted, &fields);
        let values: Vec<_> = (0..5).map(|index| captured.value(index)).collect();
        let want: [Option<&[u8]>; 5] = [Some(b"***"), None, Some(b"abc, d"), Some(b""), None];
        assert_eq!(values, want);
    }
}
