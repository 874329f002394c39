//! 2 · Predicate: what must hold of a request, whatever it is asked for.
//!
//! A tree of conditions on the head and the client's address; pure, and without memory of
//! other requests. Routes hold one for what their host and path do not say.
//!
//! To add a condition: a variant of [`Condition`], its arm in `Condition::holds`, and the
//! key in `config::matching`.

use super::named;
use super::term::{HostTerm, PathTerm, ValueTerm};
use crate::data::pool::hash_key::cookie_value;
use ipnet::IpNet;
use std::net::IpAddr;
use vanne_filters::RequestHead;

/// Conditions that must all hold. None: holds of every request.
#[derive(Clone, Debug, Default)]
pub struct Predicate(Vec<Condition>);

/// One condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The host is asked for.
    Host(HostTerm),
    /// The path is asked for.
    Path(PathTerm),
    /// The method is one of these.
    Method(Vec<Box<str>>),
    /// A field of this name (lower case) has such a value.
    Field(Box<str>, ValueTerm),
    /// A parameter of the query of this name has such a value, both as they stand there.
    Query(Box<[u8]>, ValueTerm),
    /// A cookie of this name has such a value.
    Cookie(Box<[u8]>, ValueTerm),
    /// The client is in one of these networks.
    Client(Vec<IpNet>),
    /// All of these hold.
    All(Vec<Predicate>),
    /// One of these holds.
    Any(Vec<Predicate>),
    /// This does not hold.
    Not(Box<Predicate>),
}

impl Predicate {
    /// A predicate of these conditions.
    #[must_use]
    pub fn new(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// Whether all of it holds of the request with this `head`, sent by `client`, as it is
    /// believed.
    /// Cost: each condition is looked at once, patterns take time linear in what they look at;
    /// no lock, no allocation (a pattern may fill its bounded cache).
    #[must_use]
    pub fn holds(&self, head: &RequestHead<'_>, client: IpAddr) -> bool {
        self.0.iter().all(|condition| condition.holds(head, client))
    }

    /// How much it asks for: one for each condition, those in `all` counted one by one.
    #[must_use]
    pub fn weight(&self) -> usize {
        let of = |condition: &Condition| match condition {
            Condition::All(all) => all.iter().map(Self::weight).sum(),
            _ => 1,
        };
        self.0.iter().map(of).sum()
    }
}

impl Condition {
    fn holds(&self, head: &RequestHead<'_>, client: IpAddr) -> bool {
        match self {
            Self::Host(term) => head.host().is_some_and(|host| term.holds(named(host))),
            Self::Path(term) => term.holds(head.path()),
            Self::Method(methods) => methods.iter().any(|method| **method == *head.method),
            Self::Field(name, term) => term.holds_of(|see| fields(head, name, see)),
            Self::Query(name, term) => term.holds_of(|see| parameters(head, name, see)),
            Self::Cookie(name, term) => term.holds_of(|see| cookies(head, name, see)),
            Self::Client(networks) => networks.iter().any(|network| network.contains(&client)),
            Self::All(all) => all.iter().all(|one| one.holds(head, client)),
            Self::Any(any) => any.iter().any(|one| one.holds(head, client)),
            Self::Not(not) => !not.holds(head, client),
        }
    }
}

/// Shows each value of the fields called `name`.
fn fields(head: &RequestHead<'_>, name: &str, see: &mut dyn FnMut(&[u8])) {
    // Most often there is none, or one: an engine finds those without looking at all.
    match head.fields.count(name) {
        0 => {}
        1 => head.fields.first(name).into_iter().for_each(see),
        _ => head.fields.each(&mut |field, value| {
            if field.eq_ignore_ascii_case(name.as_bytes()) {
                see(value);
            }
        }),
    }
}

/// Shows each value of the parameters called `name`; one without `=` is empty.
fn parameters(head: &RequestHead<'_>, name: &[u8], see: &mut dyn FnMut(&[u8])) {
    let query = head.query().into_iter();
    for pair in query.flat_map(|query| query.split(|&byte| byte == b'&')) {
        show_pair(pair, name, see);
    }
}

/// Shows each value of the cookies called `name` (RFC 6265 §4.2.1), quotes and all.
fn cookies(head: &RequestHead<'_>, name: &[u8], see: &mut dyn FnMut(&[u8])) {
    fields(head, "cookie", &mut |cookies| {
        for pair in cookies.split(|&byte| byte == b';') {
            match cookie_value(pair, name) {
                Some(value) => see(value),
                None if pair.trim_ascii() == name => see(b""),
                None => {}
            }
        }
    });
}

fn show_pair(pair: &[u8], name: &[u8], see: &mut dyn FnMut(&[u8])) {
    match pair.strip_prefix(name) {
        Some([]) => see(b""),
        Some([b'=', value @ ..]) => see(value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::{FieldSlice, Version};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn holds(condition: Condition, target: &str, fields: &[(&str, &str)]) -> bool {
        let fields = FieldSlice(fields);
        let head = RequestHead::new("GET", target.as_bytes(), Version::Http11, &fields);
        Predicate::new(vec![condition]).holds(&head, CLIENT)
    }

    fn method(name: &str) -> Condition {
        Condition::Method(vec![name.into()])
    }

    fn is(value: &str) -> ValueTerm {
        ValueTerm::Exact(value.as_bytes().into())
    }

    #[test]
    fn a_value_is_found_wherever_it_stands() {
        let field = |test| Condition::Field("x-a".into(), test);
        let twice = [("X-A", "1"), ("x-b", "3"), ("x-a", "2")];
        assert!(holds(field(is("1")), "/", &twice) && holds(field(is("2")), "/", &twice));
        assert!(!holds(field(is("3")), "/", &twice) && !holds(field(is("1")), "/", &[]));
        let query = |test| Condition::Query("a".as_bytes().into(), test);
        for (target, value) in [
            ("/?a=1", "1"),
            ("/?b&a=1=2", "1=2"),
            ("/?a", ""),
            ("/?a=", ""),
            ("/?aa=2&a=%20", "%20"),
        ] {
            assert!(holds(query(is(value)), target, &[]), "{target}");
        }
        for target in ["/", "/?", "/?b=1", "/?aa=1", "/?b=a=1", "/a=1"] {
            assert!(holds(query(ValueTerm::Absent), target, &[]), "{target}");
            assert!(!holds(query(ValueTerm::Present), target, &[]), "{target}");
        }
        let cookie = |test| Condition::Cookie("a".as_bytes().into(), test);
        for cookies in ["a=1", "a =1", "b=2; a=1", "b=2;a=1;c", "a=0; a=1"] {
            assert!(holds(cookie(is("1")), "/", &[("Cookie", cookies)]), "{cookies}");
        }
        assert!(holds(cookie(is("1")), "/", &[("cookie", "b=1"), ("cookie", "a=1")]));
        assert!(!holds(cookie(is("1")), "/", &[("cookie", "b=a=1; aa=1")]));
    }

    #[test]
    fn a_host_is_the_same_with_a_dot_at_its_end() {
        for (host, want) in [("A.example", true), ("a.example.:80", true), ("a.example..", false)] {
            let term = Condition::Host(HostTerm::Exact("a.example".into()));
            assert_eq!(holds(term, "/", &[("host", host)]), want, "{host}");
        }
    }

    #[test]
    fn all_any_and_not_are_what_they_say() {
        let get = || Predicate::new(vec![method("GET")]);
        let post = || Predicate::new(vec![method("POST")]);
        for (condition, want) in [
            (Condition::All(vec![get(), get()]), true),
            (Condition::All(vec![get(), post()]), false),
            (Condition::Any(vec![post(), get()]), true),
            (Condition::Any(vec![post()]), false),
            (Condition::Not(Box::new(post())), true),
            (Condition::Not(Box::new(get())), false),
            (Condition::Client(vec!["192.0.2.0/24".parse().unwrap()]), true),
            (Condition::Client(vec!["10.0.0.0/8".parse().unwrap()]), false),
        ] {
            assert_eq!(holds(condition.clone(), "/", &[]), want, "{condition:?}");
        }
        assert!(
            Predicate::default()
                .holds(&RequestHead::new("GET", b"/", Version::Http11, &FieldSlice(&[])), CLIENT)
        );
    }

    #[test]
    fn weight_counts_conditions_and_those_in_all_one_by_one() {
        let two = || Predicate::new(vec![method("GET"), method("GET")]);
        let predicate = Predicate::new(vec![
            method("GET"),
            Condition::All(vec![two(), two()]),
            Condition::Any(vec![two(), two()]),
            Condition::Not(Box::new(two())),
        ]);
        assert_eq!((predicate.weight(), Predicate::default().weight()), (7, 0));
    }
}
