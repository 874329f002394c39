//! Pingora's heads as stages see them, and edits written into them.

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::{RequestHeader, ResponseHeader};
use vanne_filters::{Edit, FieldList, HeadEdits, RequestHead, ResponseHead, Version};

/// A header map as a list of fields.
pub struct Fields<'a>(pub &'a HeaderMap);

impl FieldList for Fields<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }

    fn count(&self, name: &str) -> usize {
        self.0.get_all(name).iter().count()
    }
}

/// The view of a request's head. `fields` must be of `header`.
pub fn request_head<'a>(header: &'a RequestHeader, fields: &'a Fields<'a>) -> RequestHead<'a> {
    RequestHead {
        method: header.method.as_str(),
        target: header.raw_path(),
        version: version(header.version),
        fields,
    }
}

/// The view of an answer's head. `fields` must be of `header`.
pub fn response_head<'a>(header: &ResponseHeader, fields: &'a Fields<'a>) -> ResponseHead<'a> {
    ResponseHead { status: header.status.as_u16(), fields }
}

fn version(version: http::Version) -> Version {
    match version {
        http::Version::HTTP_2 | http::Version::HTTP_3 => Version::Http2,
        http::Version::HTTP_11 => Version::Http11,
        _ => Version::Http10,
    }
}

/// A head that edits can be written into.
pub trait Editable {
    /// The fields.
    fn fields(&self) -> &HeaderMap;
    /// Replaces a field.
    ///
    /// # Errors
    /// When the name is not one.
    fn put(&mut self, name: HeaderName, value: HeaderValue) -> pingora_error::Result<()>;
    /// Removes a field.
    fn drop_field(&mut self, name: &HeaderName);
}

impl Editable for RequestHeader {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
    fn put(&mut self, name: HeaderName, value: HeaderValue) -> pingora_error::Result<()> {
        self.insert_header(name, value)
    }
    fn drop_field(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

impl Editable for ResponseHeader {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
    fn put(&mut self, name: HeaderName, value: HeaderValue) -> pingora_error::Result<()> {
        self.insert_header(name, value)
    }
    fn drop_field(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }
}

/// Writes `edits` into `header`, in order.
///
/// # Errors
/// When Pingora refuses a name.
pub fn apply(edits: &HeadEdits, header: &mut impl Editable) -> pingora_error::Result<()> {
    for edit in edits {
        match edit {
            Edit::Remove(name) => header.drop_field(name),
            Edit::Set(name, value) => header.put(name.clone(), value.clone())?,
            Edit::SetIfAbsent(name, value) => {
                if !header.fields().contains_key(name) {
                    header.put(name.clone(), value.clone())?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;

    #[test]
    fn edits_are_applied_in_order_and_a_present_field_is_kept_if_asked() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.append_header("x-a", "1").unwrap();
        head.append_header("x-a", "2").unwrap();
        head.append_header("x-frame-options", "SAMEORIGIN").unwrap();
        let mut edits = HeadEdits::new();
        edits.remove(HeaderName::from_static("x-a"));
        edits.set(HeaderName::from_static("x-a"), HeaderValue::from_static("3"));
        edits.set_if_absent(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        apply(&edits, &mut head).unwrap();
        assert_eq!(head.headers.get_all("x-a").iter().count(), 1);
        assert_eq!(head.headers["x-frame-options"], "SAMEORIGIN");
    }
}
