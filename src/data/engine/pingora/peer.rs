//! An attempt as Pingora wants to hear of it.

use super::backend_stream::{Connecting, Report};
use crate::data::engine::lean;
use crate::data::upstream::{Attempt, Protocol};
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use std::sync::Arc;

/// Whom to connect to for `attempt`, and how. The request is HEAD, or not. A backend that speaks
/// HTTP/1.1, as far as is known, is connected to by ourselves, with TLS if there is any; what
/// Pingora cannot tell of it goes to `report`.
pub(super) fn peer_of(attempt: Attempt, is_to_head: bool, report: &Arc<Report>) -> Box<HttpPeer> {
    if !lean::takes(&attempt) {
        return pingoras_own(&attempt);
    }
    let mut peer = HttpPeer::new(attempt.backend.address, false, String::new());
    peer.options.set_http_version(1, 1);
    // What is forwarded is decided by the machine, for every engine alike.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    let report = Arc::clone(report);
    peer.options.custom_l4 = Some(Arc::new(Connecting { attempt, is_to_head, report }));
    Box::new(peer)
}

/// The same for a backend that may speak HTTP/2: Pingora connects to it.
fn pingoras_own(attempt: &Attempt) -> Box<HttpPeer> {
    let (address, wire) = (attempt.backend.address, &attempt.wire);
    let mut peer = match &wire.tls {
        None => HttpPeer::new(address, false, String::new()),
        Some(tls) => {
            // Pingora verifies nothing if there is no name: there always is one.
            let name = tls.server_name.clone().unwrap_or_else(|| address.ip().to_string());
            let mut peer = HttpPeer::new(address, true, name);
            peer.options.verify_cert = tls.is_verified;
            peer.options.verify_hostname = tls.is_verified;
            peer.options.ca.clone_from(&tls.authorities);
            peer.client_cert_key.clone_from(&tls.identity);
            peer
        }
    };
    match wire.protocol {
        Protocol::Http1 => peer.options.set_http_version(1, 1),
        Protocol::Http2 => peer.options.set_http_version(2, 2),
        Protocol::Agreed => peer.options.set_http_version(2, 1),
    }
    peer.options.max_h2_streams = wire.http2_streams_max;
    peer.group_key = wire.group;
    peer.options.connection_timeout = Some(attempt.connect_timeout);
    peer.options.total_connection_timeout = Some(attempt.connect_timeout);
    // Shortly before the machine's own limit.
    peer.options.write_timeout = Some(attempt.stall_timeout - attempt.stall_timeout / 32);
    peer.options.idle_timeout = Some(attempt.idle_timeout);
    // What is forwarded is decided by the machine, for every engine alike.
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    Box::new(peer)
}
