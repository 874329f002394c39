//! Tables of cases, each confirmed by Coraza where it has the transformation, and properties.

use super::Transform;
use proptest::prelude::*;
use std::collections::HashSet;

fn apply(name: &str, input: &[u8]) -> Vec<u8> {
    let transform = Transform::parse(name.as_bytes()).expect(name);
    let mut out = b"left over".to_vec();
    if transform.apply(input, &mut out) { out } else { input.to_vec() }
}

fn check(name: &str, cases: &[(&str, &str)]) {
    for (input, expected) in cases {
        check_bytes(name, input.as_bytes(), expected.as_bytes());
    }
}

fn check_bytes(name: &str, input: &[u8], expected: &[u8]) {
    let result = apply(name, input);
    assert_eq!(
        result.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "t:{name} of {}",
        input.escape_ascii()
    );
}

#[test]
fn names_are_found_in_any_case_and_are_all_there() {
    assert_eq!(Transform::parse(b"URLDECODEUNI"), Some(Transform::UrlDecodeUni));
    assert_eq!(Transform::parse(b"normalisePath"), Transform::parse(b"normalizePath"));
    assert_eq!(Transform::parse(b"rot13"), None);
    let kinds: HashSet<_> = Transform::NAMES.iter().map(|(_, transform)| transform).collect();
    assert_eq!(kinds, Transform::ALL.iter().collect());
    assert!((0..).zip(Transform::ALL).all(|(place, transform)| *transform as usize == place));
    assert!(Transform::NAMES.is_sorted_by_key(|(name, _)| name.to_ascii_lowercase()));
}

#[test]
fn base64_is_decoded_up_to_what_is_none() {
    check(
        "base64Decode",
        &[
            ("", ""),
            ("VGVzdENhc2U=", "TestCase"),
            ("VGVz\r\ndENhc2U", "TestCase"),
            ("VGVz*dENhc2U=", "Tes"),
            ("VGVz dENh", "Tes"),
            ("YQ", "a"),
            ("Y", ""),
        ],
    );
    check(
        "base64DecodeExt",
        &[("VGVz*dENhc2U=", "TestCase"), ("V.G Vz\u{e9}dENhc2U=YQ==", "TestCase")],
    );
    check_bytes("base64DecodeExt", b"-_-_", b"\xfb\xff\xbf");
    check("base64Encode", &[("", ""), ("a", "YQ=="), ("TestCase", "VGVzdENhc2U=")]);
}

#[test]
fn commands_lose_what_shells_ignore() {
    check(
        "cmdLine",
        &[
            ("CO^MMAND /C DIR", "command/c dir"),
            ("\"command\" /c  DiR", "command/c dir"),
            ("cmd,;\t dir (x", "cmd dir(x"),
            ("w\\h'o'a\"m\"i", "whoami"),
            (" ", " "),
            ("ls -la", "ls -la"),
        ],
    );
}

#[test]
fn comments_are_left_out() {
    check(
        "removeComments",
        &[
            ("a/* x */b", "ab"),
            ("a<!-- x -->b", "ab"),
            ("a/* x", "a "),
            ("a -- x", "a "),
            ("a#b", "a"),
            ("a/**/", "a\0"),
            ("a-b", "a-b"),
        ],
    );
    check(
        "removeCommentsChar",
        &[("a/*b*/c", "abc"), ("<!-- x -->--#", " x "), ("a-b/c*d<!-", "a-b/c*d<!-")],
    );
    check(
        "replaceComments",
        &[("un/**/ion", "un ion"), ("a/*b*/c/*d", "a c "), ("/*/", " "), ("a*/b", "a*/b")],
    );
}

#[test]
fn white_space_is_that_of_characters() {
    check(
        "compressWhitespace",
        &[
            ("a \t\n b", "a b"),
            ("a\u{85}\u{a0}b", "a b"),
            ("à\u{2003}b", "à\u{2003}b"),
            ("a b", "a b"),
        ],
    );
    check_bytes("compressWhitespace", b"a\xa0\xa0b\xe0", b"a b\xe0");
    check("removeWhitespace", &[("a \t\u{b}\u{a0}\u{2003}b", "ab"), ("àb", "àb")]);
    check_bytes("removeWhitespace", b"\xff a\xa0", b"\xffa");
    check("trim", &[(" \u{b}a b\r\n", "a b"), ("  ", ""), ("a", "a")]);
    check("trimLeft", &[(" a ", "a ")]);
    check("trimRight", &[(" a ", " a")]);
    check("removeNulls", &[("a\0b\0", "ab"), ("ab", "ab")]);
    check("replaceNulls", &[("a\0b\0", "a b ")]);
}

#[test]
fn escapes_of_css_are_characters() {
    check(
        "cssDecode",
        &[
            ("\\65 xpression", "expression"),
            ("\\000065xpression", "expression"),
            ("j\\61vascript", "javascript"),
            ("\\ff1cscript", "<script"),
            ("\\e9 ", "é"),
            ("\\0", "\u{fffd}"),
            ("\\110000", "\u{fffd}"),
            ("a\\\nb\\z\\", "abz"),
        ],
    );
}

#[test]
fn escapes_of_c_are_bytes() {
    check(
        "escapeSeqDecode",
        &[
            ("\\a\\b\\f\\n\\r\\t\\v\\?\\'\\\"\\\\", "\x07\x08\x0c\n\r\t\x0b?'\"\\"),
            ("\\x41\\X42\\103\\4\\8\\q\\", "ABC\x048q\\"),
            ("\\x4", "x4"),
        ],
    );
    check_bytes("escapeSeqDecode", b"\\777", b"\xff");
}

#[test]
fn escapes_of_javascript_are_bytes() {
    check(
        "jsDecode",
        &[
            ("\\u0061\\x62\\143\\d", "abcd"),
            ("\\u{61}\\u{0ff1c}\\uff1e", "a<>"),
            ("\\u12g4\\u{}\\u{1234567}\\xg", "u12g4u{}u{1234567}xg"),
            ("\\n\\0\\", "\n\0\\"),
        ],
    );
    check_bytes("jsDecode", b"\\uffe9\\377\\400", b"\xe9\xff 0");
}

#[test]
fn hexadecimal_is_all_or_nothing() {
    check("hexDecode", &[("414a6b", "AJk"), ("4", "4"), ("4g", "4g"), ("", "")]);
    check("hexEncode", &[("AJ\n", "414a0a")]);
    check(
        "sqlHexDecode",
        &[
            ("0x414243", "ABC"),
            ("select 0X4142,0x4", "select AB,0x4"),
            ("0x41420x43", "ABC"),
            ("0xg", "0xg"),
            ("0", "0"),
        ],
    );
}

#[test]
fn references_of_html_are_characters() {
    check(
        "htmlEntityDecode",
        &[
            ("&lt;script&gt", "<script>"),
            ("&#60;&#x3c;&#X3C&#060", "<<<<"),
            ("java&Tab;script&colon;", "java\tscript:"),
            ("&ampx&notit;&notin;&frac12", "&x¬it;∉½"),
            ("&nbsp;&#128;&#0;&#xd800;&#99999999999;", "\u{a0}€\u{fffd}\u{fffd}\u{fffd}"),
            ("&;&#;&#x;&unknown;&", "&;&#;&#x;&unknown;&"),
            ("&#9x", "\tx"),
        ],
    );
}

#[test]
fn digests_are_raw() {
    let hex = |bytes: &[u8]| String::from_utf8(apply("hexEncode", bytes)).unwrap();
    assert_eq!(hex(&apply("md5", b"")), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(hex(&apply("sha1", b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    check("length", &[("", "0"), ("abc", "3"), ("é", "2"), ("1", "1")]);
}

#[test]
fn paths_are_resolved() {
    check(
        "normalizePath",
        &[
            ("", ""),
            (".", ""),
            ("/", "/"),
            ("//a//b/./c", "/a/b/c"),
            ("/a/../../etc/passwd", "/etc/passwd"),
            ("a/../../b", "../b"),
            ("../../a/..", "../.."),
            ("a/b/../", "a/"),
            ("/a/../", "/"),
            ("...//..", ""),
        ],
    );
    check(
        "normalizePathWin",
        &[
            ("\\a\\.\\b\\..\\c", "/a/c"),
            ("C:\\x\\file.asp::$DATA", "C:/x/file.asp"),
            ("a.php. . /b ", "a.php/b"),
            ("a\\", "a/"),
        ],
    );
}

#[test]
fn parity_sets_the_top_bit() {
    check_bytes("parityEven7bit", b"\x00\x01\x03", b"\x00\x81\x03");
    check_bytes("parityOdd7bit", b"\x00\x01\x03", b"\x80\x01\x83");
    check_bytes("parityZero7bit", b"\x80\xff\x01", b"\x00\x7f\x01");
}

#[test]
fn urls_are_decoded_where_they_can_be() {
    check("urlDecode", &[("a+b%2fc%zz%4", "a b/c%zz%4"), ("%u0041", "%u0041")]);
    check(
        "urlDecodeUni",
        &[
            ("%u0041%uFF1c%u2019%u015e%U0027", "A<'S'"),
            ("%u00g0%u004%zz%+", "%u00g0%u004%zz% "),
            ("%3Cscript%3e", "<script>"),
            ("%u1241", "A"),
        ],
    );
    check("urlEncode", &[("a b*/Z9-", "a+b*%2fZ9%2d")]);
    check("utf8toUnicode", &[("aé漢🦀", "a%u00e9%u6f22%u1f980")]);
    check_bytes("utf8toUnicode", b"\xe9\xe6\xbca", b"%ufffd%ufffd%ufffda");
    check("lowercase", &[("AbCÉ", "abcÉ"), ("abc", "abc")]);
    check("uppercase", &[("AbCé", "ABCé"), ("ABC", "ABC")]);
    check("none", &[("A%41", "A%41")]);
}

/// Bytes, with those that mean something more often than others.
fn values() -> impl Strategy<Value = Vec<u8>> {
    let marked = prop::sample::select(&b"%u\\&#x;+/.-*<! \t\0:\"'^,(aA0f149={}\xa0\xc2\xe2"[..]);
    prop::collection::vec(prop_oneof![4 => marked, 1 => any::<u8>()], 0..40)
}

proptest! {
    #[test]
    fn false_means_equal(value in values()) {
        let mut out = Vec::new();
        for (name, transform) in Transform::NAMES {
            if transform.apply(&value, &mut out) {
                prop_assert_ne!(&out, &value, "{}", name);
            }
        }
    }

    #[test]
    fn what_is_done_is_done(value in values()) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        for transform in Transform::IDEMPOTENT {
            if transform.apply(&value, &mut once) {
                prop_assert!(!transform.apply(&once, &mut twice), "{:?}", transform);
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(value in values()) {
        for (encode, decode) in
            [("base64Encode", "base64Decode"), ("hexEncode", "hexDecode"), ("urlEncode", "urlDecode")]
        {
            prop_assert_eq!(&apply(decode, &apply(encode, &value)), &value, "{}", encode);
        }
    }
}
