//! What came of a case: was it dangerous, was it what policy wants.
//!
//! Dangerous is what lets one message be taken for another, whatever policy says: see README.md.

use crate::case::{Case, Expected, Kind, Then, Want};
use crate::notation;
use crate::origin::{Event, is_after, mark_in};
use crate::play::{Got, Stop, saw};
use crate::strict::Message;

/// The reasons for complaint about a case; both empty for a good one.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) dangers: Vec<String>,
    pub(crate) against_policy: Vec<String>,
    /// Whether another request could be sent on the case's connection.
    pub(crate) is_followed: bool,
}

/// Judges what the client got and what the backend saw of `case`.
pub(crate) fn judge(case: &Case, got: &Got, seen: &[Event]) -> Verdict {
    let requests: Vec<_> = seen
        .iter()
        .filter_map(|event| match event {
            Event::Request(mark, message) if !is_after(mark) => Some((mark.as_str(), message)),
            _ => None,
        })
        .collect();
    let view = View { case, got, seen, requests };
    let (dangers, against_policy) = (view.dangers(), view.against_policy());
    Verdict { dangers, against_policy, is_followed: got.next.is_some() }
}

/// A case with all that is known of it.
struct View<'a> {
    case: &'a Case,
    got: &'a Got,
    seen: &'a [Event],
    /// The whole requests that the backend got, with their marks.
    requests: Vec<(&'a str, &'a Message)>,
}

impl View<'_> {
    fn dangers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for event in self.seen {
            if let Event::Unreadable(why) = event {
                found.push(format!("the backend got {why}"));
            }
        }
        let (requests, answers) = (self.requests.len(), self.got.answers.len());
        // One request whose answer never came is a loss, and no second request.
        if requests > answers.max(1) && !self.case.ends && !self.is_repeated() {
            found
                .push(format!("the backend got {requests} requests, the client {answers} answers"));
        }
        let smuggled = |mark: &str| mark.ends_with("-smuggled");
        if self.requests.iter().any(|(mark, _)| smuggled(mark)) {
            found.push("the backend got the smuggled request".into());
        }
        if self.got.answers.iter().filter_map(saw).any(|mark| smuggled(&mark)) {
            found.push("the client got the smuggled answer".into());
        }
        if let Some(Stop::Unreadable(why)) = &self.got.stop {
            found.push(format!("the client got {why}"));
        }
        let first = self.got.answers.first().map_or(0, |answer| answer.head.status());
        if first == 101 && !self.asks_for_websocket() {
            found.push("the client got a 101 and had not asked for WebSocket".into());
        }
        found.extend(self.wrong_body());
        found.extend(self.taken_for_whole());
        found.extend(self.wrong_answers_after());
        found
    }

    /// Whether all requests are one, sent again because the backend had closed.
    fn is_repeated(&self) -> bool {
        let closes = self.case.answer.as_ref().is_some_and(|answer| answer.then != Then::Keep);
        let is_one =
            self.requests.windows(2).all(|pair| pair[0].1.head.line == pair[1].1.head.line);
        self.case.kind == Kind::Answer && closes && is_one
    }

    fn asks_for_websocket(&self) -> bool {
        let sent = String::from_utf8_lossy(&self.case.send.concat()).to_ascii_lowercase();
        sent.contains("\r\nupgrade: websocket\r\n")
    }

    /// A body that arrived otherwise than it was sent.
    fn wrong_body(&self) -> Option<String> {
        let answer = self.got.answers.first().filter(|answer| self.is_good_status(answer));
        let request = self.requests.first().map(|(_, message)| *message);
        let pairs =
            [(request, &self.case.backend, "backend"), (answer, &self.case.client, "client")];
        for (message, expected, who) in pairs {
            let (Some(message), Some(body)) = (message, &expected.body) else { continue };
            if message.is_whole && message.body != body.as_bytes() {
                return Some(format!("the {who} got the body {}", notation::shown(&message.body)));
            }
        }
        None
    }

    fn is_good_status(&self, answer: &Message) -> bool {
        (200..300).contains(&answer.head.status())
    }

    /// What was cut, and came as if it were whole.
    fn taken_for_whole(&self) -> Option<String> {
        let is_taken = self.case.want == Want::Cut && self.is_whole();
        is_taken.then(|| "what was cut came as if it were whole".into())
    }

    /// Whether the message arrived whole.
    fn is_whole(&self) -> bool {
        match self.case.kind {
            Kind::Request => !self.requests.is_empty(),
            Kind::Answer => self.got.answers.iter().any(|a| a.is_whole && self.is_good_status(a)),
        }
    }

    /// The requests after the case, if they got another one's answer.
    fn wrong_answers_after(&self) -> Vec<String> {
        let after = [("next", self.got.next.as_ref()), ("fresh", Some(&self.got.fresh))];
        let wrong = after.into_iter().filter_map(|(word, after)| match after? {
            Ok(answer) => {
                let mark = saw(answer)?;
                let is_own = mark == format!("{}-{word}", self.case.id);
                (!is_own).then(|| format!("the {word} request got the answer of {mark}"))
            }
            Err(Stop::Unreadable(why)) => Some(format!("the {word} request got {why}")),
            Err(_) => None,
        });
        wrong.collect()
    }

    fn against_policy(&self) -> Vec<String> {
        let mut found = match self.case.want {
            Want::Pass => self.not_passed(),
            Want::Refuse => self.not_refused(),
            Want::PassOrRefuse => {
                let refused = self.not_refused();
                let statuses = &self.case.statuses;
                let is_refused = self.got.answers.first().is_none_or(|answer| {
                    statuses.contains(&answer.head.status()) && saw(answer).is_none()
                });
                if refused.is_empty() || is_refused { refused } else { self.not_passed() }
            }
            Want::RefuseOrCut if self.is_whole() => {
                vec!["it came as if it were well-formed".into()]
            }
            Want::RefuseOrCut | Want::Cut => self.not_cut(),
        };
        let is_http_10 = self.case.send.concat().windows(10).any(|window| window == b" HTTP/1.0\r");
        if is_http_10 && !self.got.informational.is_empty() {
            found.push(format!("HTTP/1.0, and the client got {:?}", self.got.informational));
        }
        match &self.got.fresh {
            Ok(answer) if answer.head.status() == 200 => {}
            Ok(answer) => found.push(format!("the fresh request got {}", answer.head.line)),
            Err(stop) => found.push(format!("the fresh request got no answer: {stop:?}")),
        }
        match &self.got.next {
            Some(Ok(answer)) if answer.head.status() != 200 => {
                found.push(format!("the next request got {}", answer.head.line));
            }
            Some(Err(stop)) => found.push(format!("the next request got no answer: {stop:?}")),
            _ => {}
        }
        found
    }

    /// What was got, for messages.
    fn statuses(&self) -> String {
        let status = |answer: &Message| match (answer.is_whole, answer.head.status()) {
            (true, status) => status.to_string(),
            (false, status) => format!("{status} (cut)"),
        };
        let mut all: Vec<_> = self.got.answers.iter().map(status).collect();
        all.extend(self.got.stop.as_ref().map(|stop| format!("{stop:?}")));
        all.join(", ")
    }

    fn not_passed(&self) -> Vec<String> {
        let mut found = Vec::new();
        let case = self.case;
        let allowed = &case.statuses;
        let answers = &self.got.answers;
        let is_good = |answer: &Message| {
            let status = answer.head.status();
            let is_usual = case.want == Want::PassOrRefuse && status == 200;
            answer.is_whole && (is_usual || allowed.contains(&status))
        };
        if answers.len() != case.methods.len() || !answers.iter().all(is_good) {
            found.push(format!("the client got {}, not {allowed:?}", self.statuses()));
        }
        let own = |answer: &Message| saw(answer).is_some_and(|mark| mark.starts_with(&case.id));
        let is_scripted = case.answer.as_ref().is_some_and(|answer| !answer.bytes.is_empty());
        let passed = answers.iter().filter(|answer| answer.head.status() == 200);
        if !is_scripted && !passed.into_iter().all(own) {
            found.push("an answer is not the case's own".into());
        }
        let requests = case.backend.requests.unwrap_or(case.methods.len());
        // Who has its answer before the request is whole may not get the rest of it.
        let is_early = case.answer.as_ref().is_some_and(|answer| answer.is_early);
        let least = if is_early { 0 } else { requests };
        if !(least..=requests).contains(&self.requests.len()) {
            found.push(format!("the backend got {} requests, not {requests}", self.requests.len()));
        }
        if let Some((_, message)) = self.requests.first() {
            found.extend(unmet("backend", message, &case.backend));
        }
        if let Some(message) = answers.first() {
            found.extend(unmet("client", message, &case.client));
        }
        found
    }

    fn not_refused(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (case, got) = (self.case, self.got);
        let is_refused = match got.answers.first() {
            Some(answer) => case.statuses.contains(&answer.head.status()) && answer.is_whole,
            None => case.may_close && got.stop == Some(Stop::Ended),
        };
        if !is_refused {
            found.push(format!("the client got {}, not {:?}", self.statuses(), case.statuses));
        }
        let requests = case.backend.requests.unwrap_or(0);
        if case.kind == Kind::Request && self.requests.len() != requests {
            found.push(format!("the backend got {} requests, not {requests}", self.requests.len()));
        }
        found
    }

    fn not_cut(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.case.kind == Kind::Answer && self.got.stop == Some(Stop::Silent) {
            found.push("the client waits for an answer that will not come".into());
        }
        let refusal = self.got.answers.first().filter(|answer| !self.is_good_status(answer));
        if let Some(answer) =
            refusal.filter(|answer| !self.case.statuses.contains(&answer.head.status()))
        {
            found.push(format!("the client got {}", answer.head.line));
        }
        found
    }
}

/// What `message` should have and lack.
fn unmet(who: &str, message: &Message, expected: &Expected) -> Vec<String> {
    let fields: Vec<_> =
        message.head.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let has = |field: &String| {
        fields.iter().any(|one| one == field || one.split(':').next() == Some(field))
    };
    let missing = expected.has.iter().filter(|field| !has(field));
    let unwanted = expected.lacks.iter().filter(|field| has(field));
    let line = expected.line.iter().filter(|line| **line != message.head.line);
    missing
        .map(|field| format!("the {who} did not get `{field}` but {fields:?}"))
        .chain(unwanted.map(|field| format!("the {who} got `{field}`")))
        .chain(line.map(|line| format!("the {who} got `{}`, not `{line}`", message.head.line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case;
    use crate::strict::Head;

    fn message(line: &str, mark: &str, body: &str) -> Message {
        let fields = vec![("x-saw".to_owned(), mark.to_owned())];
        Message { head: Head { line: line.into(), fields }, body: body.into(), is_whole: true }
    }

    fn ok(mark: &str) -> Message {
        message("HTTP/1.1 200 OK", mark, "")
    }

    /// The first case that policy wants this of.
    fn case(kind: Kind, want: Want) -> Case {
        let ends = kind == Kind::Request && want == Want::Cut;
        let is_it = |case: &Case| case.kind == kind && case.want == want && case.ends == ends;
        case::all().into_iter().find(|case| is_it(case) && case.methods.len() == 1).unwrap()
    }

    /// What comes of `case` when the client gets `answers` and the backend `marks`.
    fn judged(case: &Case, answers: Vec<Message>, marks: &[&str], fresh: &str) -> (usize, usize) {
        let fresh = Ok(ok(&format!("{}{fresh}", case.id)));
        let got = Got { informational: Vec::new(), answers, stop: None, next: None, fresh };
        let request = |word: &&str| {
            let mark = format!("{}{word}", case.id);
            Event::Request(mark.clone(), message("GET / HTTP/1.1", &mark, ""))
        };
        let seen: Vec<_> = marks.iter().map(request).collect();
        let verdict = judge(case, &got, &seen);
        (verdict.dangers.len(), verdict.against_policy.len())
    }

    #[test]
    fn what_a_proxy_must_not_do_is_seen() {
        let case = case(Kind::Request, Want::Refuse);
        let refused = || vec![message("HTTP/1.1 400 Bad", "", "")];
        let own = || vec![ok(&case.id)];
        assert_eq!(judged(&case, refused(), &[], "-fresh"), (0, 0));
        assert_eq!(judged(&case, own(), &[""], "-fresh"), (0, 2), "passed");
        assert_eq!(judged(&case, own(), &["", ""], "-fresh").0, 1, "more requests than answers");
        assert_eq!(judged(&case, refused(), &["-smuggled"], "-fresh").0, 1, "smuggled");
        assert_eq!(judged(&case, refused(), &[], "-next"), (1, 0), "another's answer");
        assert_eq!(judged(&case, vec![ok(&format!("{}-smuggled", case.id))], &[], "-fresh").0, 1);
        let switch = vec![message("HTTP/1.1 101 Switching Protocols", "", "")];
        assert_eq!(judged(&case, switch, &[], "-fresh").0, 1, "a switch");
    }

    #[test]
    fn what_cannot_be_read_is_seen_on_both_sides() {
        let case = case(Kind::Request, Want::Refuse);
        let stop = Some(Stop::Unreadable("x".into()));
        let got = |stop| Got {
            informational: Vec::new(),
            answers: Vec::new(),
            stop,
            next: None,
            fresh: Ok(ok(&format!("{}-fresh", case.id))),
        };
        assert_eq!(judge(&case, &got(stop), &[]).dangers.len(), 1);
        let got = got(None);
        assert_eq!(judge(&case, &got, &[Event::Unreadable("x".into())]).dangers.len(), 1);
    }

    #[test]
    fn a_cut_message_is_not_whole() {
        let request = case(Kind::Request, Want::Cut);
        assert_eq!(judged(&request, vec![], &[], "-fresh").0, 0);
        assert_ne!(judged(&request, vec![], &[""], "-fresh").0, 0);
        let answer = case(Kind::Answer, Want::Cut);
        let cut = Message { is_whole: false, ..ok(&answer.id) };
        assert_eq!(judged(&answer, vec![cut], &[""], "-fresh"), (0, 0));
        assert_eq!(judged(&answer, vec![ok(&answer.id)], &[""], "-fresh"), (1, 0));
    }

    #[test]
    fn marks_of_cases_are_marks() {
        for case in case::all() {
            assert_eq!(mark_in(case.id.as_bytes()), Some(case.id));
        }
    }
}
