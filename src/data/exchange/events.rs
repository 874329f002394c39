//! 9 · Server-sent events: answers that go on as long as somebody listens.

use vanne_filters::ResponseHead;

/// Whether an answer goes on as long as its client listens: then its head tells whether the
/// backend is well.
pub(super) fn is_endless(head: &ResponseHead<'_>) -> bool {
    head.status == 200 && is_event_stream(head)
}

/// Whether server-sent events follow.
pub(super) fn is_event_stream(head: &ResponseHead<'_>) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let kind = head.fields.first("content-type").unwrap_or_default();
    kind.get(..EVENTS.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENTS))
}
