//! Trailers of an answer that came in chunks, for a client of HTTP/2.
//!
//! Their lines were checked as they came: none of them frames or routes a message.

use super::stream_answer::is_not_for_http2;
use crate::data::upstream::Fault;
use crate::wire::fields::{Field, Fields, read_trailers};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The trailers of one answer.
#[derive(Default)]
pub(super) struct Trailers {
    /// Their lines, with the empty one at the end, as far as they came. As long as the reader of
    /// chunks lets them be.
    pub(super) lines: Vec<u8>,
    list: Vec<Field>,
}

impl Trailers {
    /// Whether there are any.
    pub(super) fn are_there(&self) -> bool {
        self.lines.len() > b"\r\n".len()
    }

    /// Reads them; all must have come.
    ///
    /// # Errors
    /// When a line is no field, or there are too many.
    pub(super) fn read(&mut self) -> Result<Fields<'_>, Fault> {
        self.list.clear();
        read_trailers(&self.lines, &mut self.list).map_err(|_bad| Fault::BackendMalformed)?;
        Ok(Fields { head: &self.lines, list: &self.list })
    }
}

/// What of `fields` may be said in HTTP/2.
///
/// # Errors
/// When a field has no form that HTTP/2 knows.
pub(super) fn for_http2(fields: Fields<'_>) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter().filter(|(name, _)| !is_not_for_http2(name)) {
        let field = HeaderName::from_bytes(name).ok().zip(HeaderValue::from_bytes(value).ok());
        let (name, value) = field.ok_or(Fault::BackendMalformed)?;
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &str) -> Result<Vec<String>, Fault> {
        let mut trailers = Trailers { lines: lines.into(), ..Trailers::default() };
        let map = for_http2(trailers.read()?)?;
        Ok(map.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect())
    }

    #[test]
    fn fields_that_end_with_a_connection_are_left_out() {
        let lines = "Grpc-Status: 0\r\nKeep-Alive: x\r\nX-A:1 \r\nx-a: 2\r\nUpgrade: x\r\n\r\n";
        assert_eq!(shown(lines).unwrap(), ["grpc-status=0", "x-a=1", "x-a=2"]);
        assert_eq!(shown("\r\n").unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_field_is_malformed() {
        for lines in ["A\r\n\r\n", "A : b\r\n\r\n", "A: b\r\n", "", "A: b\nC: d\r\n\r\n"] {
            assert!(shown(lines).is_err(), "{lines:?}");
        }
        assert!(shown(&format!("{}\r\n", "A: b\r\n".repeat(300))).is_err());
    }
}
