//! What is learnt from answers: which backends there are, and when to ask again. Pure.
//!
//! Each question keeps its own last good answer: one host of many that cannot be resolved just
//! now costs none of its backends.

use crate::config::Dns;
use crate::config::discovery::DnsKind;
use crate::control::discovery::{FOUND_MAX, Found, in_order};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The first wait after a failure; it doubles with each that follows.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The largest weight of a backend.
const WEIGHT_MAX: u32 = 1000;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// A host and which of its addresses are asked for.
pub(super) type Question = (String, Family);

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// There is nothing: that is an answer too.
    Empty(String),
    /// It could not be had.
    Failed(String),
}

/// An answer and how long it is good.
pub(super) type Answer<T> = Result<(Vec<T>, Duration), Miss>;

/// A host that serves, by RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) priority: u16,
    pub(super) weight: u16,
}

/// All that was asked for, and the answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// For a pool that asks for services.
    pub(super) services: Option<Answer<Service>>,
    /// Addresses of the name, or of the hosts of the services.
    pub(super) addresses: BTreeMap<Question, Answer<IpAddr>>,
}

/// What is to be done after a round of questions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) backends: Vec<Found>,
    /// Why that is not what DNS says now.
    pub(super) fault: Option<String>,
    /// How long until the next round.
    pub(super) wait: Duration,
}

/// What was learnt so far.
pub(super) struct Learnt {
    port: u16,
    is_srv: bool,
    ttl: (Duration, Duration),
    empty_after: Option<u8>,
    /// The last good answer to each question that is asked now.
    addresses: BTreeMap<Question, Vec<IpAddr>>,
    /// Empty answers in a row.
    empties: u8,
    /// The last wait after a failure, if it has failed last.
    backoff: Option<Duration>,
}

impl Learnt {
    /// Nothing, by the rules of `dns`.
    pub(super) fn new(dns: &Dns) -> Self {
        Self {
            port: dns.port.unwrap_or_default(),
            is_srv: dns.kind == DnsKind::Srv,
            ttl: (dns.min_ttl.as_duration(), dns.max_ttl.as_duration()),
            empty_after: dns.empty_after,
            addresses: BTreeMap::new(),
            empties: 0,
            backoff: None,
        }
    }

    /// What comes of `answers`; `before` is the list in use.
    pub(super) fn learn(&mut self, answers: Answers, before: Vec<Found>) -> Round {
        let mut news = News::default();
        let services = match answers.services {
            // Nobody knows which hosts to ask for: all stays as it was.
            Some(Err(Miss::Failed(why))) => return self.keep(before, why),
            Some(answer) => news.take(answer, Vec::new()),
            None => Vec::new(),
        };
        let mut known = std::mem::take(&mut self.addresses);
        for (question, answer) in answers.addresses {
            let kept = known.remove(&question).unwrap_or_default();
            self.addresses.insert(question, news.take(answer, kept));
        }
        let backends = if self.is_srv { self.served(&services) } else { self.listed() };
        if backends.len() > FOUND_MAX {
            let why = format!("{} addresses, at most {FOUND_MAX} are taken", backends.len());
            return self.keep(before, why);
        }
        match (backends.is_empty(), news.failed) {
            (true, Some(why)) => self.keep(before, why),
            (true, None) => self.believe(before, news.empty.unwrap_or_default()),
            (false, fault) => {
                self.empties = 0;
                let (least, most) = self.ttl;
                let ttl = news.ttl.unwrap_or(most).min(most).max(least);
                let wait = match &fault {
                    Some(_) => self.back_off().min(ttl),
                    None => ttl,
                };
                self.backoff = self.backoff.filter(|_| fault.is_some());
                Round { backends, fault, wait }
            }
        }
    }

    /// The answer cannot be had.
    fn keep(&mut self, before: Vec<Found>, why: String) -> Round {
        Round { backends: before, fault: Some(why), wait: self.back_off() }
    }

    /// The answer is that there is nothing.
    fn believe(&mut self, before: Vec<Found>, why: String) -> Round {
        self.empties = self.empties.saturating_add(1);
        if self.empty_after.is_some_and(|most| self.empties >= most) {
            return Round { backends: Vec::new(), fault: None, wait: self.back_off() };
        }
        self.keep(before, why)
    }

    fn back_off(&mut self) -> Duration {
        let wait = self.backoff.map_or(BACKOFF, |last| (last * 2).min(BACKOFF_MAX));
        self.backoff = Some(wait);
        wait
    }

    /// A backend for each address of the name.
    fn listed(&self) -> Vec<Found> {
        let addresses = self.addresses.values().flatten();
        in_order(addresses.map(|ip| Found::at(SocketAddr::new(*ip, self.port))).collect())
    }

    /// A backend for each address of each host of `services`.
    fn served(&self, services: &[Service]) -> Vec<Found> {
        let first = services.iter().map(|service| service.priority).min().unwrap_or_default();
        let most = services.iter().map(|service| service.weight).max().unwrap_or_default();
        let scale = u32::from(most).max(WEIGHT_MAX);
        let found = |service: &Service, ip: IpAddr| {
            // Scaled by the largest, which keeps the proportions; 0 is "hardly any" in SRV, not
            // "none".
            let weight = (u32::from(service.weight) * WEIGHT_MAX / scale).max(1);
            Found {
                weight: u16::try_from(weight).ok(),
                is_backup: service.priority > first,
                ..Found::at(SocketAddr::new(ip, service.port))
            }
        };
        let of = |service: &Service, family| {
            let question = (service.host.clone(), family);
            self.addresses.get(&question).cloned().unwrap_or_default()
        };
        let all = services.iter().flat_map(|service| {
            let both = [of(service, Family::V4), of(service, Family::V6)].concat();
            both.into_iter().map(|ip| found(service, ip)).collect::<Vec<_>>()
        });
        in_order(all.collect())
    }
}

/// What a round of answers says as a whole.
#[derive(Default)]
struct News {
    /// The shortest time that a part of it is good.
    ttl: Option<Duration>,
    /// The first failure.
    failed: Option<String>,
    /// The first answer that there is nothing.
    empty: Option<String>,
}

impl News {
    /// What `answer` says; what is `kept` if it cannot be had.
    fn take<T>(&mut self, answer: Answer<T>, kept: Vec<T>) -> Vec<T> {
        match answer {
            Ok((list, ttl)) => {
                self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
                list
            }
            Err(Miss::Empty(why)) => {
                self.empty.get_or_insert(why);
                Vec::new()
            }
            Err(Miss::Failed(why)) => {
                self.failed.get_or_insert(why);
                kept
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn learnt(extra: &str) -> Learnt {
        let text = format!(r#"{{"name": "a", {extra} "min_ttl": "2s"}}"#);
        Learnt::new(&serde_json::from_str(&text).unwrap())
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn good(list: &[&str], ttl_secs: u64) -> Answer<IpAddr> {
        Ok((ips(list), Duration::from_secs(ttl_secs)))
    }

    fn failed<T>() -> Answer<T> {
        Err(Miss::Failed("failed".into()))
    }

    fn empty<T>() -> Answer<T> {
        Err(Miss::Empty("empty".into()))
    }

    fn both(v4: Answer<IpAddr>, v6: Answer<IpAddr>) -> Answers {
        let questions = [(("a".into(), Family::V4), v4), (("a".into(), Family::V6), v6)];
        Answers { services: None, addresses: questions.into() }
    }

    fn shown(found: &[Found]) -> Vec<String> {
        found.iter().map(|one| one.address.to_string()).collect()
    }

    /// Rounds of answers, and what comes of each: backends, fault, seconds until the next.
    type Case = Vec<(Answers, &'static [&'static str], Option<&'static str>, u64)>;

    fn run(learnt: &mut Learnt, case: Case) {
        let mut before = Vec::new();
        for (index, (answers, backends, fault, wait)) in case.into_iter().enumerate() {
            let round = learnt.learn(answers, before);
            assert_eq!(shown(&round.backends), backends, "round {index}");
            assert_eq!(
                (round.fault.as_deref(), round.wait),
                (fault, Duration::from_secs(wait)),
                "{index}"
            );
            before = round.backends;
        }
    }

    #[test]
    fn an_answer_is_good_for_its_ttl_within_bounds() {
        run(
            &mut learnt(r#""port": 80,"#),
            vec![
                (
                    both(good(&["10.0.0.2", "10.0.0.1"], 9), good(&["::1"], 7)),
                    &["10.0.0.1:80", "10.0.0.2:80", "[::1]:80"],
                    None,
                    7,
                ),
                (both(good(&["10.0.0.1"], 0), empty()), &["10.0.0.1:80"], None, 2),
                (both(good(&["10.0.0.1"], 9999), empty()), &["10.0.0.1:80"], None, 300),
            ],
        );
    }

    #[test]
    fn what_fails_keeps_what_it_was_and_backs_off() {
        let mut case: Case = vec![
            (both(failed(), failed()), &[], Some("failed"), 1),
            (
                both(good(&["10.0.0.1"], 60), good(&["::1"], 60)),
                &["10.0.0.1:80", "[::1]:80"],
                None,
                60,
            ),
        ];
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            let kept = &["10.0.0.1:80", "[::1]:80"];
            case.push((both(failed(), failed()), kept, Some("failed"), wait));
        }
        let half = &["10.0.0.2:80", "[::1]:80"];
        case.push((both(good(&["10.0.0.2"], 5), failed()), half, Some("failed"), 5));
        case.push((both(failed(), empty()), &["10.0.0.2:80"], Some("failed"), 30));
        case.push((both(good(&["10.0.0.2"], 5), empty()), &["10.0.0.2:80"], None, 5));
        case.push((both(failed(), empty()), &["10.0.0.2:80"], Some("failed"), 1));
        run(&mut learnt(r#""port": 80,"#), case);
    }

    #[test]
    fn an_empty_answer_is_believed_only_if_asked_to() {
        let one = || both(good(&["10.0.0.1"], 60), empty());
        let kept: &[&str] = &["10.0.0.1:80"];
        run(
            &mut learnt(r#""port": 80,"#),
            vec![
                (both(empty(), empty()), &[], Some("empty"), 1),
                (one(), kept, None, 60),
                (both(empty(), empty()), kept, Some("empty"), 1),
                (both(empty(), empty()), kept, Some("empty"), 2),
            ],
        );
        run(
            &mut learnt(r#""port": 80, "empty_after": 2,"#),
            vec![
                (one(), kept, None, 60),
                (both(empty(), empty()), kept, Some("empty"), 1),
                (one(), kept, None, 60),
                (both(empty(), empty()), kept, Some("empty"), 1),
                (both(failed(), empty()), kept, Some("failed"), 2),
                (both(empty(), empty()), &[], None, 4),
                (both(empty(), empty()), &[], None, 8),
                (one(), kept, None, 60),
            ],
        );
    }

    fn services(list: &[(&str, u16, u16, u16)], addresses: &[(&str, Answer<IpAddr>)]) -> Answers {
        let service = |&(host, port, priority, weight): &(&str, u16, u16, u16)| Service {
            host: host.into(),
            port,
            priority,
            weight,
        };
        let list = list.iter().map(service).collect();
        let question = |(host, answer): &(&str, Answer<IpAddr>)| {
            ((String::from(*host), Family::V4), answer.clone())
        };
        Answers {
            services: Some(Ok((list, 60 * SECOND))),
            addresses: addresses.iter().map(question).collect(),
        }
    }

    #[test]
    fn a_service_has_a_port_a_weight_and_a_priority() {
        let mut learnt = learnt(r#""type": "srv","#);
        let list = [("a", 81, 1, 0), ("b", 82, 1, 65_535), ("c", 83, 2, 7), ("gone", 84, 1, 1)];
        let addresses = [
            ("a", good(&["10.0.0.1"], 9)),
            ("b", good(&["10.0.0.3", "10.0.0.2"], 9)),
            ("c", good(&["10.0.0.1"], 8)),
            ("gone", empty()),
        ];
        let round = learnt.learn(services(&list, &addresses), Vec::new());
        let told: Vec<_> = round
            .backends
            .iter()
            .map(|found| (found.address.to_string(), found.weight.unwrap(), found.is_backup))
            .collect();
        let want = [
            ("10.0.0.1:81".into(), 1, false),
            ("10.0.0.1:83".into(), 1, true),
            ("10.0.0.2:82".into(), 1000, false),
            ("10.0.0.3:82".into(), 1000, false),
        ];
        assert_eq!((told.as_slice(), round.fault, round.wait), (want.as_slice(), None, 8 * SECOND));
    }

    #[test]
    fn small_weights_of_services_are_taken_as_they_are() {
        let mut learnt = learnt(r#""type": "srv","#);
        let list = [("a", 81, 1, 10), ("b", 82, 1, 60)];
        let addresses = [("a", good(&["10.0.0.1"], 9)), ("b", good(&["10.0.0.2"], 9))];
        let round = learnt.learn(services(&list, &addresses), Vec::new());
        let weights: Vec<_> = round.backends.iter().map(|found| found.weight).collect();
        assert_eq!(weights, [Some(10), Some(60)]);
    }

    #[test]
    fn one_host_that_fails_costs_no_backend() {
        let list = [("a", 80, 0, 1), ("b", 80, 0, 1)];
        let round = |a, b| services(&list, &[("a", a), ("b", b)]);
        let no_services = |answer| Answers { services: Some(answer), ..Answers::default() };
        let (all, fewer): (&[&str], &[&str]) = (&["10.0.0.1:80", "10.0.0.2:80"], &["10.0.0.2:80"]);
        run(
            &mut learnt(r#""type": "srv","#),
            vec![
                (round(good(&["10.0.0.1"], 9), good(&["10.0.0.2"], 9)), all, None, 9),
                (round(failed(), good(&["10.0.0.2"], 9)), all, Some("failed"), 1),
                (no_services(failed()), all, Some("failed"), 2),
                (round(failed(), good(&["10.0.0.2"], 9)), all, Some("failed"), 4),
                (no_services(empty()), all, Some("empty"), 8),
                // The hosts that are no longer asked for are forgotten.
                (round(failed(), good(&["10.0.0.2"], 9)), fewer, Some("failed"), 9),
            ],
        );
    }
}
