//! Auth: who asks, and whether they asked themselves or a web page made their browser ask.

use super::access::Rules;
use super::door::Peer;
use super::logins::Failures;
use super::problem::Problem;
use super::tokens::Role;
use crate::types::moment::Moment;
use axum::http::{HeaderMap, Method, StatusCode, header};
use parking_lot::Mutex;
use std::net::IpAddr;

/// The name of those who show no token where none is asked for.
const ANONYMOUS: &str = "(anonymous)";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    /// The name of their token, the user of their process, or [`ANONYMOUS`].
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

/// Why somebody was not let in: a label of `vanne_admin_login_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginFailure {
    /// Too many wrong tokens before.
    Limited,
    /// No token.
    Missing,
    /// A wrong one.
    Wrong,
}

impl LoginFailure {
    /// As a label.
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        }
    }
}

/// Whether the request with this head may have been asked for by who sent it. A page of another
/// site can make a browser send requests here: what it cannot choose is told by `Origin` and
/// `Host`, and it cannot send JSON without asking first.
pub(super) fn guard(headers: &HeaderMap, peer: Peer, rules: &Rules) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let forbidden =
        |reason, detail: String| Err::<(), _>(Problem::new(StatusCode::FORBIDDEN, reason, detail));
    let host = text(header::HOST);
    if let (Peer::Address(_), Some(authority)) = (peer, host)
        && !is_own(host_of(authority), &rules.hosts)
    {
        let detail = "this is not the host that was asked for: \
             expected an IP address, localhost or one of admin.hosts";
        return forbidden("foreign_host", detail.to_owned());
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").map(|(_, rest)| rest) != host
    {
        return forbidden("foreign_origin", "a page of another site asks".to_owned());
    }
    Ok(())
}

/// Whether the request says that it is JSON, as a change must. One that removes something need not:
/// there is nothing in it to say, and no page sends it to another site without asking first.
pub(super) fn guard_change(headers: &HeaderMap, method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if *method == Method::DELETE && !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            "a change needs `content-type: application/json`, also without a body",
        )),
    }
}

/// The host in `authority`, without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_own(host: &str, hosts: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
}

/// Who asks, at `now`.
pub(super) fn who(
    headers: &HeaderMap,
    peer: Peer,
    rules: &Rules,
    failures: &Mutex<Failures>,
    now: Moment,
) -> Result<Actor, (LoginFailure, Problem)> {
    let client = match peer {
        Peer::Socket(user) => {
            let name = user.map_or("socket".to_owned(), |user| format!("uid {user}"));
            return Ok(Actor { name, role: Role::Admin });
        }
        Peer::Address(client) => client,
    };
    let refused = |failure, reason, detail: &str| {
        (failure, Problem::new(StatusCode::UNAUTHORIZED, reason, detail))
    };
    let Some(file) = &rules.tokens else {
        if client.is_loopback() {
            return Ok(Actor { name: ANONYMOUS.to_owned(), role: Role::Read });
        }
        // A reload took the tokens away, and the address is still open until a restart.
        let detail = "no token is known: set admin.tokens_file";
        return Err(refused(LoginFailure::Missing, "no_token", detail));
    };
    if let Some(wait) = failures.lock().wait(client, now) {
        let seconds = wait.as_secs() + 1;
        let detail = format!("too many wrong tokens from {client}: wait for {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail);
        return Err((LoginFailure::Limited, Problem { retry_after: Some(seconds), ..problem }));
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        let detail = "a token is needed: `authorization: Bearer TOKEN`";
        return Err(refused(LoginFailure::Missing, "no_token", detail));
    };
    let found = bearer(given.as_bytes()).and_then(|given| file.tokens.find(given));
    let Some(token) = found else {
        failures.lock().note(client, now);
        return Err(refused(LoginFailure::Wrong, "bad_token", "this is no token that is known"));
    };
    Ok(Actor { name: token.name.as_str().to_owned(), role: token.role })
}

/// Whether `actor` may do what the role `needs` may.
pub(super) fn may(actor: &Actor, needs: Role) -> Result<(), Problem> {
    if actor.role >= needs {
        return Ok(());
    }
    let hint = match actor.name == ANONYMOUS {
        true => ": without admin.tokens_file only the socket lets somebody change something",
        false => "",
    };
    let detail = format!("{} has the role {}, expected {needs}{hint}", actor.name, actor.role);
    Err(Problem::new(StatusCode::FORBIDDEN, "role", detail))
}

/// What follows the word Bearer, which knows no case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (word, token) = value.split_at_checked(7)?;
    word.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(method: &Method, fields: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let fields =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = fields.collect();
        let rules = Rules { hosts: vec!["admin.example".to_owned()], ..Rules::default() };
        let peer = Peer::Address([127, 0, 0, 1].into());
        guard(&headers, peer, &rules)
            .and_then(|()| guard_change(&headers, method))
            .map_err(|problem| problem.reason)
    }

    #[test]
    fn only_own_hosts_are_answered() {
        for host in
            ["127.0.0.1:9902", "[::1]:9902", "[::1]", "localhost", "LOCALHOST:1", "admin.example:9"]
        {
            assert_eq!(guarded(&Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:9902", "", ":1", "localhost.", "é"] {
            assert_eq!(guarded(&Method::GET, &[("host", host)]), Err("foreign_host"), "{host}");
        }
        assert_eq!(guarded(&Method::GET, &[]), Ok(()), "no browser leaves it out");
    }

    #[test]
    fn only_pages_of_ours_may_ask() {
        let get = |origin| guarded(&Method::GET, &[("host", "localhost:9"), ("origin", origin)]);
        assert_eq!(get("http://localhost:9"), Ok(()));
        for origin in ["http://localhost:8", "https://evil.example", "null", ""] {
            assert_eq!(get(origin), Err("foreign_origin"), "{origin}");
        }
    }

    #[test]
    fn a_change_is_json() {
        let post = |fields: &[_]| guarded(&Method::POST, fields);
        for kind in ["application/json", "application/JSON; charset=utf-8"] {
            assert_eq!(post(&[("content-type", kind)]), Ok(()));
        }
        for kind in ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", ""] {
            assert_eq!(post(&[("content-type", kind)]), Err("content_type"), "{kind}");
        }
        assert_eq!(post(&[]), Err("content_type"));
        let delete = |fields: &[_]| guarded(&Method::DELETE, fields);
        assert_eq!(delete(&[]), Ok(()));
        assert_eq!(delete(&[("content-type", "text/plain")]), Err("content_type"));
    }

    #[test]
    fn without_tokens_only_this_machine_may_look() {
        let (headers, rules, failures) = (HeaderMap::new(), Rules::default(), Mutex::default());
        let ask = |client: [u8; 4]| {
            let peer = Peer::Address(client.into());
            let who = who(&headers, peer, &rules, &failures, Moment::default());
            who.map(|actor| actor.role).map_err(|(failure, problem)| (failure, problem.status))
        };
        assert_eq!(ask([127, 0, 0, 1]), Ok(Role::Read));
        assert_eq!(ask([192, 0, 2, 1]), Err((LoginFailure::Missing, 401)));
    }

    #[test]
    fn a_bearer_is_one_in_any_case() {
        assert_eq!(bearer(b"Bearer x"), Some(&b"x"[..]));
        assert_eq!(bearer(b"bearer  x "), Some(&b"x"[..]));
        assert_eq!((bearer(b"Basic x"), bearer(b"x"), bearer(b"Bearerx yz")), (None, None, None));
    }
}
