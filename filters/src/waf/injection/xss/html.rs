//! Splits a value into marks of HTML: roughly the standard's tokenizer, with what browsers of old
//! did besides (NUL in names, backquotes, `<% … %>`).

use memchr::{memchr, memmem};

/// Where in a page the value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Between tags.
    Text,
    /// In a tag, where an attribute may begin.
    Tag,
    /// In the value of an attribute with this quote.
    Quoted(u8),
}

/// What kind of mark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    TagName,
    AttributeName,
    AttributeValue,
    Comment,
    Doctype,
    /// Text, ends of tags: nothing that can be wrong.
    Other,
}

/// A mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum State {
    Data,
    TagOpen,
    TagNameClose,
    BeforeAttributeName,
    AfterAttributeName,
    BeforeAttributeValue,
    /// In a quoted value; the quote is passed unless the value begins with it.
    Quoted(u8),
    AfterQuoted,
    SelfClosing,
    End,
}

pub(super) struct Html<'a> {
    value: &'a [u8],
    at: usize,
    state: State,
    closes: bool,
}

const fn is_white(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

impl<'a> Html<'a> {
    pub(super) fn new(value: &'a [u8], place: Place) -> Self {
        let state = match place {
            Place::Text => State::Data,
            Place::Tag => State::BeforeAttributeName,
            Place::Quoted(quote) => State::Quoted(quote),
        };
        Self { value, at: 0, state, closes: false }
    }

    /// The next mark; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        match self.state {
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::TagNameClose => Some(self.tag_name_close()),
            State::BeforeAttributeName => self.before_attribute_name(),
            State::AfterAttributeName => self.after_attribute_name(),
            State::BeforeAttributeValue => self.before_attribute_value(),
            State::Quoted(quote) => Some(self.quoted(quote)),
            State::AfterQuoted => self.after_quoted(),
            State::SelfClosing => self.self_closing(),
            State::End => None,
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    /// A mark of the next `length` bytes; what goes on begins `skip` bytes after it.
    fn token(&mut self, kind: Kind, length: usize, skip: usize, state: State) -> Token<'a> {
        let text = self.rest().get(..length).unwrap_or_else(|| self.rest());
        self.at += length + skip;
        self.state = state;
        Token { kind, text }
    }

    /// All that is left.
    fn last(&mut self, kind: Kind) -> Token<'a> {
        self.token(kind, self.rest().len(), 0, State::End)
    }

    /// Up to `end`, which is passed; or all that is left.
    fn until(&mut self, kind: Kind, end: Option<usize>, skip: usize, state: State) -> Token<'a> {
        match end {
            Some(length) => self.token(kind, length, skip, state),
            None => self.last(kind),
        }
    }

    fn skip_white(&mut self) -> Option<u8> {
        let white = |byte: &&u8| is_white(**byte) || **byte == 0;
        self.at += self.rest().iter().take_while(white).count();
        self.peek()
    }

    fn data(&mut self) -> Option<Token<'a>> {
        match memchr(b'<', self.rest()) {
            Some(0) => {
                self.at += 1;
                self.tag_open()
            }
            Some(length) => Some(self.token(Kind::Other, length, 1, State::TagOpen)),
            None if self.rest().is_empty() => None,
            None => Some(self.last(Kind::Other)),
        }
    }

    fn tag_open(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'!' => {
                self.at += 1;
                Some(self.declaration())
            }
            b'/' => {
                self.at += 1;
                self.closes = true;
                self.end_tag_open()
            }
            b'?' => {
                self.at += 1;
                Some(self.bogus_comment())
            }
            b'%' => {
                self.at += 1;
                Some(self.percent_comment())
            }
            byte if byte.is_ascii_alphabetic() || byte == 0 => Some(self.tag_name()),
            // A `<` that is text.
            _ => Some(self.token(Kind::Other, 0, 0, State::Data)),
        }
    }

    fn end_tag_open(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'>' => self.data(),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.closes = false;
                Some(self.bogus_comment())
            }
        }
    }

    fn tag_name(&mut self) -> Token<'a> {
        let ends = |byte: &u8| is_white(*byte) || matches!(byte, b'/' | b'>');
        let Some(length) = self.rest().iter().position(ends) else {
            return self.last(Kind::TagName);
        };
        match self.rest().get(length) {
            Some(b'/') => self.token(Kind::TagName, length, 1, State::SelfClosing),
            Some(b'>') if self.closes => {
                self.closes = false;
                self.token(Kind::Other, length, 1, State::Data)
            }
            Some(b'>') => self.token(Kind::TagName, length, 0, State::TagNameClose),
            _ => self.token(Kind::TagName, length, 1, State::BeforeAttributeName),
        }
    }

    fn tag_name_close(&mut self) -> Token<'a> {
        self.closes = false;
        let is_end = self.rest().len() <= 1;
        self.token(Kind::Other, 1, 0, if is_end { State::End } else { State::Data })
    }

    fn self_closing(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'>' => Some(self.token(Kind::Other, 1, 0, State::Data)),
            _ => self.before_attribute_name(),
        }
    }

    fn before_attribute_name(&mut self) -> Option<Token<'a>> {
        loop {
            match self.skip_white()? {
                b'/' => self.at += 1,
                b'>' => return Some(self.token(Kind::Other, 1, 0, State::Data)),
                _ => return Some(self.attribute_name()),
            }
        }
    }

    fn attribute_name(&mut self) -> Token<'a> {
        // The first byte is part of the name, whatever it is.
        let ends = |byte: &u8| is_white(*byte) || matches!(byte, b'/' | b'=' | b'>');
        let Some(length) = self.rest().iter().skip(1).position(ends).map(|length| length + 1)
        else {
            return self.last(Kind::AttributeName);
        };
        let (skip, state) = match self.rest().get(length) {
            Some(b'/') => (1, State::SelfClosing),
            Some(b'=') => (1, State::BeforeAttributeValue),
            Some(b'>') => (0, State::TagNameClose),
            _ => (1, State::AfterAttributeName),
        };
        self.token(Kind::AttributeName, length, skip, state)
    }

    fn after_attribute_name(&mut self) -> Option<Token<'a>> {
        match self.skip_white()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'=' => {
                self.at += 1;
                self.before_attribute_value()
            }
            b'>' => Some(self.tag_name_close()),
            _ => Some(self.attribute_name()),
        }
    }

    fn before_attribute_value(&mut self) -> Option<Token<'a>> {
        match self.skip_white()? {
            quote @ (b'"' | b'\'' | b'`') => Some(self.quoted(quote)),
            _ => Some(self.unquoted()),
        }
    }

    fn unquoted(&mut self) -> Token<'a> {
        let ends = |byte: &u8| is_white(*byte) || *byte == b'>';
        let Some(length) = self.rest().iter().position(ends) else {
            return self.last(Kind::AttributeValue);
        };
        let (skip, state) = match self.rest().get(length) {
            Some(b'>') => (0, State::TagNameClose),
            _ => (1, State::BeforeAttributeName),
        };
        self.token(Kind::AttributeValue, length, skip, state)
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        // At the beginning the quote stands before the value.
        self.at += usize::from(self.at > 0);
        self.until(Kind::AttributeValue, memchr(quote, self.rest()), 1, State::AfterQuoted)
    }

    fn after_quoted(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            _ => self.before_attribute_name(),
        }
    }

    fn declaration(&mut self) -> Token<'a> {
        let rest = self.rest();
        if rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"doctype")) {
            return self.until(Kind::Doctype, memchr(b'>', rest), 1, State::Data);
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return self.until(Kind::Other, memmem::find(self.rest(), b"]]>"), 3, State::Data);
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    fn bogus_comment(&mut self) -> Token<'a> {
        self.until(Kind::Comment, memchr(b'>', self.rest()), 1, State::Data)
    }

    /// `<% … %>`
    fn percent_comment(&mut self) -> Token<'a> {
        self.until(Kind::Comment, memmem::find(self.rest(), b"%>"), 2, State::Data)
    }

    /// `<!-- …` up to `-->` or `-!>`, with any NUL after the first dash.
    fn comment(&mut self) -> Token<'a> {
        let rest = self.rest();
        for dash in memchr::memchr_iter(b'-', rest) {
            let after = rest.get(dash + 1..).unwrap_or_default();
            let nulls = after.iter().take_while(|byte| **byte == 0).count();
            match after.get(nulls..) {
                Some([b'-' | b'!', b'>', ..]) => {
                    return self.token(Kind::Comment, dash, nulls + 3, State::Data);
                }
                Some([] | [b'-' | b'!']) => break,
                _ => {}
            }
        }
        self.last(Kind::Comment)
    }
}
