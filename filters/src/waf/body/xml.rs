//! XML, as rules see it: the texts between marks, and the values of attributes.
//!
//! This is no parser of documents but a reader of bytes. Libraries refuse what is not UTF-8 or not
//! well-formed, and with it what a rule must see; here such a body gives all its texts and a
//! [`Fault`]. Each text between two marks is one value, trimmed, CDATA too, as in Coraza; where
//! comments, CDATA or other elements divide the text of an element, all of it is one more, since
//! that is what applications read. Character references are resolved; entities that a document
//! declares never are: they stay as written, and declaring one is a fault.

use super::{Fault, Fields, Limits};
use crate::waf::transform::Transform;
use memchr::{memchr, memmem};

/// Gives each text and attribute of `body`.
///
/// Cost: O(n); memory for the longest text with a reference in it, and for the texts of the
/// elements that are open.
///
/// # Errors
/// See [`Fault`]; text outside of elements and elements without an end are given, then an error.
pub fn xml(body: &[u8], limits: Limits, out: &mut impl Fields) -> Result<(), Fault> {
    // A mark of byte order in UTF-8 is no text.
    let at = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let scan = Scan {
        body,
        at,
        open: Vec::new(),
        texts: Vec::new(),
        left: limits.arguments,
        first: None,
        limits,
        decoded: Vec::new(),
    };
    scan.document(out)
}

/// An element that is open.
#[derive(Clone, Copy)]
struct Open {
    /// Where its text begins in [`Scan::texts`].
    start: usize,
    /// How many texts it has that are not blank.
    texts: usize,
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
    open: Vec<Open>,
    /// The texts of the elements that are open, each behind that of its parent.
    texts: Vec<u8>,
    /// Values that may still be given.
    left: usize,
    /// The first thing that is wrong and ends nothing.
    first: Option<Fault>,
    limits: Limits,
    decoded: Vec<u8>,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

impl<'a> Scan<'a> {
    fn document(mut self, out: &mut impl Fields) -> Result<(), Fault> {
        while !self.rest().is_empty() {
            let text = self.until(b"<").unwrap_or_else(|| self.take(self.rest().len()));
            if self.open.is_empty() && !text.trim_ascii().is_empty() {
                let what = "text outside of the root";
                let at = self.at - text.len();
                self.first.get_or_insert(Fault::Syntax { format: "XML", what, at });
            }
            self.text(text, true, out)?;
            self.mark(out)?;
        }
        if !self.open.is_empty() {
            while self.close(out)?.is_some() {}
            return Err(self.first.unwrap_or_else(|| self.fault("an element has no end")));
        }
        self.first.map_or(Ok(()), Err)
    }

    /// Passes what begins with `<`, when something does.
    fn mark(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        let rest = self.rest();
        match rest {
            [] => Ok(()),
            [b'<', b'!', b'-', b'-', ..] => self.skip(4, b"-->", "a comment has no end"),
            [b'<', b'?', ..] => self.instruction(),
            [b'<', b'/', ..] => {
                self.close(out)?.ok_or_else(|| self.fault("an end too many"))?;
                self.skip(2, b">", "an end has no end")
            }
            [b'<', b'!', ..] if rest.starts_with(b"<![CDATA[") => {
                self.at += 9;
                let text = self.until(b"]]>");
                let is_cut = text.is_none();
                let text = text.unwrap_or_else(|| self.take(self.rest().len()));
                self.text(text, false, out)?;
                if is_cut {
                    return Err(self.fault("CDATA has no end"));
                }
                self.at += 3;
                Ok(())
            }
            [b'<', b'!', ..] => self.declaration(),
            _ => self.start(out),
        }
    }

    /// Passes `<name attribute="value" …>`.
    fn start(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        self.at += 1;
        let ends_name = |byte: &u8| is_space(*byte) || matches!(byte, b'>' | b'/' | b'<');
        if self.word(ends_name).is_empty() {
            return Err(self.fault("expected the name of an element"));
        }
        loop {
            self.word(|byte| !is_space(*byte));
            match self.rest() {
                [b'>', ..] => return self.open(),
                [b'/', b'>', ..] => {
                    self.at += 2;
                    return Ok(());
                }
                [] | [b'/' | b'<' | b'=', ..] => {
                    return Err(self.fault("expected an attribute or `>`"));
                }
                _ => self.attribute(out)?,
            }
        }
    }

    /// Passes the `>` of an element that has contents.
    fn open(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.open.push(Open { start: self.texts.len(), texts: 0 });
        let is_too_deep = self.open.len() > self.limits.depth;
        if is_too_deep { Err(Fault::Depth(self.limits.depth)) } else { Ok(()) }
    }

    /// Leaves the innermost element, if one is open: text in pieces is given as a whole.
    fn close(&mut self, out: &mut impl Fields) -> Result<Option<()>, Fault> {
        let Some(open) = self.open.pop() else { return Ok(None) };
        if open.texts > 1 {
            let text = self.texts.get(open.start..).unwrap_or_default().trim_ascii();
            give(text, &mut self.left, self.limits, |text| out.xml_text(text))?;
        }
        self.texts.truncate(open.start);
        Ok(Some(()))
    }

    /// Passes `name="value"`, `name='value'`, `name=value` or `name`, whose value is itself.
    fn attribute(&mut self, out: &mut impl Fields) -> Result<(), Fault> {
        let ends_name = |byte: &u8| is_space(*byte) || matches!(byte, b'=' | b'>' | b'/' | b'<');
        let name = self.word(ends_name);
        self.word(|byte| !is_space(*byte));
        if self.rest().first() != Some(&b'=') {
            return self.value(name, out);
        }
        self.at += 1;
        self.word(|byte| !is_space(*byte));
        let quote = self.rest().first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let Some(quote) = quote else {
            let value = self.word(|byte| is_space(*byte) || matches!(byte, b'>' | b'<'));
            return self.value(value, out);
        };
        self.at += 1;
        let value = self.until(&[quote]);
        let is_cut = value.is_none();
        let value = value.unwrap_or_else(|| self.take(self.rest().len()));
        self.value(value, out)?;
        if is_cut {
            return Err(self.fault("an attribute has no end"));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes `<?…?>`. The declaration of an encoding that is not ASCII's is refused: what the
    /// server reads would not be what was inspected.
    fn instruction(&mut self) -> Result<(), Fault> {
        self.at += 2;
        let start = self.at;
        let text = self.until(b"?>").ok_or_else(|| self.fault("an instruction has no end"))?;
        self.at += 2;
        let lower = text.to_ascii_lowercase();
        let is_odd = lower.starts_with(b"xml")
            && [&b"utf-16"[..], b"utf-32", b"ucs-", b"utf-7", b"ebcdic", b"ibm"]
                .into_iter()
                .any(|encoding| memmem::find(&lower, encoding).is_some());
        let what = "an encoding that is not like ASCII";
        let fault = Fault::Syntax { format: "XML", what, at: start };
        if is_odd { Err(fault) } else { Ok(()) }
    }

    /// Passes `<!DOCTYPE …>`, with the declarations, comments and instructions in it. An entity that
    /// it declares is a fault: what a parser puts in its place is not what was inspected.
    fn declaration(&mut self) -> Result<(), Fault> {
        let cut = "a declaration has no end";
        let mut open = 0;
        loop {
            self.word(|byte| matches!(byte, b'<' | b'>' | b'"' | b'\''));
            match self.rest() {
                [] => return Err(self.fault(cut)),
                [b'<', b'!', b'-', b'-', ..] => self.skip(4, b"-->", cut)?,
                [b'<', b'?', ..] => self.skip(2, b"?>", cut)?,
                [quote @ (b'"' | b'\''), ..] => self.skip(1, &[*quote], cut)?,
                [b'<', ..] => {
                    let fault = self.fault("it declares entities");
                    let found = self.rest().starts_with(b"<!ENTITY").then_some(fault);
                    self.first = self.first.or(found);
                    self.pass(&mut open, 1);
                }
                _ => self.pass(&mut open, -1),
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Passes a byte that opens or closes a declaration.
    fn pass(&mut self, open: &mut isize, step: isize) {
        self.at += 1;
        *open += step;
    }

    fn skip(&mut self, open: usize, close: &[u8], what: &'static str) -> Result<(), Fault> {
        self.at += open;
        self.until(close).ok_or_else(|| self.fault(what))?;
        self.at += close.len();
        Ok(())
    }

    /// Gives a text, in which references are resolved or, in CDATA, not.
    fn text(
        &mut self,
        text: &[u8],
        has_references: bool,
        out: &mut impl Fields,
    ) -> Result<(), Fault> {
        let text = if has_references { resolved(text, &mut self.decoded) } else { text };
        if let Some(open) = self.open.last_mut() {
            open.texts += usize::from(!text.trim_ascii().is_empty());
            self.texts.extend_from_slice(text);
        }
        give(text.trim_ascii(), &mut self.left, self.limits, |text| out.xml_text(text))
    }

    fn value(&mut self, value: &[u8], out: &mut impl Fields) -> Result<(), Fault> {
        let value = resolved(value, &mut self.decoded);
        self.left = self.left.checked_sub(1).ok_or(Fault::Arguments(self.limits.arguments))?;
        out.xml_attribute(value);
        Ok(())
    }

    fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    /// Passes `length` bytes.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    /// Passes what stands before `mark`; `None` when it is nowhere.
    fn until(&mut self, mark: &[u8]) -> Option<&'a [u8]> {
        let rest = self.rest();
        let length = match mark {
            [byte] => memchr(*byte, rest),
            _ => memmem::find(rest, mark),
        };
        length.map(|length| self.take(length))
    }

    /// Passes bytes up to one that ends them.
    fn word(&mut self, ends: impl Fn(&u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        self.take(rest.iter().position(ends).unwrap_or(rest.len()))
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault::Syntax { format: "XML", what, at: self.at }
    }
}

/// `text` with its character references resolved.
fn resolved<'a>(text: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
    if Transform::HtmlEntityDecode.apply(text, buffer) { buffer } else { text }
}

fn give(
    text: &[u8],
    left: &mut usize,
    limits: Limits,
    out: impl FnOnce(&[u8]),
) -> Result<(), Fault> {
    if text.is_empty() {
        return Ok(());
    }
    *left = left.checked_sub(1).ok_or(Fault::Arguments(limits.arguments))?;
    out(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::body::tests::{Found, found};

    fn limited(body: &str, limits: Limits) -> Found {
        found(|out| xml(body.as_bytes(), limits, out))
    }

    fn read(body: &str) -> Found {
        limited(body, Limits::default())
    }

    #[test]
    fn texts_and_attributes_are_given() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\n<!DOCTYPE a [<!-- ' > --><?p '>?><!ELEMENT x ANY \"<'>\">]>\n\
            <a x=\"1&lt;2\" y = 'z>' u=v w>text &amp; &#x3c;<!-- no > -->  <b/>more<![CDATA[ <raw> ]]>\
            &x;<ns:c xmlns:ns=\"urn:u\"></ns:c></a>\n";
        let found = read(body);
        assert_eq!(found.fault, None);
        assert_eq!(found.texts, ["text & <", "more", "<raw>", "&x;", "text & <  more <raw> &x;"]);
        assert_eq!(found.attributes, ["1<2", "z>", "v", "w", "urn:u"]);
    }

    #[test]
    fn text_in_pieces_is_given_as_a_whole_too() {
        let cases = [
            ("<a>1' uni<![CDATA[on]]><!-- --> select x</a>", "1' union select x"),
            ("<a>uni<b>y</b>on &#x3c; </a>", "union <"),
            ("<a> <b/> union<?p?> </a>", "union"),
            ("<a>uni<b/>on", "union"),
            ("<a><![CDATA[&lt;]]><![CDATA[i]]></a>", "&lt;i"),
        ];
        for (body, expected) in cases {
            assert_eq!(read(body).texts.last().map(String::as_str), Some(expected), "{body}");
        }
        assert_eq!(read("<a> <b>x</b> <b>y</b> </a>").texts, ["x", "y"]);
        let limits = Limits { arguments: 2, ..Limits::default() };
        assert_eq!(limited("<a>x<b/>y</a>", limits).fault, Some(Fault::Arguments(2)));
    }

    #[test]
    fn entities_that_are_declared_are_a_fault() {
        let bodies = [
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<!DOCTYPE a [<!-- --><!ENTITY % x SYSTEM \"http://h/\"> %x;]><a>&x;</a>",
        ];
        for body in bodies {
            let found = read(body);
            assert_eq!(found.texts, ["&x;"], "{body}");
            let is_expected =
                matches!(found.fault, Some(Fault::Syntax { what: "it declares entities", .. }));
            assert!(is_expected, "{body}: {:?}", found.fault);
        }
        let plist = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/\
            DTDs/PropertyList-1.0.dtd\"><plist><!-- <!ENTITY x \"y\"> --></plist>";
        assert_eq!(read(plist).fault, None);
    }

    #[test]
    fn what_is_broken_is_given_and_refused() {
        let cases = [
            ("<a>text", &["text"][..], "an element has no end"),
            ("{\"a\":1}", &["{\"a\":1}"], "text outside of the root"),
            ("<a>x</a>y", &["x", "y"], "text outside of the root"),
            ("<a>x</a></a>", &["x"], "an end too many"),
            ("<a>x<b", &["x"], "expected an attribute or `>`"),
            ("<a>x< b", &["x"], "expected the name of an element"),
            ("<a><![CDATA[x", &["x"], "CDATA has no end"),
            ("<!-- x", &[], "a comment has no end"),
            ("<!DOCTYPE a", &[], "a declaration has no end"),
            ("<?xml encoding='UTF-16'?><a/>", &[], "an encoding that is not like ASCII"),
        ];
        for (body, texts, expected) in cases {
            let found = read(body);
            assert_eq!(found.texts, texts, "{body}");
            let is_expected =
                matches!(found.fault, Some(Fault::Syntax { what, .. }) if what == expected);
            assert!(is_expected, "{body}: {:?}", found.fault);
        }
        assert_eq!(read("<a b='x").attributes, ["x"]);
    }

    #[test]
    fn depth_and_values_are_bounded() {
        let limits = Limits { depth: 2, arguments: 2, ..Limits::default() };
        assert_eq!(limited("<a><b/><b></b></a>", limits).fault, None);
        assert_eq!(limited("<a><b><c></c></b></a>", limits).fault, Some(Fault::Depth(2)));
        let found = limited("<a b='1' c='2'>3</a>", limits);
        assert_eq!((found.attributes.len(), found.texts.len()), (2, 0));
        assert_eq!(found.fault, Some(Fault::Arguments(2)));
    }
}
