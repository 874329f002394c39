//! What a demo backend can be told: to be slow, and to fail in some way, now and then.

use crate::types::units::Period;
use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What `--help` says of it.
pub(super) const HELP: &str = "\
Each backend answers with its name and what it was asked, as JSON; also:
  GET /sse?count=N            an event each second, N of them or without end
  GET /bytes/N                N bytes
  GET /ws                     WebSocket: every message comes back
and is told how to behave, itself or through the proxy (then it is the one whose turn it is):
  GET  /_demo/behaviour       how it behaves
  PUT  /_demo/behaviour       {\"latency\": \"200ms\", \"fail\": \"503\", \"share\": \"50%\"}
                              latency: before each answer; without it none
                              fail: a status of 200 to 599, \"reset\" (the connection is cut),
                              \"hang\" (no answer ever), or \"none\"
                              share: how many of the requests fail; without it all
                              {} is as at the start
  POST /_demo/slow?latency=200ms       the same in short; what is not named stays
  POST /_demo/fail?status=503&share=50%25
  POST /_demo/heal

Examples:
  vanne demo
  vanne demo --backends-only --base-port 9001 --count 2
  curl -X PUT http://127.0.0.1:9001/_demo/behaviour -d '{\"fail\":\"reset\",\"share\":\"10%\"}'";

/// How a backend behaves. Requests for `/_demo/` are always answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Behaviour {
    /// Time before each answer.
    pub(super) latency: Option<Period>,
    /// In what way requests fail.
    pub(super) fail: Fail,
    /// How many of the requests fail.
    pub(super) share: Share,
}

/// In what way requests fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fail {
    /// They do not.
    #[default]
    None,
    /// With this status.
    Status(StatusCode),
    /// The connection is cut.
    Reset,
    /// No answer ever.
    Hang,
}

/// A share of requests: 0 to 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share(u8);

impl Default for Share {
    fn default() -> Self {
        Self(100)
    }
}

/// Why a text is no behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidBehaviour {
    /// No way to fail.
    #[error("fail: expected \"none\", \"reset\", \"hang\" or a status of 200 to 599")]
    Fail,
    /// No share.
    #[error("share: expected 0% to 100%")]
    Share,
}

impl FromStr for Fail {
    type Err = InvalidBehaviour;
    fn from_str(text: &str) -> Result<Self, InvalidBehaviour> {
        match text {
            "none" => Ok(Self::None),
            "reset" => Ok(Self::Reset),
            "hang" => Ok(Self::Hang),
            status => StatusCode::from_str(status)
                .ok()
                .filter(|status| (200..600).contains(&status.as_u16()))
                .map(Self::Status)
                .ok_or(InvalidBehaviour::Fail),
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Reset => f.write_str("reset"),
            Self::Hang => f.write_str("hang"),
            Self::Status(status) => f.write_str(status.as_str()),
        }
    }
}

impl FromStr for Share {
    type Err = InvalidBehaviour;
    fn from_str(text: &str) -> Result<Self, InvalidBehaviour> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let share = number.parse().ok().filter(|share| *share <= 100);
        share.map(Self).ok_or(InvalidBehaviour::Share)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Fail);
as_text!(Share);

/// A backend's behaviour, to look at and to change.
#[derive(Debug, Default)]
pub(super) struct Conduct(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    /// Hundredths of a failure that are due.
    due: u16,
}

impl Conduct {
    /// How the backend behaves.
    pub(super) fn behaviour(&self) -> Behaviour {
        self.0.lock().behaviour
    }

    /// Changes it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Behaviour)) -> Behaviour {
        let mut state = self.0.lock();
        change(&mut state.behaviour);
        state.due = 0;
        state.behaviour
    }

    /// How to treat the next request: its delay and whether it fails. Failures are spread
    /// evenly, so that 50% is every other request.
    pub(super) fn next(&self) -> (Option<Period>, Fail) {
        let mut state = self.0.lock();
        let Behaviour { latency, fail, share } = state.behaviour;
        state.due += u16::from(share.0);
        if state.due < 100 {
            return (latency, Fail::None);
        }
        state.due -= 100;
        (latency, fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Behaviour, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_behaviour_is_read_and_shown_the_same() {
        let text = r#"{"latency":"200ms","fail":"503","share":"50%"}"#;
        let behaviour = parse(text).unwrap();
        assert_eq!(behaviour.fail, Fail::Status(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(serde_json::to_string(&behaviour).unwrap(), text);
        assert_eq!(parse("{}").unwrap(), Behaviour::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            (r#"{"fail":"100"}"#, "fail: expected"),
            (r#"{"fail":"explode"}"#, "fail: expected"),
            (r#"{"share":"101%"}"#, "share: expected"),
            (r#"{"latency":"fast"}"#, "expected"),
            (r#"{"lattency":"1s"}"#, "unknown field"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn failures_are_spread_evenly() {
        let conduct = Conduct::default();
        for (share, failures) in [(0, 0), (25, 3), (50, 6), (100, 12)] {
            conduct.change(|behaviour| {
                *behaviour =
                    Behaviour { fail: Fail::Reset, share: Share(share), ..Behaviour::default() };
            });
            let count = (0..12).filter(|_| conduct.next().1 == Fail::Reset).count();
            assert_eq!(count, failures, "{share}%");
        }
    }
}
