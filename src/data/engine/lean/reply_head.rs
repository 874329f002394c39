//! The head of an answer, while it comes from the backend: the same for every client.

use super::input::Input;
use crate::data::listener::carrier::Carrier;
use crate::data::upstream::Fault;
use crate::wire::head_scan::{HeadScan, Scan};
use crate::wire::response::{Body, ResponseIndex, may_begin};

/// The head that is due, or came last.
#[derive(Default)]
pub(super) struct ReplyHead {
    scan: HeadScan,
    /// Where its parts are.
    pub(super) index: ResponseIndex,
    /// The body that follows is recorded.
    pub(super) is_recorded: bool,
}

impl ReplyHead {
    /// Forgets the last one, all but its memory.
    pub(super) fn renew(&mut self) {
        self.scan = HeadScan::default();
        self.is_recorded = false;
    }

    /// Reports the last `count` bytes of `input`, if they are of a body that is recorded.
    pub(super) fn record(&self, carrier: &dyn Carrier, input: &Input, count: usize) {
        if !self.is_recorded {
            return;
        }
        let here = input.bytes();
        let new = here.get(here.len().saturating_sub(count)..).unwrap_or_default();
        carrier.cell().record(new, self.index.body == Body::Chunked);
    }

    /// Reads the head that `input` begins with, which answers a request that was HEAD, or not:
    /// how long it is. `None`: more has to come. What has come of the body with it counts as
    /// well: there is still an answer of ours to be given.
    ///
    /// # Errors
    /// When it is no head, or its body is framed wrongly.
    pub(super) fn read(&mut self, input: &Input, is_to_head: bool) -> Result<Option<usize>, Fault> {
        let bytes = input.bytes();
        let length = match self.scan.scan(bytes) {
            Scan::Complete(length) => length,
            Scan::Partial if may_begin(bytes) => return Ok(None),
            Scan::Partial | Scan::Malformed | Scan::TooLarge => {
                return Err(Fault::BackendMalformed);
            }
        };
        self.scan = HeadScan::default();
        let (head, body) = bytes.split_at_checked(length).ok_or(Fault::Internal)?;
        self.index.read(head, is_to_head).map_err(|_malformed| Fault::BackendMalformed)?;
        match self.index.is_body_sound(body) {
            true => Ok(Some(length)),
            false => Err(Fault::BackendMalformed),
        }
    }
}
