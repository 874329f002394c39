//! A request's head, kept while the request waits: the engine's own does not last so long.

use vanne_filters::{FieldList, RequestHead, Version};

/// A copy of a head.
pub(super) struct KeptHead {
    method: Box<str>,
    target: Box<[u8]>,
    version: Version,
    authority: Option<Box<[u8]>>,
    fields: Fields,
}

/// Name and value.
type Field = (Box<[u8]>, Box<[u8]>);

struct Fields(Vec<Field>);

impl FieldList for Fields {
    fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| visit(name, value));
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.0.iter();
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| &**value)
    }
}

impl KeptHead {
    /// A copy of `head`.
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        let mut fields = Vec::new();
        head.fields.each(&mut |name, value| fields.push((name.into(), value.into())));
        Self {
            method: head.method.into(),
            target: head.target.into(),
            version: head.version,
            authority: head.authority.map(Box::from),
            fields: Fields(fields),
        }
    }

    /// The head.
    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            version: self.version,
            authority: self.authority.as_deref(),
            fields: &self.fields,
        }
    }
}
