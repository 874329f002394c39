//! JSON lines: with names of ours, or with those of the Elastic Common Schema (ECS 8.11).

use super::LogPlan;
use super::capture::{Captured, Captures};
use super::value::{self, JSON, Value, View};
use crate::data::outcome::Outcome;
use crate::data::refusal::Refusal;
use crate::types::log_field::{FIELDS, LogField, Place};

/// What is the same in every line of ECS.
const OF_ECS: &[u8] = br#","ecs.version":"8.11.0","event.kind":"event","event.category":["web"],"event.type":["access"],"event.dataset":"vanne.access""#;

/// Names, and what stands between the values.
#[derive(Debug)]
pub struct Names {
    members: Vec<Member>,
    /// What ends the line.
    end: Vec<u8>,
    is_ecs: bool,
}

/// A member of the object.
#[derive(Debug)]
struct Member {
    /// What stands before its value.
    before: Box<[u8]>,
    field: LogField,
    /// It is left out if it is not known.
    is_optional: bool,
}

impl Names {
    /// Our own.
    #[must_use]
    pub fn own() -> Self {
        let mut members = Vec::new();
        let mut group = "";
        for row in FIELDS.iter().filter(|row| row.place != Place::OnlyFormats) {
            let (of, name) = row.name.split_once('.').unwrap_or(("", row.name));
            let mut before = String::new();
            if !group.is_empty() && of != group {
                before.push('}');
            }
            before.push(if members.is_empty() { '{' } else { ',' });
            if of != group && !of.is_empty() {
                before = format!("{before}\"{of}\":{{");
            } else if of == group && !of.is_empty() {
                before = ",".to_owned();
            }
            group = of;
            members.push(Member {
                before: format!("{before}\"{name}\":").into_bytes().into(),
                field: row.field,
                is_optional: row.place == Place::LineIfKnown,
            });
        }
        let end = if group.is_empty() { b"}".to_vec() } else { b"}}".to_vec() };
        Self { members, end, is_ecs: false }
    }

    /// Those of ECS. What is not known is left out.
    #[must_use]
    pub fn of_ecs() -> Self {
        let named = FIELDS.iter().filter_map(|row| Some((row.field, row.ecs?)));
        let member = |(index, (field, name)): (usize, (LogField, &str))| Member {
            before: format!("{}\"{name}\":", if index == 0 { '{' } else { ',' })
                .into_bytes()
                .into(),
            field,
            is_optional: true,
        };
        let members = named.enumerate().map(member).collect();
        Self { members, end: [OF_ECS, b"}"].concat(), is_ecs: true }
    }

    /// Appends the line of `view`.
    pub(super) fn write(&self, view: &View<'_>, out: &mut Vec<u8>) {
        for member in &self.members {
            let value = view.value(member.field);
            if member.is_optional && matches!(value, Value::None) {
                continue;
            }
            out.extend_from_slice(&member.before);
            self.write_value(value, view, out);
        }
        out.extend_from_slice(&self.end);
    }

    fn write_value(&self, value: Value<'_>, view: &View<'_>, out: &mut Vec<u8>) {
        match value {
            Value::None => out.extend_from_slice(b"null"),
            Value::Raw(text) => quoted(out, |out| JSON(text, out)),
            Value::Target(text) => quoted(out, |out| value::target(view.plan, text, out, JSON)),
            Value::Attempts => attempts(view, out),
            Value::Headers => headers(view, out),
            Value::Period(time) if self.is_ecs => {
                value::integer(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), out);
            }
            Value::Number(_) | Value::Period(_) | Value::Share(_) => value.write_plain(out),
            _ => quoted(out, |out| value.write_plain(out)),
        }
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn attempts(view: &View<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, attempt) in view.exchange.attempts.iter().enumerate() {
        let start: &[u8] = if index == 0 { b"{\"backend\":\"" } else { b",{\"backend\":\"" };
        out.extend_from_slice(start);
        out.extend_from_slice(attempt.backend().name.as_bytes());
        out.extend_from_slice(b"\",\"by\":\"");
        out.extend_from_slice(attempt.by.as_bytes());
        out.extend_from_slice(b"\",\"outcome\":\"");
        let outcome = attempt.outcome.map_or("unfinished", Outcome::as_str);
        out.extend_from_slice(outcome.as_bytes());
        out.extend_from_slice(b"\",\"reason\":");
        match attempt.refusal.map(Refusal::reason) {
            None => out.extend_from_slice(b"null"),
            Some(reason) => quoted(out, |out| out.extend_from_slice(reason.as_bytes())),
        }
        out.extend_from_slice(b",\"reused\":");
        out.extend_from_slice(if attempt.is_reused { b"true" } else { b"false" });
        out.extend_from_slice(b",\"ms\":");
        value::millis(view.time_of(attempt), out);
        out.push(b'}');
    }
    out.push(b']');
}

fn headers(view: &View<'_>, out: &mut Vec<u8>) {
    let texts = view.exchange.texts();
    let capture = &view.plan.capture;
    out.extend_from_slice(b"{\"request\":");
    side(&capture.request, &texts.captured, view.plan, out);
    out.extend_from_slice(b",\"response\":");
    side(&capture.response, &texts.captured_answer, view.plan, out);
    out.push(b'}');
}

fn side(wanted: &[Captures], found: &Captured, plan: &LogPlan, out: &mut Vec<u8>) {
    let mut before: &[u8] = b"{";
    for (index, one) in wanted.iter().enumerate() {
        let Some(value) = found.value(index) else { continue };
        out.extend_from_slice(before);
        quoted(out, |out| out.extend_from_slice(one.name.as_bytes()));
        out.push(b':');
        quoted(out, |out| value::target(plan, value, out, JSON));
        before = b",";
    }
    out.extend_from_slice(if before == b"{" { b"{}" } else { b"}" });
}
