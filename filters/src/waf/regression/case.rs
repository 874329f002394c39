//! A request with its answer, and how a transaction sees them.

use std::net::{IpAddr, Ipv4Addr};

use crate::waf::transaction::{AnswerHead, Caches, Endpoint, Request, Still, Transaction};

/// A name and its value.
pub type Field = (Vec<u8>, Vec<u8>);

/// A request, and what the backend answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// `942100-1`: the rule it is about and its number, or any other name.
    pub id: String,
    /// `GET`
    pub method: Vec<u8>,
    /// The target with its query.
    pub uri: Vec<u8>,
    /// `HTTP/1.1`
    pub version: Vec<u8>,
    /// Fields of the head, in order.
    pub fields: Vec<Field>,
    /// The body, without framing.
    pub body: Vec<u8>,
    /// Status of the answer.
    pub status: u16,
    /// Fields of the answer's head.
    pub answer_fields: Vec<Field>,
    /// The answer's body.
    pub answer_body: Vec<u8>,
}

impl Case {
    /// Runs all phases, up to an interruption, and the last one. The client is 127.0.0.1.
    pub fn run(&self, transaction: &mut Transaction, caches: &mut Caches) {
        self.run_waiting(transaction, caches, |_, _| ());
    }

    /// The same, and calls `waits` where a request waits: with what may still come.
    pub fn run_waiting(
        &self,
        transaction: &mut Transaction,
        caches: &mut Caches,
        mut waits: impl FnMut(&mut Transaction, Still),
    ) {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let fields = borrowed(&self.fields);
        let host = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        let request = Request {
            method: &self.method,
            uri: &self.uri,
            protocol: &self.version,
            fields: &fields,
            client: Endpoint { address: local, port: 12345 },
            server: Endpoint { address: local, port: 80 },
            server_name: host.map_or(b"", |(_, value)| value),
            unique_id: b"0123456789",
            epoch_seconds: 1_700_000_000,
        };
        if transaction.request_head(&request, caches).is_none()
            && transaction.request_body(&self.body, caches).is_none()
        {
            waits(transaction, Still::Answer);
            let fields = borrowed(&self.answer_fields);
            let head = AnswerHead { status: self.status, protocol: b"HTTP/1.1", fields: &fields };
            if transaction.answer_head(&head, caches).is_none() {
                waits(transaction, Still::Answer);
                transaction.answer_body(&self.answer_body, caches);
            }
        }
        waits(transaction, Still::End);
        transaction.finish(caches);
        waits(transaction, Still::Logs);
    }
}

fn borrowed(fields: &[Field]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}
