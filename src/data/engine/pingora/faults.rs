//! What Pingora's errors say in our words.

use crate::data::upstream::Fault;
use pingora_error::{Error, ErrorSource, ErrorType};

/// The fault that `error` stands for.
#[must_use]
pub fn fault_of(error: &Error) -> Fault {
    match error.esource() {
        ErrorSource::Downstream => of_client(error.etype()),
        ErrorSource::Upstream => of_backend(error.etype()),
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
        ErrorType::Custom("PrematureBodyEnd") => Fault::BackendClosed,
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
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
        let gone = Error::create(ErrorType::WriteError, ErrorSource::Downstream, None, None);
        assert_eq!(fault_of(&gone), Fault::ClientGone);
    }
}
