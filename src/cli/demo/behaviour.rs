//! Behaviour: how a demo backend misbehaves, and for which of its requests.
//!
//! Pure: text in, decisions out. A share is met by counting, not by chance, so that what a
//! demo shows is the same each time: of any `n` requests, `share` of them, rounded down, are
//! affected. To add a way to misbehave: a field or a [`Fault`], its key in
//! [`Behaviour::from_pairs`], and a word in [`ACCEPTED`].

use crate::types::units::Period;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// What `PUT /_demo/behaviour` accepts.
pub(super) const ACCEPTED: &str = "latency=DURATION (like 200ms), one of status=200..599, hang \
                                   and reset, and share=PERCENT (like 50%, or 50%25 encoded)";

/// What a backend does instead of just answering.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Behaviour {
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Period>,
    #[serde(flatten)]
    fault: Option<Fault>,
    share: Share,
}

/// What happens to an affected request, after its latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// It is answered with this status.
    Status(u16),
    /// It is never answered.
    Hang(bool),
    /// Its connection is reset.
    Reset(bool),
}

/// What to do with one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Decision {
    /// Wait so long first.
    pub(super) latency: Option<Duration>,
    /// Then this, or the plain answer.
    pub(super) fault: Option<Fault>,
}

/// Whole percents, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Share(u8);

impl Default for Share {
    fn default() -> Self {
        Self(100)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}%", self.0))
    }
}

impl Share {
    fn from_text(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        let is_plain = number.bytes().all(|b| b.is_ascii_digit());
        let percent = number.parse().ok().filter(|percent| (1..=100).contains(percent))?;
        is_plain.then_some(Self(percent))
    }

    /// Whether the request with this number, from 0, is affected.
    fn takes(self, request: u64) -> bool {
        let affected_before = |count: u64| u128::from(count) * u128::from(self.0) / 100;
        affected_before(request.saturating_add(1)) > affected_before(request)
    }
}

impl Behaviour {
    /// The behaviour that these keys and values of a query describe.
    ///
    /// # Errors
    /// The first key or value that is not accepted, with what would be.
    pub(super) fn from_pairs(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut new = Self::default();
        if pairs.is_empty() {
            return Err(format!("nothing is set: expected {ACCEPTED}"));
        }
        for (index, (key, value)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(before, _)| before == key) {
                return Err(format!("{key} is there twice: expected each key once"));
            }
            match key.as_str() {
                "latency" => new.latency = Some(latency(value)?),
                "share" => new.share = Share::from_text(value).ok_or_else(|| wrong_share(value))?,
                _ => new.set_fault(fault(key, value)?)?,
            }
        }
        if new.latency.is_none() && new.fault.is_none() {
            return Err(format!("share alone changes nothing: expected {ACCEPTED}"));
        }
        Ok(new)
    }

    fn set_fault(&mut self, fault: Fault) -> Result<(), String> {
        if self.fault.replace(fault).is_some() {
            return Err("two faults at once: expected one of status, hang and reset".to_owned());
        }
        Ok(())
    }

    /// What to do with the request of this number, counted from 0 since the behaviour was set.
    pub(super) fn decide(&self, request: u64) -> Decision {
        if !self.share.takes(request) {
            return Decision::default();
        }
        Decision { latency: self.latency.map(Period::as_duration), fault: self.fault }
    }
}

fn latency(value: &str) -> Result<Period, String> {
    value.parse().map_err(|error| format!("latency={value}: {error}"))
}

fn wrong_share(value: &str) -> String {
    format!("share={value}: expected a whole percentage from 1% to 100%, as 50% or 50%25")
}

fn fault(key: &str, value: &str) -> Result<Fault, String> {
    let is_plain_flag = matches!(value, "" | "true");
    match key {
        "status" => value
            .parse()
            .ok()
            .filter(|status| (200..=599).contains(status))
            .map(Fault::Status)
            .ok_or_else(|| format!("status={value}: expected a status from 200 to 599")),
        "hang" if is_plain_flag => Ok(Fault::Hang(true)),
        "reset" if is_plain_flag => Ok(Fault::Reset(true)),
        "hang" | "reset" => Err(format!("{key}={value}: expected {key} alone, or {key}=true")),
        _ => Err(format!("unknown key {key}: expected {ACCEPTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviour(pairs: &[(&str, &str)]) -> Result<Behaviour, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Behaviour::from_pairs(&pairs.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_share_is_met_by_counting() {
        for (percent, affected) in [(1, 1), (30, 30), (50, 50), (99, 99), (100, 100)] {
            let share = Share(percent);
            let count = (0..100).filter(|request| share.takes(*request)).count();
            assert_eq!(count, affected, "{percent}%");
        }
        let turns: Vec<bool> = (0..4).map(|request| Share(50).takes(request)).collect();
        assert_eq!(turns, [false, true, false, true]);
        assert!(Share(100).takes(u64::MAX - 1));
    }

    #[test]
    fn what_is_set_is_shown() {
        let set = behaviour(&[("latency", "200ms"), ("status", "503"), ("share", "50%")]).unwrap();
        let shown = serde_json::to_string(&set).unwrap();
        assert_eq!(shown, r#"{"latency":"200ms","status":503,"share":"50%"}"#);
        let hang = serde_json::to_string(&behaviour(&[("hang", "")]).unwrap()).unwrap();
        assert_eq!(hang, r#"{"hang":true,"share":"100%"}"#);
        let nothing = serde_json::to_string(&Behaviour::default()).unwrap();
        assert_eq!(nothing, r#"{"share":"100%"}"#);
    }

    #[test]
    fn a_request_outside_the_share_is_just_answered() {
        let half = behaviour(&[("reset", "true"), ("share", "50%")]).unwrap();
        assert_eq!(half.decide(0), Decision::default());
        assert_eq!(half.decide(1).fault, Some(Fault::Reset(true)));
        assert_eq!(Behaviour::default().decide(7), Decision::default());
    }

    #[test]
    fn what_is_wrong_says_what_is_accepted() {
        let cases: &[&[(&str, &str)]] = &[
            &[],
            &[("latency", "5")],
            &[("latency", "0s")],
            &[("status", "99")],
            &[("status", "600")],
            &[("status", "abc")],
            &[("share", "50"), ("status", "503")],
            &[("share", "0%"), ("status", "503")],
            &[("share", "+5%"), ("status", "503")],
            &[("share", "50%")],
            &[("hang", "false")],
            &[("hang", ""), ("reset", "")],
            &[("status", "500"), ("status", "503")],
            &[("delay", "5s")],
        ];
        for pairs in cases {
            let error = behaviour(pairs).unwrap_err();
            assert!(error.contains("expected") || error.contains("out of range"), "{error}");
        }
    }
}
