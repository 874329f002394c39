//! Cross-site scripting: a value is read as HTML, as if it stood in each of five places of a page.

mod html;
mod names;

use html::{Html, Kind, Place, Token};
use memchr::{memchr, memchr2};
use names::Attribute;

/// Whether libinjection calls `value` cross-site scripting, in any of its five places.
///
/// Cost: O(n), at most five readings of the value; no allocation.
#[must_use]
pub fn xss(value: &[u8]) -> bool {
    // Without `<` there is no tag and no comment, and without `=` no attribute has a value: what
    // is left cannot be wrong. A quote that is not there does not end, so no attribute follows it.
    if memchr2(b'<', b'=', value).is_none() {
        return false;
    }
    memchr(b'<', value).is_some() && is_found(value, Place::Text)
        || is_found(value, Place::Tag)
        || [b'\'', b'"', b'`']
            .into_iter()
            .any(|quote| memchr(quote, value).is_some() && is_found(value, Place::Quoted(quote)))
}

/// Reads `value` in `place`.
fn is_found(value: &[u8], place: Place) -> bool {
    let mut html = Html::new(value, place);
    let mut attribute = Attribute::Fine;
    while let Some(Token { kind, text }) = html.next() {
        let is_bad = match kind {
            Kind::Doctype => true,
            Kind::TagName => names::is_bad_tag(text),
            Kind::AttributeValue => is_bad_value(attribute, text),
            Kind::Comment => is_bad_comment(text),
            Kind::AttributeName | Kind::Other => false,
        };
        if is_bad {
            return true;
        }
        attribute = match kind {
            Kind::AttributeName => names::attribute(text),
            _ => Attribute::Fine,
        };
    }
    false
}

fn is_bad_value(attribute: Attribute, value: &[u8]) -> bool {
    match attribute {
        Attribute::Fine => false,
        Attribute::Bad | Attribute::Style => true,
        Attribute::Url => names::is_bad_url(value),
        // The value names an attribute.
        Attribute::Indirect => names::attribute(value) == Attribute::Bad,
    }
}

/// Comments that old browsers read: those with a backquote, `[if …`, `xml…`, `import`, `entity`.
fn is_bad_comment(text: &[u8]) -> bool {
    if memchr(b'`', text).is_some() {
        return true;
    }
    if let [a, b, c, _, ..] = text {
        let is_condition = *a == b'[' && (b | 0x20, c | 0x20) == (b'i', b'f');
        if is_condition || [a | 0x20, b | 0x20, c | 0x20] == *b"xml" {
            return true;
        }
    }
    let mut begin = [0; 6];
    let letters = text.iter().filter(|byte| **byte != 0);
    begin.iter_mut().zip(letters).for_each(|(place, byte)| *place = byte.to_ascii_uppercase());
    matches!(&begin, b"IMPORT" | b"ENTITY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scripting_is_found_in_each_place() {
        let values = [
            "<script>alert(1)</script>",
            "<ScRiPt/x>",
            "<svg/onload=x>",
            "<a href=javascript:x>",
            "<a href=\"&#x6A;avascript:x\">",
            "<a href=' \u{1}vbscript:x'>",
            "<!DOCTYPE html>",
            "<!--[if IE]>",
            "<?import x>",
            "<!--`-->",
            "<set attributename=onclick>",
            "onclick=x ",
            "' onclick=x '",
            "\" style=x \"",
            "` src=data:x",
            "x xmlns=y",
            "<s\0cript>",
        ];
        for value in values {
            assert!(xss(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn what_people_write_is_no_scripting() {
        let values = [
            "",
            "hello",
            "a < b and c > d",
            "1 <= 2",
            "x=1&y=2",
            "a=b",
            "<b>bold</b>",
            "<p class=x>text</p>",
            "I <3 you",
            "it's = fine",
            "https://example.org/?a=b",
            "<a href=\"https://example.org\">x</a>",
            "-> <-",
            "on = off",
            "<!-- a comment -->",
            "\"quoted\" = 'this'",
        ];
        for value in values {
            assert!(!xss(value.as_bytes()), "{value}");
        }
    }

    /// Without the tests in front.
    fn all_places(value: &[u8]) -> bool {
        let places = [
            Place::Text,
            Place::Tag,
            Place::Quoted(b'\''),
            Place::Quoted(b'"'),
            Place::Quoted(b'`'),
        ];
        places.into_iter().any(|place| is_found(value, place))
    }

    fn values() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "<",
            ">",
            "=",
            "'",
            "\"",
            "`",
            "/",
            " ",
            "!",
            "-",
            "%",
            "?",
            "]",
            "\0",
            "\n",
            "script",
            "onclick",
            "style",
            "href",
            "javascript:",
            "--",
            "[CDATA[",
            "doctype",
            "&#106",
            "x",
            "xml",
            "import",
        ]);
        let word = prop_oneof![
            8 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_tests_in_front_change_nothing(value in values()) {
            prop_assert_eq!(xss(&value), all_places(&value));
            let tame: Vec<_> = value.iter().copied().filter(|byte| !b"<=".contains(byte)).collect();
            prop_assert!(!all_places(&tame));
        }
    }
}
