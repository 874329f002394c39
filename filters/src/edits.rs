//! Edits to a head: what stages and filters want changed, applied by the engine.
//!
//! Edits are a list, applied in order: a field is removed with all its duplicates, set to
//! one value, set only where the other side left it out, or added to what is there. A
//! request's target is replaced as a whole. One `HeadEdits` is kept per connection side and
//! cleared between requests, so that its memory is reused.

use http::{HeaderName, HeaderValue};

/// One change to a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One more field, after those of its name that are there.
    Add(HeaderName, HeaderValue),
    /// All fields of this name go.
    Remove(HeaderName),
    /// The field is there once, with this value, whatever was there before.
    Set(HeaderName, HeaderValue),
    /// The field is set unless the message has one.
    SetIfAbsent(HeaderName, HeaderValue),
}

/// A list of edits, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEdits {
    edits: Vec<Edit>,
    target: Option<Vec<u8>>,
}

impl HeadEdits {
    /// No edits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No edits, with room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { edits: Vec::with_capacity(count), target: None }
    }

    /// Adds a field `name` with `value` to those that are there.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Add(name, value));
    }

    /// Removes all fields called `name`.
    pub fn remove(&mut self, name: HeaderName) {
        self.edits.push(Edit::Remove(name));
    }

    /// Sets `name` to `value`, replacing what was there.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Set(name, value));
    }

    /// Sets `name` to `value` unless the message has the field.
    pub fn set_if_absent(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::SetIfAbsent(name, value));
    }

    /// Replaces the target of a request: path and query, which must be fit to be one.
    pub fn set_target(&mut self, target: Vec<u8>) {
        debug_assert!(target.first() == Some(&b'/'));
        self.target = Some(target);
    }

    /// The target that the request gets, if it gets another one.
    #[must_use]
    pub fn target(&self) -> Option<&[u8]> {
        self.target.as_deref()
    }

    /// The edits of fields, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.edits.iter()
    }

    /// How many of those there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.target.is_none()
    }

    /// Forgets all edits, keeps the memory.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.target = None;
    }
}

impl<'a> IntoIterator for &'a HeadEdits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
