//! The audit log: a line for each change that an operator makes, and for each refused attempt.
//!
//! It goes to the process log (target `audit`) and, if one is named, to a file. Changes are
//! rare, so the file is opened for each line: whoever rotates logs may rename it at any time.
//! A line that cannot be written is an error in the process log; the change has been made.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// What is told of an attempt to change something.
#[derive(Clone, Debug, Serialize)]
pub struct AuditLine {
    /// When: RFC 3339, UTC.
    pub time: String,
    /// Who: the name of a token, or the user of a process; `-` if that is not known.
    pub who: String,
    /// What they may do.
    pub role: Option<&'static str>,
    /// From where: `socket`, or an address.
    pub from: String,
    /// What they did: the method and path of their request.
    pub action: String,
    /// How it was before, if it is now different.
    pub before: Option<Value>,
    /// How it is now.
    pub after: Option<Value>,
    /// Why they did it, as they say.
    pub reason: Option<String>,
    /// `done`, or why not.
    pub result: String,
    /// The status of the answer.
    pub status: u16,
}

impl AuditLine {
    /// The time `wall`, as a line has it.
    #[must_use]
    pub fn timestamp(wall: SystemTime) -> String {
        Timestamp::try_from(wall).map_or_else(|_| String::from("-"), |time| format!("{time:.3}"))
    }

    /// Writes the line to the process log, and to the file at `path`.
    pub fn write(&self, path: Option<&Path>) {
        let shown =
            |value: &Option<Value>| value.as_ref().map_or_else(String::new, Value::to_string);
        tracing::info!(target: "audit", who = ?self.who, role = self.role.unwrap_or("-"),
            from = self.from, action = ?self.action, before = shown(&self.before),
            after = shown(&self.after), reason = ?self.reason.as_deref().unwrap_or("-"),
            result = self.result, status = self.status, "asked to change something");
        if let Some(path) = path
            && let Err(error) = self.append(path)
        {
            tracing::error!(%error, file = %path.display(), "audit line not written");
        }
    }

    fn append(&self, path: &Path) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = AuditLine {
            time: AuditLine::timestamp(SystemTime::UNIX_EPOCH),
            who: "ci".to_owned(),
            role: Some("operate"),
            from: "127.0.0.1".to_owned(),
            action: "PATCH /v1/log".to_owned(),
            before: None,
            after: Some("debug".into()),
            reason: Some("a\nb\u{1b}[31m".to_owned()),
            result: "done".to_owned(),
            status: 200,
        };
        line.write(Some(&path));
        line.write(Some(&path));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let read: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(read["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(read["reason"], "a\nb\u{1b}[31m");
        assert!(!text.contains('\u{1b}'));
    }
}
