//! What Pingora's errors say in our words.

use crate::data::upstream::Fault;
use h2::Reason;
use pingora_error::{Error, ErrorSource, ErrorType};

/// The fault that `error` stands for.
#[must_use]
pub fn fault_of(error: &Error) -> Fault {
    match error.esource() {
        ErrorSource::Downstream => of_client(error.etype()),
        ErrorSource::Upstream => {
            let of_frames = error.root_cause().downcast_ref().map(of_frames);
            of_frames.unwrap_or_else(|| of_backend(error.etype()))
        }
        ErrorSource::Internal | ErrorSource::Unset => Fault::Internal,
    }
}

fn of_client(kind: &ErrorType) -> Fault {
    match kind {
        // Pingora names faults of framing with words of its own; only a body that ends
        // too soon is the client's leaving.
        ErrorType::Custom("PrematureBodyEnd") => Fault::ClientGone,
        ErrorType::Custom(_) | ErrorType::CustomCode(..) | ErrorType::InvalidHTTPHeader => {
            Fault::ClientMalformed
        }
        _ => Fault::ClientGone,
    }
}

/// What a backend that speaks HTTP/2 did with a request's stream, or with the connection.
fn of_frames(error: &h2::Error) -> Fault {
    let (is_reset, is_remote) = (error.is_reset(), error.is_remote());
    match error.reason() {
        // RFC 9113 §6.8: streams up to the one that it names are not told so.
        Some(_) if error.is_go_away() && is_remote => Fault::GoingAway,
        Some(Reason::REFUSED_STREAM) if is_reset && is_remote => Fault::StreamRefused,
        // What the library ends, it ends because of what the backend sent.
        Some(_) if error.is_library() => Fault::BackendMalformed,
        Some(_) => Fault::BackendBrokeOff,
        None => Fault::BackendClosed,
    }
}

fn of_backend(kind: &ErrorType) -> Fault {
    match kind {
        ErrorType::ConnectRefused => Fault::ConnectRefused,
        ErrorType::ConnectTimedout => Fault::ConnectTimeout,
        ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError
        | ErrorType::BindError => Fault::ConnectFailed,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::HandshakeError
        | ErrorType::InvalidCert => Fault::TlsFailed,
        ErrorType::Custom("PrematureBodyEnd") => Fault::BackendBrokeOff,
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade
        | ErrorType::Custom(_)
        | ErrorType::CustomCode(..) => Fault::BackendMalformed,
        _ => Fault::BackendClosed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_blamed_on_their_side() {
        for (kind, fault) in [
            (ErrorType::ConnectRefused, Fault::ConnectRefused),
            (ErrorType::ConnectTimedout, Fault::ConnectTimeout),
            (ErrorType::ConnectionClosed, Fault::BackendClosed),
            (ErrorType::InvalidHTTPHeader, Fault::BackendMalformed),
        ] {
            assert_eq!(fault_of(&Error::create(kind, ErrorSource::Upstream, None, None)), fault);
        }
        for (reason, fault) in [
            (Reason::INTERNAL_ERROR, Fault::BackendBrokeOff),
            (Reason::NO_ERROR, Fault::BackendBrokeOff),
        ] {
            let cause = h2::Error::from(reason);
            let error = Error::because(ErrorType::H2Error, "while reading h2 header", cause);
            assert_eq!(fault_of(&error.into_up()), fault, "{reason:?}");
        }
        let gone = Error::create(ErrorType::WriteError, ErrorSource::Downstream, None, None);
        assert_eq!(fault_of(&gone), Fault::ClientGone);
    }
}
