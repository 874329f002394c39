//! The source against a real name server, in this process.

mod name_service;

use super::super::{Pushed, Source, State, start};
use super::*;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use name_service::{NameService, Reply};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(15);

struct Followed {
    _sources: Vec<Source>,
    pushed: mpsc::Receiver<Pushed>,
}

impl Followed {
    /// Follows what `service` says, by rules in JSON.
    fn start(services: &[&NameService], rules: &str) -> Self {
        let servers: Vec<_> = services.iter().map(|one| one.address.to_string()).collect();
        let text = format!(r#"{{"servers": {servers:?}, "min_ttl": "50ms", {rules}}}"#);
        let dns = Some(serde_json::from_str(&text).unwrap());
        let (to, pushed) = mpsc::channel(1);
        let origin = Origin { dns, ..Origin::default() };
        Self { _sources: start(&origin, &to, &Shared::default()), pushed }
    }

    /// The addresses that are pushed next, and why they are stale.
    async fn next(&mut self) -> (Vec<String>, Option<String>) {
        let next = timeout(PATIENCE, self.pushed.recv()).await.expect("nothing is pushed");
        let update = next.unwrap().update;
        let reason = match update.state {
            State::Fresh => None,
            State::Stale { reason, .. } => Some(reason),
        };
        let shown = |found: &super::super::Found| match (found.weight, found.is_backup) {
            (None, _) => found.address.to_string(),
            (Some(weight), false) => format!("{} {weight}", found.address),
            (Some(weight), true) => format!("{} {weight} backup", found.address),
        };
        (update.backends.iter().map(shown).collect(), reason)
    }

    async fn is_fresh(&mut self, want: &[&str]) {
        let (list, reason) = self.next().await;
        assert_eq!((list.as_slice(), reason), (texts(want).as_slice(), None));
    }

    async fn is_stale(&mut self, want: &[&str], why: &str) {
        let (list, reason) = self.next().await;
        assert_eq!(list, texts(want));
        let reason = reason.expect("stale");
        assert!(reason.contains(why), "{reason}");
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn what_changes_is_pushed_when_the_answer_expires() {
    let service = NameService::start().await;
    service.addresses("api.test.", &["10.0.0.2", "10.0.0.1", "fd00::1"], 1);
    let mut followed = Followed::start(&[&service], r#""name": "api.test", "port": 80"#);
    followed.is_fresh(&["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]).await;
    let begun = clock::now();
    // The order of an answer does not matter.
    service.addresses("api.test.", &["10.0.0.1", "10.0.0.2", "fd00::1"], 1);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(service.asked("api.test."), 2, "A and AAAA, once: the answer is still good");
    service.addresses("api.test.", &["10.0.0.3"], 300);
    followed.is_fresh(&["10.0.0.3:80"]).await;
    let waited = clock::now() - begun;
    assert!((900..1900).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn the_bounds_of_ttl_are_kept() {
    let service = NameService::start().await;
    service.addresses("zero.test.", &["10.0.0.1"], 0);
    service.addresses("long.test.", &["10.0.0.1"], 86_400);
    let rules = r#""name": "zero.test", "type": "a", "port": 80"#;
    let mut zero = Followed::start(&[&service], rules);
    let mut long =
        Followed::start(&[&service], r#""name": "long.test", "port": 80, "max_ttl": "100ms""#);
    zero.is_fresh(&["10.0.0.1:80"]).await;
    long.is_fresh(&["10.0.0.1:80"]).await;
    tokio::time::sleep(Duration::from_millis(550)).await;
    let asked = service.asked("zero.test.");
    assert!((4..=12).contains(&asked), "{asked}: every 50 ms");
    let asked = service.asked("long.test.");
    assert!((6..=12).contains(&asked), "{asked}: two questions every 100 ms");
}

#[tokio::test]
async fn a_name_service_that_dies_and_returns_empties_nothing() {
    let service = NameService::start().await;
    service.addresses("api.test.", &["10.0.0.1"], 0);
    let rules = r#""name": "api.test", "type": "a", "port": 80"#;
    let mut followed = Followed::start(&[&service], rules);
    followed.is_fresh(&["10.0.0.1:80"]).await;
    let restart = service.stop();
    followed.is_stale(&["10.0.0.1:80"], "A api.test.: ").await;
    let service = restart().await;
    service.addresses("api.test.", &["10.0.0.2"], 0);
    followed.is_fresh(&["10.0.0.2:80"]).await;
    service.say("api.test.", RecordType::A, Reply::Code(ResponseCode::ServFail));
    followed.is_stale(&["10.0.0.2:80"], "Server Failure from 127.0.0.1:").await;
    service.say("api.test.", RecordType::A, Reply::Silence);
    followed.is_stale(&["10.0.0.2:80"], "no answer from 127.0.0.1:").await;
}

#[tokio::test]
async fn an_empty_answer_is_kept_out_until_it_is_believed() {
    let service = NameService::start().await;
    service.addresses("api.test.", &["10.0.0.1"], 0);
    let rules = r#""name": "api.test", "port": 80"#;
    let mut kept = Followed::start(&[&service], rules);
    let mut believed = Followed::start(&[&service], &format!(r#"{rules}, "empty_after": 2"#));
    kept.is_fresh(&["10.0.0.1:80"]).await;
    believed.is_fresh(&["10.0.0.1:80"]).await;
    for kind in [RecordType::A, RecordType::AAAA] {
        service.say("api.test.", kind, Reply::Code(ResponseCode::NXDomain));
    }
    kept.is_stale(&["10.0.0.1:80"], "A api.test.: no such name").await;
    believed.is_stale(&["10.0.0.1:80"], "A api.test.: no such name").await;
    believed.is_fresh(&[]).await;
    service.addresses("api.test.", &[], 0);
    kept.is_stale(&["10.0.0.1:80"], "no such record").await;
    service.addresses("api.test.", &["fd00::1"], 0);
    kept.is_fresh(&["[fd00::1]:80"]).await;
    believed.is_fresh(&["[fd00::1]:80"]).await;
}

#[tokio::test]
async fn the_next_name_service_is_asked_when_one_fails() {
    let (broken, dead, good) =
        (NameService::start().await, NameService::start().await, NameService::start().await);
    broken.say("api.test.", RecordType::A, Reply::Code(ResponseCode::Refused));
    good.addresses("api.test.", &["10.0.0.1"], 0);
    let services = [&broken, &dead, &good];
    let rules = r#""name": "api.test", "type": "a", "port": 80"#;
    dead.say("api.test.", RecordType::A, Reply::Code(ResponseCode::ServFail));
    let mut followed = Followed::start(&services, rules);
    followed.is_fresh(&["10.0.0.1:80"]).await;
    let asked = broken.asked("api.test.");
    good.addresses("api.test.", &["10.0.0.2"], 0);
    followed.is_fresh(&["10.0.0.2:80"]).await;
    assert_eq!(broken.asked("api.test."), asked, "the one that answered is asked first");
}

#[tokio::test]
async fn services_have_ports_weights_and_priorities() {
    let service = NameService::start().await;
    let list = [(0, 10, 81, "a.test."), (0, 20, 82, "b.test."), (5, 1, 83, "c.test.")];
    service.services("_http._tcp.api.test.", &list, 0);
    service.addresses("a.test.", &["10.0.0.1", "fd00::1"], 0);
    service.addresses("b.test.", &["10.0.0.2"], 0);
    service.addresses("c.test.", &["10.0.0.3"], 0);
    let rules = r#""name": "_http._tcp.api.test", "type": "srv""#;
    let mut followed = Followed::start(&[&service], rules);
    let rest = ["10.0.0.2:82 20", "10.0.0.3:83 1 backup"];
    followed.is_fresh(&[&["10.0.0.1:81 10"], rest.as_slice(), &["[fd00::1]:81 10"]].concat()).await;
    service.say("a.test.", RecordType::AAAA, Reply::Code(ResponseCode::ServFail));
    let all = [&["10.0.0.1:81 10"], rest.as_slice(), &["[fd00::1]:81 10"]].concat();
    followed.is_stale(&all, "AAAA a.test.: Server Failure").await;
    service.say("a.test.", RecordType::A, Reply::Code(ResponseCode::NXDomain));
    service.say("a.test.", RecordType::AAAA, Reply::Code(ResponseCode::NXDomain));
    followed.is_fresh(&rest).await;
    // No such service (RFC 2782).
    service.services("_http._tcp.api.test.", &[(0, 0, 0, ".")], 0);
    followed.is_stale(&rest, "SRV _http._tcp.api.test: no service").await;
}

#[tokio::test]
async fn two_hundred_addresses_come_by_tcp_and_are_all_taken() {
    let service = NameService::start().await;
    let list: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    service.addresses("many.test.", &list, 60);
    let rules = r#""name": "many.test", "type": "a", "port": 80"#;
    let mut followed = Followed::start(&[&service], rules);
    let (found, reason) = followed.next().await;
    assert_eq!((found.len(), reason), (200, None));
    assert!(service.asked_by_tcp() > 0, "the answer was cut off by UDP");
}

#[tokio::test]
async fn a_source_that_is_dropped_asks_no_more() {
    let service = NameService::start().await;
    service.addresses("api.test.", &["10.0.0.1"], 0);
    let mut followed = Followed::start(&[&service], r#""name": "api.test", "port": 80"#);
    followed.is_fresh(&["10.0.0.1:80"]).await;
    drop(followed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = service.asked("api.test.");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(service.asked("api.test."), asked);
}
