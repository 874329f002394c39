//! What Pingora's hooks keep of one request, and how they tell the machine of it.

use super::backend_stream::Report;
use super::faults::fault_of;
use super::rest::Rest;
use crate::data::effects::Effect;
use crate::data::engine::lean::{self, Copying};
use crate::data::exchange::{Action, Event, Exchange};
use crate::data::listener::carrier::Carrier;
use crate::data::upstream::{Attempt, Fault, Protocol};
use http::Version;
use pingora_error::{Error, ErrorType, Result};
use std::sync::Arc;

/// What belongs to one request.
#[derive(Default)]
pub struct Context {
    pub(super) carrier: Option<Arc<dyn Carrier>>,
    pub(super) next: Option<Next>,
    pub(super) has_body: bool,
    /// The answer's body is recorded.
    pub(super) records: bool,
    /// What is known of the backend's connection, if it is ours.
    pub(super) report: Arc<Report>,
    /// The attempt, if the connection is Pingora's own.
    pub(super) pingoras_own: Option<Attempt>,
    pub(super) is_reused: bool,
    /// The copy for the route's mirror, while it is made.
    pub(super) copying: Copying,
    /// What is still to come of the answer.
    pub(super) rest: Rest,
}

/// What the machine wants before Pingora may connect.
pub(super) enum Next {
    Attempt(Attempt),
    Wait(Effect),
}

impl Context {
    pub(super) fn carrier(&self) -> Result<&Arc<dyn Carrier>> {
        self.carrier.as_ref().ok_or_else(stopped)
    }

    pub(super) fn step(&self, event: Event<'_>) -> Action {
        self.carrier.as_ref().map_or(Action::Cut, |carrier| carrier.cell().step(event))
    }

    /// Reports `event`; whatever is not just to go on stops Pingora.
    pub(super) fn go_on(&mut self, event: Event<'_>) -> Result<Option<Action>> {
        match self.step(event) {
            Action::Continue => Ok(None),
            Action::Tunnel => Ok(Some(Action::Tunnel)),
            action => {
                self.carrier()?.cell().settle(action);
                Err(stopped())
            }
        }
    }

    /// Does what comes before Pingora may connect.
    pub(super) fn begin(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Attempt(attempt) => {
                self.carrier()?.keep(attempt.body_max);
                self.next = Some(Next::Attempt(attempt));
            }
            Action::Wait(effect) => self.next = Some(Next::Wait(effect)),
            action => {
                self.carrier()?.cell().settle(action);
                return Err(stopped());
            }
        }
        Ok(())
    }

    /// Sends the copy of the request, which is whole.
    pub(super) fn send_copy(&mut self) {
        if let Some(carrier) = &self.carrier {
            self.copying.send(carrier.cell());
        }
    }

    /// There is a connection, for a request of this version. One that Pingora made must be of
    /// HTTP/2: its parser of HTTP/1 makes good what nobody should.
    pub(super) fn connected(&mut self, version: Version) -> Result<()> {
        if let Some(attempt) = self.pingoras_own.take_if(|_| version != Version::HTTP_2) {
            if attempt.wire.protocol != Protocol::Agreed {
                return self.go_on(Event::Failed(Fault::TlsFailed)).map(drop);
            }
            lean::note_http1(&attempt, self.carrier()?.cell().now());
            self.carrier()?.cell().settle(Action::Attempt(attempt));
            return Err(stopped());
        }
        self.go_on(Event::Connected { is_reused: self.is_reused }).map(drop)
    }

    /// Some of the answer's body came, or none is to come. Reports the end of all of it.
    pub(super) fn note_passed(&mut self, bytes: usize, is_last: bool) {
        if self.rest.pass(bytes, is_last) {
            // What is left of the request is nobody's: the next read of it ends.
            drop(self.step(Event::Answered));
        }
    }

    /// Whether the answer was whole before the request.
    pub(super) fn is_answered(&self) -> bool {
        let cell = self.carrier.as_ref().map(|carrier| carrier.cell());
        cell.and_then(|cell| cell.with_exchange(Exchange::is_answered)) == Some(true)
    }

    /// Reports a failure. Another attempt is another engine's.
    pub(super) fn failed(&mut self, error: &Error) {
        let Some(carrier) = self.carrier.as_ref().filter(|c| !c.cell().is_settled()) else {
            return;
        };
        if self.is_answered() {
            // The rest of the request, which nobody needs any more.
            return;
        }
        if let Some(attempt) = self.report.again() {
            return carrier.cell().settle(Action::Attempt(attempt.clone()));
        }
        let fault = match fault_of(error) {
            Fault::ClientGone => carrier.body_fault().unwrap_or(Fault::ClientGone),
            Fault::ClientMalformed => Fault::ClientMalformed,
            fault => self.report.fault().unwrap_or(fault),
        };
        if let (Fault::TlsFailed, Some(attempt)) = (fault, &self.pingoras_own) {
            tracing::warn!(backend = %attempt.backend.name, %error, "TLS handshake failed");
        }
        // What is to be done is settled; Pingora has stopped already.
        drop(self.go_on(Event::Failed(fault)));
    }
}

/// Stops Pingora; what is to be done was settled.
pub(super) fn stopped() -> Box<Error> {
    Error::new(ErrorType::InternalError)
}
