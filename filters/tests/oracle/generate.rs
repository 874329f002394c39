//! Values: pieces of attacks, encodings and noise, put together by a seeded generator.

/// Pieces that the transformations treat in their own way.
pub(crate) const ENCODED: &[&str] = &[
    "%",
    "%2",
    "%41",
    "%u",
    "%u0041",
    "%uff1c",
    "%U00e9",
    "%u2019",
    "%zz",
    "+",
    "%u00",
    "%25",
    "&",
    "&lt;",
    "&lt",
    "&amp;",
    "&ampx",
    "&nbsp;",
    "&#",
    "&#x",
    "&#x41;",
    "&#65",
    "&#0;",
    "&#x80;",
    "&#xd800;",
    "&#x110000;",
    "&colon;",
    "&NotEqualTilde;",
    "&notit;",
    "&frac12",
    "&Tab;",
    "&;",
    "\\",
    "\\x41",
    "\\x4",
    "\\u0041",
    "\\uff1c",
    "\\u{41}",
    "\\u{0ff1c}",
    "\\u{}",
    "\\u{1234567}",
    "\\101",
    "\\777",
    "\\8",
    "\\n",
    "\\a",
    "\\?",
    "\\\\",
    "\\'",
    "\\00003c",
    "\\ff1c ",
    "\\0",
    "\\\n",
    "\\110000 x",
    "\\g",
    "/*",
    "*/",
    "<!--",
    "-->",
    "--",
    "#",
    "/",
    "//",
    "/./",
    "/../",
    "..",
    ".",
    "...",
    "C:",
    ":",
    ":$DATA",
    " .",
    "\\..\\",
    " ",
    "  ",
    "\t",
    "\r\n",
    "\u{b}",
    "\u{a0}",
    "\u{85}",
    "\u{2028}",
    "\u{3000}",
    "é",
    "漢",
    "🦀",
    "ＡＢ",
    "A",
    "abc",
    "XyZ",
    "0x",
    "0x41",
    "0X4142z",
    "YWJj",
    "YWI=",
    "YQ",
    "-_",
    "=",
    "^",
    "\"",
    "'",
    ",",
    ";",
    "(",
    "0",
    "7",
    "g",
    "union",
    "passwd",
];

/// A generator of numbers (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// A value of up to 12 pieces of `list`, some of them broken.
    pub(crate) fn value(&mut self, list: &[&str]) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..1 + self.below(12) {
            match self.below(12) {
                0 => value.push(self.below(256) as u8),
                1 => value.push(b' ' + self.below(95) as u8),
                _ => value.extend_from_slice(self.pick(list).as_bytes()),
            }
        }
        match self.below(6) {
            0 => value.truncate(self.below(value.len() + 1)),
            1 if !value.is_empty() => {
                let at = self.below(value.len());
                value[at] = self.below(256) as u8;
            }
            2 if !value.is_empty() => drop(value.remove(self.below(value.len()))),
            _ => {}
        }
        value
    }
}
