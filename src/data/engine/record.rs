//! The two ends of every request, whatever carries it: its machine begins, and is recorded.

use super::worker::Worker;
use crate::data::exchange::{Beginning, Running};
use crate::data::finish::{Logs, finish};
use crate::data::listener::carrier::Carrier;
use crate::types::clock;
use std::sync::Arc;

/// The machine of a request whose first byte is here. It counts as in flight until it is
/// recorded.
pub(super) fn new_exchange(worker: &Worker, carrier: &dyn Carrier) -> Running {
    worker.in_flight.inc();
    Running::begin(Beginning {
        snapshot: worker.snapshots.load(),
        listener: carrier.rules(),
        client: Arc::clone(carrier.client()),
        id: worker.next_request_id(),
        now: clock::now(),
        wall: clock::wall(),
    })
}

/// Records the end of the request.
pub(super) fn record(worker: &Worker, carrier: &dyn Carrier) {
    let (traffic, now) = (carrier.traffic(), carrier.cell().now());
    carrier.cell().end(|exchange| {
        worker.in_flight.dec();
        let logs = Logs { access: worker.log.as_ref(), waf: worker.waf_log.as_ref() };
        finish(exchange, traffic, &worker.metrics, logs, now);
        worker.blocklist.note(exchange, now);
    });
}
