//! Transformations: what a rule's `t:` does to a value before its operator sees it.
//!
//! One variant for each transformation of ModSecurity 3 (reference manual, section
//! "Transformation functions"). Most values of most requests are changed by none of them, so each
//! begins with a test that finds this out at the speed of `memchr` and writes nothing.
//!
//! Where ModSecurity 3 and Coraza 3 differ the module of the transformation says what was taken;
//! Coraza's way mostly, since it is the younger and closes ways around: CSS escapes and character
//! references beyond ASCII give UTF-8, not their lowest byte; `\\u{…}` is read.

mod base64;
mod case;
mod command;
mod comment;
mod css;
mod digest;
mod escape;
mod hex;
mod html;
mod javascript;
mod parity;
mod path;
mod space;
#[cfg(test)]
mod tests;
mod unicode;
mod url;

pub(crate) use url::{decode_into, decode_percent};

/// A transformation of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transform {
    /// `t:base64Decode`: base64 up to the first byte that is none.
    Base64Decode,
    /// `t:base64DecodeExt`: base64, with all bytes that are none left out.
    Base64DecodeExt,
    /// `t:base64Encode`
    Base64Encode,
    /// `t:cmdLine`: what shells ignore is left out.
    CmdLine,
    /// `t:compressWhitespace`: each run of white space becomes one space.
    CompressWhitespace,
    /// `t:cssDecode`: the escapes of CSS 2 are resolved.
    CssDecode,
    /// `t:escapeSeqDecode`: the escapes of ANSI C are resolved.
    EscapeSeqDecode,
    /// `t:hexDecode`
    HexDecode,
    /// `t:hexEncode`
    HexEncode,
    /// `t:htmlEntityDecode`: character references of HTML are resolved.
    HtmlEntityDecode,
    /// `t:jsDecode`: the escapes of JavaScript are resolved.
    JsDecode,
    /// `t:length`: the number of bytes, in decimal.
    Length,
    /// `t:lowercase`: ASCII letters only.
    Lowercase,
    /// `t:md5`: the raw digest, 16 bytes.
    Md5,
    /// `t:none`: nothing. In a rule it also removes all transformations before it; that is the
    /// parser's part.
    None,
    /// `t:normalizePath`, `t:normalisePath`: `//`, `/./` and `/../` are resolved.
    NormalizePath,
    /// `t:normalizePathWin`, `t:normalisePathWin`: the same, after `\` became `/`.
    NormalizePathWin,
    /// `t:parityEven7bit`
    ParityEven7bit,
    /// `t:parityOdd7bit`
    ParityOdd7bit,
    /// `t:parityZero7bit`
    ParityZero7bit,
    /// `t:removeComments`: `/* … */`, `<!-- … -->`, `-- …` and `# …` are left out.
    RemoveComments,
    /// `t:removeCommentsChar`: the marks of comments are left out, their text stays.
    RemoveCommentsChar,
    /// `t:removeNulls`
    RemoveNulls,
    /// `t:removeWhitespace`
    RemoveWhitespace,
    /// `t:replaceComments`: each `/* … */` becomes one space.
    ReplaceComments,
    /// `t:replaceNulls`: each NUL becomes a space.
    ReplaceNulls,
    /// `t:sha1`: the raw digest, 20 bytes.
    Sha1,
    /// `t:sqlHexDecode`: `0x414243` becomes `ABC`.
    SqlHexDecode,
    /// `t:trim`
    Trim,
    /// `t:trimLeft`
    TrimLeft,
    /// `t:trimRight`
    TrimRight,
    /// `t:uppercase`: ASCII letters only.
    Uppercase,
    /// `t:urlDecode`: `%hh` and `+`.
    UrlDecode,
    /// `t:urlDecodeUni`: `%hh`, `%uhhhh` and `+`.
    UrlDecodeUni,
    /// `t:urlEncode`
    UrlEncode,
    /// `t:utf8toUnicode`: characters beyond ASCII become `%uhhhh`.
    Utf8ToUnicode,
}

impl Transform {
    /// Each transformation with its name; a second spelling has a second row.
    pub const NAMES: &[(&str, Self)] = &[
        ("base64Decode", Self::Base64Decode),
        ("base64DecodeExt", Self::Base64DecodeExt),
        ("base64Encode", Self::Base64Encode),
        ("cmdLine", Self::CmdLine),
        ("compressWhitespace", Self::CompressWhitespace),
        ("cssDecode", Self::CssDecode),
        ("escapeSeqDecode", Self::EscapeSeqDecode),
        ("hexDecode", Self::HexDecode),
        ("hexEncode", Self::HexEncode),
        ("htmlEntityDecode", Self::HtmlEntityDecode),
        ("jsDecode", Self::JsDecode),
        ("length", Self::Length),
        ("lowercase", Self::Lowercase),
        ("md5", Self::Md5),
        ("none", Self::None),
        ("normalisePath", Self::NormalizePath),
        ("normalisePathWin", Self::NormalizePathWin),
        ("normalizePath", Self::NormalizePath),
        ("normalizePathWin", Self::NormalizePathWin),
        ("parityEven7bit", Self::ParityEven7bit),
        ("parityOdd7bit", Self::ParityOdd7bit),
        ("parityZero7bit", Self::ParityZero7bit),
        ("removeComments", Self::RemoveComments),
        ("removeCommentsChar", Self::RemoveCommentsChar),
        ("removeNulls", Self::RemoveNulls),
        ("removeWhitespace", Self::RemoveWhitespace),
        ("replaceComments", Self::ReplaceComments),
        ("replaceNulls", Self::ReplaceNulls),
        ("sha1", Self::Sha1),
        ("sqlHexDecode", Self::SqlHexDecode),
        ("trim", Self::Trim),
        ("trimLeft", Self::TrimLeft),
        ("trimRight", Self::TrimRight),
        ("uppercase", Self::Uppercase),
        ("urlDecode", Self::UrlDecode),
        ("urlDecodeUni", Self::UrlDecodeUni),
        ("urlEncode", Self::UrlEncode),
        ("utf8toUnicode", Self::Utf8ToUnicode),
    ];

    /// Each transformation once; its place is its number.
    pub const ALL: &[Self] = &[
        Self::Base64Decode,
        Self::Base64DecodeExt,
        Self::Base64Encode,
        Self::CmdLine,
        Self::CompressWhitespace,
        Self::CssDecode,
        Self::EscapeSeqDecode,
        Self::HexDecode,
        Self::HexEncode,
        Self::HtmlEntityDecode,
        Self::JsDecode,
        Self::Length,
        Self::Lowercase,
        Self::Md5,
        Self::None,
        Self::NormalizePath,
        Self::NormalizePathWin,
        Self::ParityEven7bit,
        Self::ParityOdd7bit,
        Self::ParityZero7bit,
        Self::RemoveComments,
        Self::RemoveCommentsChar,
        Self::RemoveNulls,
        Self::RemoveWhitespace,
        Self::ReplaceComments,
        Self::ReplaceNulls,
        Self::Sha1,
        Self::SqlHexDecode,
        Self::Trim,
        Self::TrimLeft,
        Self::TrimRight,
        Self::Uppercase,
        Self::UrlDecode,
        Self::UrlDecodeUni,
        Self::UrlEncode,
        Self::Utf8ToUnicode,
    ];

    /// Those that find nothing to do in their own results. `RemoveWhitespace` may: what it leaves of
    /// `C2 20 85`, which is no UTF-8, is white space.
    pub const IDEMPOTENT: &[Self] = &[
        Self::CmdLine,
        Self::CompressWhitespace,
        Self::Lowercase,
        Self::None,
        Self::NormalizePath,
        Self::ParityZero7bit,
        Self::RemoveNulls,
        Self::ReplaceNulls,
        Self::Trim,
        Self::TrimLeft,
        Self::TrimRight,
        Self::Uppercase,
        Self::Utf8ToUnicode,
    ];

    /// The transformation of this name, in any case, without `t:`.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let row = Self::NAMES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        row.map(|(_, transform)| *transform)
    }

    /// Writes the transformed `input` to `out`, which is emptied first, and returns true; or
    /// returns false, `out` then unspecified, when the result equals the input.
    ///
    /// Cost: O(n); allocates only when `out` is too small.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        // Each function returns false when it found, before it wrote, that nothing changes.
        let write: fn(&[u8], &mut Vec<u8>) -> bool = match self {
            Self::Base64Decode => base64::decode,
            Self::Base64DecodeExt => base64::decode_ext,
            Self::Base64Encode => base64::encode,
            Self::CmdLine => command::cmd_line,
            Self::CompressWhitespace => space::compress,
            Self::CssDecode => css::decode,
            Self::EscapeSeqDecode => escape::decode,
            Self::HexDecode => hex::decode,
            Self::HexEncode => hex::encode,
            Self::HtmlEntityDecode => html::decode,
            Self::JsDecode => javascript::decode,
            Self::Length => digest::length,
            Self::Lowercase => case::lower,
            Self::Md5 => digest::md5,
            Self::None => |_, _| false,
            Self::NormalizePath => path::normalize,
            Self::NormalizePathWin => path::normalize_win,
            Self::ParityEven7bit => parity::even,
            Self::ParityOdd7bit => parity::odd,
            Self::ParityZero7bit => parity::zero,
            Self::RemoveComments => comment::remove,
            Self::RemoveCommentsChar => comment::remove_marks,
            Self::RemoveNulls => space::remove_nulls,
            Self::RemoveWhitespace => space::remove,
            Self::ReplaceComments => comment::replace,
            Self::ReplaceNulls => space::replace_nulls,
            Self::Sha1 => digest::sha1,
            Self::SqlHexDecode => hex::decode_sql,
            Self::Trim => space::trim,
            Self::TrimLeft => space::trim_left,
            Self::TrimRight => space::trim_right,
            Self::Uppercase => case::upper,
            Self::UrlDecode => url::decode,
            Self::UrlDecodeUni => url::decode_uni,
            Self::UrlEncode => url::encode,
            Self::Utf8ToUnicode => unicode::escape,
        };
        write(input, out) && out != input
    }
}
