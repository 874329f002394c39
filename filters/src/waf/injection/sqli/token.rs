//! A word of SQL.

/// Bytes of a word that are looked at.
pub(super) const TEXT_MAX: usize = 31;

pub(super) const BAREWORD: u8 = b'n';
pub(super) const BACKSLASH: u8 = b'\\';
pub(super) const COLLATE: u8 = b'A';
pub(super) const COLON: u8 = b':';
pub(super) const COMMA: u8 = b',';
pub(super) const COMMENT: u8 = b'c';
pub(super) const DOT: u8 = b'.';
/// No parser can be sure of what it is, or nobody writes it but for harm.
pub(super) const EVIL: u8 = b'X';
pub(super) const EXPRESSION: u8 = b'E';
pub(super) const FUNCTION: u8 = b'f';
pub(super) const GROUP: u8 = b'B';
pub(super) const KEYWORD: u8 = b'k';
pub(super) const LEFT_BRACE: u8 = b'{';
pub(super) const LEFT_PARENTHESIS: u8 = b'(';
pub(super) const LOGIC: u8 = b'&';
pub(super) const NUMBER: u8 = b'1';
pub(super) const OPERATOR: u8 = b'o';
pub(super) const RIGHT_BRACE: u8 = b'}';
pub(super) const RIGHT_PARENTHESIS: u8 = b')';
pub(super) const SEMICOLON: u8 = b';';
pub(super) const STRING: u8 = b's';
pub(super) const TSQL: u8 = b'T';
pub(super) const TYPE: u8 = b't';
pub(super) const UNION: u8 = b'U';
pub(super) const UNKNOWN: u8 = b'?';
pub(super) const VARIABLE: u8 = b'v';

/// A word: its kind (0: no word), its first bytes, and the quotes around it (0: none).
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: u8,
    pub(super) open: u8,
    pub(super) close: u8,
    pub(super) text: &'a [u8],
}

impl<'a> Token<'a> {
    pub(super) const NONE: Self = Self { kind: 0, open: 0, close: 0, text: &[] };

    pub(super) fn new(kind: u8, text: &'a [u8]) -> Self {
        Self { kind, open: 0, close: 0, text: text.get(..TEXT_MAX).unwrap_or(text) }
    }

    pub(super) fn quoted(kind: u8, text: &'a [u8], open: u8, close: u8) -> Self {
        Self { open, close, ..Self::new(kind, text) }
    }

    /// Whether it is of one of these kinds.
    pub(super) fn is(self, kinds: &[u8]) -> bool {
        kinds.contains(&self.kind)
    }

    /// Whether it is this word, in any case.
    pub(super) fn says(self, word: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_unary(self) -> bool {
        self.kind == OPERATOR
            && match self.text {
                [b'+' | b'-' | b'!' | b'~'] | b"!!" => true,
                text => text.eq_ignore_ascii_case(b"NOT"),
            }
    }

    pub(super) fn is_arithmetic(self) -> bool {
        self.kind == OPERATOR && matches!(self.text, [b'*' | b'/' | b'+' | b'-' | b'%'])
    }

    /// Whether it is a backquote that nothing follows.
    pub(super) fn is_open_backquote(self) -> bool {
        self.kind == BAREWORD && self.open == b'`' && self.close == 0 && self.text.is_empty()
    }
}
