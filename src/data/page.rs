//! Pages: answers of ours in words of the config's, in the form that the client takes.
//!
//! Fallbacks end with one, and error pages stand in for our own line of text. Their bodies were
//! read with the config.

use super::refusal::Refusal;
use super::target::FixedAnswer;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use std::sync::Arc;

/// An answer in one or two forms.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The status; without it that of the reason why it is shown.
    pub status: Option<u16>,
    /// Its fields, but for the type of the body.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body as HTML.
    pub html: Option<Bytes>,
    /// The body as JSON.
    pub json: Option<Bytes>,
}

impl Page {
    /// The answer for a client that takes `form` rather, to a request that ends for `refusal`.
    #[must_use]
    pub fn answer(&self, refusal: Refusal, form: Form) -> FixedAnswer {
        let (html, json) = (self.html.as_ref(), self.json.as_ref());
        let (first, second) = match form {
            Form::Html => ((html, Form::Html), (json, Form::Json)),
            Form::Json => ((json, Form::Json), (html, Form::Html)),
        };
        let mut fields = self.fields.clone();
        let body = match (first, second) {
            ((Some(body), form), _) | ((None, _), (Some(body), form)) => {
                fields.push((header::CONTENT_TYPE, form.content_type()));
                body.clone()
            }
            _ => Bytes::new(),
        };
        if html.is_some() && json.is_some() {
            fields.push((header::VARY, HeaderValue::from_static("accept")));
        }
        let status = self.status.unwrap_or(refusal.row().status);
        FixedAnswer { status, fields, body }
    }
}

/// A form of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Html,
    /// For programs, and for who does not say.
    #[default]
    Json,
}

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        })
    }

    /// The form that a client takes rather which says `accept` (RFC 9110 §12.5.1): JSON if it
    /// takes both alike.
    #[must_use]
    pub fn of(accept: &[u8]) -> Self {
        let html = Taste::of(accept, b"text/", b"text/html");
        let json = Taste::of(accept, b"application/", b"application/json");
        if html.weight > json.weight { Self::Html } else { Self::Json }
    }
}

/// Whether a client that says `accept` is a program which reads problems as JSON (RFC 9457): it
/// names JSON, and likes no text better. Who takes anything is a person at a terminal.
#[must_use]
pub fn takes_problems(accept: &[u8]) -> bool {
    let of = |exact: &[u8]| Taste::of(accept, b"application/", exact);
    let named = [of(b"application/problem+json"), of(b"application/json")];
    let named = named.iter().filter(|taste| taste.closeness > 1).map(|taste| taste.weight).max();
    let texts = [&b"text/html"[..], b"text/plain"].map(|exact| Taste::of(accept, b"text/", exact));
    let text = texts.iter().filter(|taste| taste.closeness > 1).map(|taste| taste.weight).max();
    named.is_some_and(|weight| weight > 0 && Some(weight) >= text)
}

/// How much a client likes a type, as far as its ranges were read.
#[derive(Default)]
struct Taste {
    /// How closely the range that decided names the type.
    closeness: u8,
    /// In thousandths.
    weight: u16,
}

impl Taste {
    /// What `accept` says of the type `exact` of this family.
    fn of(accept: &[u8], family: &[u8], exact: &[u8]) -> Self {
        let mut taste = Self::default();
        accept.split(|byte| *byte == b',').for_each(|range| taste.note(range, family, exact));
        taste
    }

    /// Takes in `range`, one element of `Accept`; of several that fit the closest counts.
    fn note(&mut self, range: &[u8], family: &[u8], exact: &[u8]) {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let closeness = match name.strip_suffix(b"*") {
            _ if name == exact => 3,
            Some(begin) if begin == family => 2,
            Some(b"*/") => 1,
            _ => return,
        };
        if closeness > self.closeness {
            let weight = parts.find_map(|part| part.strip_prefix(b"q=").map(weight_of));
            (self.closeness, self.weight) = (closeness, weight.unwrap_or(1000));
        }
    }
}

/// A weight in thousandths: `1`, `0.5`. What is none counts as nothing.
fn weight_of(text: &[u8]) -> u16 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f32>().ok());
    let in_range = number.filter(|number| (0.0..=1.0).contains(number));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 1000 by the filter above"
    )]
    in_range.map_or(0, |number| (number * 1000.0) as u16)
}

/// Pages for our own refusals.
#[derive(Debug, Default)]
pub struct ErrorPages {
    /// By reason: these go first.
    pub by_reason: Vec<(&'static str, Arc<Page>)>,
    /// By status.
    pub by_status: Vec<(u16, Arc<Page>)>,
}

impl ErrorPages {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_reason.is_empty() && self.by_status.is_empty()
    }

    /// The page for `refusal`, if there is one.
    #[must_use]
    pub fn find(&self, refusal: Refusal) -> Option<&Arc<Page>> {
        let row = refusal.row();
        let reason = self.by_reason.iter().find(|(reason, _)| *reason == row.reason);
        let status = || self.by_status.iter().find(|(status, _)| *status == row.status);
        reason.map(|(_, page)| page).or_else(|| status().map(|(_, page)| page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_says_which_form_the_client_gets() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, want) in [
            (browser, Form::Html),
            ("text/*", Form::Html),
            ("TEXT/HTML;q=0.5, application/json;q=0.4", Form::Html),
            ("text/html;q=0, */*", Form::Json),
            ("text/html;level=1;q=0.2, application/*;q=0.3", Form::Json),
            ("application/json", Form::Json),
            ("*/*", Form::Json),
            ("text/html;q=x", Form::Json),
            ("", Form::Json),
        ] {
            assert_eq!(Form::of(accept.as_bytes()), want, "{accept}");
        }
    }

    #[test]
    fn only_who_names_json_gets_problems() {
        for (accept, want) in [
            ("application/json", true),
            ("application/problem+json", true),
            ("application/*", true),
            ("application/json, text/plain, */*", true),
            ("text/html;q=0.5, application/problem+json;q=0.6", true),
            ("text/html, application/json;q=0.9", false),
            ("text/plain, application/json;q=0.9", false),
            ("application/json;q=0", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(takes_problems(accept.as_bytes()), want, "{accept}");
        }
    }

    #[test]
    fn what_is_there_once_is_for_all() {
        let html = Page { html: Some("<p>".into()), ..Page::default() };
        let answer = html.answer(Refusal::QueueFull, Form::Json);
        assert_eq!((answer.status, &answer.body[..]), (503, &b"<p>"[..]));
        assert_eq!(answer.fields, [(header::CONTENT_TYPE, Form::Html.content_type())]);
        let both = Page { json: Some("{}".into()), status: Some(200), ..html };
        let answer = both.answer(Refusal::QueueFull, Form::Json);
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
        assert_eq!(answer.fields.len(), 2, "with Vary");
    }

    #[test]
    fn a_page_for_the_reason_goes_before_that_for_the_status() {
        let page = |status| Arc::new(Page { status: Some(status), ..Page::default() });
        let pages = ErrorPages {
            by_reason: vec![("queue_full", page(429))],
            by_status: vec![(503, page(500))],
        };
        let status = |refusal| pages.find(refusal).and_then(|page| page.status);
        assert_eq!(status(Refusal::QueueFull), Some(429));
        assert_eq!(status(Refusal::QueueTimeout), Some(500));
        assert_eq!(status(Refusal::NoRoute), None);
    }
}
