//! What a request waits for before an engine has it: an effect, or its own body.

use crate::data::effects;
use crate::data::exchange::{Action, Event};
use crate::data::listener::body_ahead::{Ahead, BodyAhead, Wanted};
use crate::data::listener::carrier::Carrier;
use std::future::poll_fn;

/// Does what `action` waits for, and tells the machine: what is to be done then.
pub(super) async fn wait(carrier: &dyn Carrier, action: Action) -> Action {
    match action {
        Action::Wait(effect) => {
            effects::run(effect).await;
            carrier.cell().step(Event::Resumed)
        }
        Action::Read(wanted) => read(carrier, wanted).await,
        action => action,
    }
}

/// Reads the body ahead.
async fn read(carrier: &dyn Carrier, wanted: Wanted) -> Action {
    let mut ahead = BodyAhead::default();
    loop {
        let end = poll_fn(|cx| carrier.poll_body_ahead(cx, wanted, &mut ahead)).await;
        if end != Ahead::More {
            return carrier.cell().step(Event::Body { body: ahead.body, end });
        }
        let event = Event::RequestBody { is_last: false, is_kept: true };
        match carrier.cell().step(event) {
            Action::Continue => {}
            action => return action,
        }
    }
}
