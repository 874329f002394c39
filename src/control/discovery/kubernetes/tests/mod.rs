//! The source against a scripted API server, over real sockets.

mod api;

use super::*;
use crate::control::discovery::{Following, Pushed, Source, State, start};
use api::{Api, slice};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

struct Followed {
    _sources: Vec<Source>,
    pushed: mpsc::Receiver<Pushed>,
}

fn short() -> Pace {
    let ms = Duration::from_millis;
    Pace {
        answer: ms(300),
        watch_seconds: (2, 2),
        grace: ms(100),
        wait: (ms(20), ms(50)),
        ..Pace::default()
    }
}

fn shared(pace: Pace) -> Shared {
    Shared { kubernetes: Arc::new(Hub { pace, ..Hub::default() }) }
}

fn long() -> Pace {
    Pace { watch_seconds: (60, 60), ..short() }
}

impl Followed {
    fn start(following: Following, shared: &Shared) -> Self {
        let (to, pushed) = mpsc::channel(64);
        let origin = Origin { kubernetes: Some(following), ..Origin::default() };
        Self { _sources: start(&origin, &to, shared), pushed }
    }

    /// What is pushed next: addresses, why they are stale, a note.
    async fn next(&mut self) -> (String, Option<String>, Option<String>) {
        let next = timeout(PATIENCE, self.pushed.recv()).await.expect("nothing is pushed");
        let update = next.unwrap().update;
        let reason = match update.state {
            State::Fresh => None,
            State::Stale { reason, .. } => Some(reason),
        };
        let shown = update.backends.iter().map(|one| one.address.ip().to_string());
        (shown.collect::<Vec<_>>().join(" "), reason, update.note)
    }

    async fn is(&mut self, want: &str) {
        assert_eq!(self.next().await, (want.to_owned(), None, None));
    }

    /// The list stays, and the reason has these parts.
    async fn is_stale(&mut self, want: &str, parts: &[&str]) {
        let (list, reason, _) = self.next().await;
        let reason = reason.expect("stale");
        assert_eq!(list, want, "{reason}");
        assert!(parts.iter().all(|part| reason.contains(part)), "{parts:?}: {reason}");
    }
}

#[tokio::test]
async fn a_list_is_followed_by_what_changes() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let mut events = api.watch(5).await.open().await;
    events.send("MODIFIED", slice("app", 6, &["10.0.0.1", "10.0.0.2"])).await;
    app.is("10.0.0.1 10.0.0.2").await;
    // What happens to others is nobody's news.
    events.send("ADDED", slice("other", 7, &["10.0.0.9"])).await;
    events.send("DELETED", slice("app", 8, &["10.0.0.1"])).await;
    let (list, stale, note) = app.next().await;
    assert_eq!((list.as_str(), stale), ("", None), "it is gone, and that is true");
    assert!(note.unwrap().contains(
        "no EndpointSlice in namespace prod has the label kubernetes.io/service-name=app: "
    ));
    events.send("ADDED", slice("app", 9, &["10.0.0.3"])).await;
    app.is("10.0.0.3").await;
}

#[tokio::test]
async fn pools_of_one_namespace_share_a_watch_and_each_hears_of_its_own() {
    let mut api = Api::start().await;
    let shared = shared(long());
    let mut one = Followed::start(api.following("one"), &shared);
    let mut two = Followed::start(api.following("two"), &shared);
    api.list()
        .await
        .slices(2, &[slice("one", 1, &["10.0.0.1"]), slice("two", 2, &["10.0.0.2"])])
        .await;
    one.is("10.0.0.1").await;
    two.is("10.0.0.2").await;
    let mut events = api.watch(2).await.open().await;
    events.send("MODIFIED", slice("two", 3, &["10.0.0.3"])).await;
    two.is("10.0.0.3").await;
    events.send("MODIFIED", slice("one", 4, &["10.0.0.4"])).await;
    one.is("10.0.0.4").await;
    // A third finds all there already, and the watch ends with the last of them.
    let mut three = Followed::start(api.following("one"), &shared);
    three.is("10.0.0.4").await;
    drop((one, two, three));
    let ended = timeout(PATIENCE, events.0.read_u8()).await.expect("the watch goes on");
    assert!(ended.is_err());
    assert!(api.asked.try_recv().is_err(), "one list and one watch were enough");
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    let mut more = slice("app", 3, &["10.0.0.2"]);
    more["metadata"]["name"] = "app-2".into();
    let page = json!({ "metadata": { "resourceVersion": "5", "continue": "next" },
        "items": [slice("app", 4, &["10.0.0.1"])] });
    api.list().await.answer(200, &page).await;
    api.next("continue=next").await.slices(5, &[more]).await;
    app.is("10.0.0.1 10.0.0.2").await;
    api.watch(5).await;
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_when_its_time_is_over() {
    let mut api = Api::start().await;
    let pace = Pace { watch_seconds: (1, 1), ..short() };
    let mut app = Followed::start(api.following("app"), &shared(pace));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let watch = api.watch(5).await;
    assert!(watch.target.contains("timeoutSeconds=1"), "{}", watch.target);
    let mut events = watch.open().await;
    events.send("BOOKMARK", json!({ "kind": "EndpointSlice", "apiVersion": "v1", "metadata": { "resourceVersion": "17" } })).await;
    // The time of a server is over a little before ours.
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(events);
    api.watch(17).await;
}

#[tokio::test]
async fn a_version_that_is_too_old_is_followed_by_a_list_at_once_and_empties_nothing() {
    let mut api = Api::start().await;
    // If it waited, the test would.
    let pace = Pace { wait: (PATIENCE * 9, PATIENCE * 9), ..long() };
    let mut app = Followed::start(api.following("app"), &shared(pace));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let mut events = api.watch(5).await.open().await;
    events.send("MODIFIED", slice("app", 6, &["10.0.0.2"])).await;
    app.is("10.0.0.2").await;
    let gone = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version" });
    events.send("ERROR", gone).await;
    api.list().await.slices(90, &[slice("app", 80, &["10.0.0.3"])]).await;
    app.is("10.0.0.3").await;
    api.watch(90).await;
}

#[tokio::test]
async fn a_version_that_is_always_too_old_is_no_hot_loop() {
    let mut api = Api::start().await;
    let pace = Pace { wait: (PATIENCE * 9, PATIENCE * 9), ..long() };
    let mut app = Followed::start(api.following("app"), &shared(pace));
    api.list().await.slices(5, &[]).await;
    app.next().await;
    api.watch(5).await.refuse(410, "Expired", "too old resource version").await;
    let again = timeout(Duration::from_millis(500), api.asked.recv()).await;
    assert!(again.is_err(), "it is to wait");
}

#[tokio::test]
async fn a_connection_that_is_cut_is_followed_by_a_list_since_the_server_may_be_another() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    api.list().await.slices(500, &[slice("app", 400, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    drop(api.watch(500).await.open().await);
    // Restored to an older state: a watch from version 500 on would wait for ever.
    api.list().await.slices(7, &[slice("app", 6, &["10.0.0.2"])]).await;
    app.is("10.0.0.2").await;
    api.watch(7).await;
}

#[tokio::test]
async fn what_no_watch_tells_is_found_by_listing_now_and_then() {
    let mut api = Api::start().await;
    let mut following = api.following("app");
    following.api.resync = "300ms".parse().unwrap();
    let mut app = Followed::start(following, &shared(long()));
    api.list().await.slices(500, &[slice("app", 400, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let _silent = api.watch(500).await.open().await;
    api.list().await.slices(7, &[slice("app", 6, &["10.0.0.2"])]).await;
    app.is("10.0.0.2").await;
}

#[tokio::test]
async fn a_server_that_is_silent_for_too_long_is_given_up() {
    let mut api = Api::start().await;
    let pace = Pace { watch_seconds: (1, 1), ..short() };
    let mut app = Followed::start(api.following("app"), &shared(pace));
    // It does not answer the list …
    let _frozen = api.list().await;
    app.is_stale(
        "",
        &["cannot list endpointslices.discovery.k8s.io in namespace prod: no answer within"],
    )
    .await;
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    // … and not the watch, nor ends it when it should.
    let _frozen = api.watch(5).await.open().await;
    app.is_stale("10.0.0.1", &["cannot watch endpointslices", "silent"]).await;
    api.list().await.slices(6, &[slice("app", 6, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
}

#[tokio::test]
async fn whatever_fails_the_last_list_stays_and_the_reason_names_object_and_verb() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    let message = "User \"x\" cannot list resource \"endpointslices\"";
    api.list().await.refuse(403, "Forbidden", message).await;
    let what = "cannot list endpointslices.discovery.k8s.io in namespace prod: forbidden: User";
    app.is_stale("", &[what]).await;
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    drop(api.watch(5).await);
    api.list().await.refuse(401, "Unauthorized", "Unauthorized").await;
    app.is_stale("10.0.0.1", &["unauthorized", "expired"]).await;
    api.list().await.refuse(500, "InternalError", "etcd is away").await;
    app.is_stale("10.0.0.1", &["500 InternalError: etcd is away"]).await;
    api.list().await.answer(200, &json!("what")).await;
    app.is_stale("10.0.0.1", &["the answer is not one of an API server"]).await;
    api.list().await.slices(6, &[slice("app", 6, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
}

#[tokio::test]
async fn who_may_list_and_not_watch_follows_lists_and_says_so() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    api.watch(5).await.refuse(403, "Forbidden", "cannot watch").await;
    app.is_stale("10.0.0.1", &["cannot watch endpointslices", "forbidden"]).await;
    api.list().await.slices(6, &[slice("app", 6, &["10.0.0.2"])]).await;
    app.is_stale("10.0.0.2", &["cannot watch endpointslices", "forbidden"]).await;
    let _open = api.watch(6).await.open().await;
    app.is("10.0.0.2").await;
}

#[tokio::test]
async fn a_port_that_is_gone_keeps_the_list_and_the_others_are_named() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let mut renamed = slice("app", 6, &["10.0.0.1"]);
    renamed["ports"][0]["name"] = "web".into();
    let mut events = api.watch(5).await.open().await;
    events.send("MODIFIED", renamed).await;
    app.is_stale("10.0.0.1", &["Service app: no port `http`: expected one of `web` (80)"]).await;
    events.send("MODIFIED", slice("app", 7, &["10.0.0.1"])).await;
    app.is("10.0.0.1").await;
}

#[tokio::test]
async fn what_the_service_says_is_spoken_is_told_if_the_pool_speaks_something_else() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    let mut h2c = slice("app", 4, &["10.0.0.1"]);
    h2c["ports"][0]["appProtocol"] = "kubernetes.io/h2c".into();
    api.list().await.slices(5, &[h2c]).await;
    let (_, _, note) = app.next().await;
    let want = "the port speaks kubernetes.io/h2c: expected `protocol = \"h2\"` without `tls`";
    assert_eq!(note.as_deref(), Some(want));
}

#[tokio::test]
async fn a_thousand_changes_are_a_few_lists() {
    let mut api = Api::start().await;
    let mut app = Followed::start(api.following("app"), &shared(long()));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let mut events = api.watch(5).await.open().await;
    let began = clock::now();
    for number in 0..1000_u32 {
        let address = format!("10.0.{}.{}", number / 250, number % 250 + 1);
        events.send("MODIFIED", slice("app", 6 + number, &[&address])).await;
    }
    let mut pushed = 0;
    loop {
        pushed += 1;
        if app.next().await.0 == "10.0.3.250" {
            break;
        }
    }
    let tens = usize::try_from((clock::now() - began).as_millis()).unwrap() / 10;
    assert!(pushed <= tens + 3, "{pushed} in {tens} times 10 ms");
}

fn kept(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_last_list_is_kept_for_a_start_while_the_server_is_away() {
    let mut api = Api::start().await;
    let path = api.path("kept.json");
    let mut following = api.following("app");
    following.kept_at = Some(path.clone());
    let mut app = Followed::start(following.clone(), &shared(long()));
    api.list().await.slices(5, &[slice("app", 4, &["10.0.0.1"])]).await;
    app.is("10.0.0.1").await;
    let written = timeout(PATIENCE, async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    written.await.expect("nothing is kept");
    assert_eq!(kept(&path)["backends"][0]["address"], "10.0.0.1:80");
    drop(app);
    while api.asked.try_recv().is_ok() {}
    let mut app = Followed::start(following.clone(), &shared(long()));
    api.list().await.refuse(503, "ServiceUnavailable", "starting").await;
    let (list, stale, note) = app.next().await;
    assert_eq!(list, "10.0.0.1");
    assert!(stale.unwrap().contains("503") && note.unwrap().contains("from state_dir"));
    api.list().await.slices(6, &[slice("app", 6, &["10.0.0.2"])]).await;
    app.is("10.0.0.2").await;
    // What is damaged, or of another Service, counts as none.
    let whole = std::fs::read_to_string(&path).unwrap();
    let other = whole.replace("/app:http", "/b:http");
    for damaged in [
        whole.split_at(whole.len() / 2).0,
        &whole.replace("\"version\":1", "\"version\":9"),
        &other,
    ] {
        std::fs::write(&path, damaged).unwrap();
        drop(app);
        while api.asked.try_recv().is_ok() {}
        app = Followed::start(following.clone(), &shared(long()));
        api.list().await.refuse(503, "ServiceUnavailable", "starting").await;
        app.is_stale("", &["503"]).await;
    }
}
