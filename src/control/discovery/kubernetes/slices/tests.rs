//! What slices come to: a table for each rule, and any order of changes.

use super::*;
use crate::control::discovery::kubernetes::store::Store;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A slice of the Service `app`, with these parts.
fn slice(name: &str, ports: Value, endpoints: Value) -> Slice {
    of(name, "IPv4", ports, endpoints).unwrap()
}

fn of(name: &str, kind: &str, ports: Value, endpoints: Value) -> Option<Slice> {
    let labels = json!({ SERVICE_LABEL: "app" });
    let slice = json!({
        "metadata": { "name": name, "labels": labels }, "addressType": kind,
        "ports": ports, "endpoints": endpoints,
    });
    Slice::of(serde_json::from_value(slice).unwrap())
}

fn http(number: u16) -> Value {
    json!([{ "name": "http", "port": number, "protocol": "TCP" }])
}

fn pod(ip: &str, conditions: Value) -> Value {
    json!({ "addresses": [ip], "conditions": conditions, "targetRef": { "uid": ip, "name": ip } })
}

fn ready(ip: &str) -> Value {
    pod(ip, json!({ "ready": true }))
}

/// A backend of each, with `-` if it leaves and `+` if it is a backup; then the notes.
fn shown(slices: &[Slice], port: &str, zone: Option<&str>) -> Result<String, String> {
    let port = port.parse().unwrap();
    let merged = merge(slices.iter(), Wanted { port: &port, zone })?;
    let one = |found: &Found| {
        let leaves = if found.is_leaving { "-" } else { "" };
        let backup = if found.is_backup { "+" } else { "" };
        format!("{}{leaves}{backup}", found.address)
    };
    let backends = merged.backends.iter().map(one);
    Ok(backends.chain(merged.notes).collect::<Vec<_>>().join(" "))
}

fn merged(slices: &[Slice]) -> String {
    shown(slices, "http", None).unwrap()
}

#[test]
fn slices_are_put_together_and_duplicates_folded_who_is_ready_wins() {
    let unready = json!({ "ready": false, "serving": false });
    let (a, b) = (
        slice("a", http(80), json!([ready("10.0.0.2"), pod("10.0.0.1", unready.clone())])),
        slice(
            "b",
            http(80),
            json!([ready("10.0.0.1"), pod("10.0.0.2", unready), ready("10.0.0.1")]),
        ),
    );
    let six = of("c", "IPv6", http(80), json!([ready("fd00::1")])).unwrap();
    let names = of("d", "FQDN", http(80), json!([ready("a.example")])).unwrap();
    let all = [a, b, six, names];
    let want = "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80 1 slices of names (FQDN) are not used";
    assert_eq!(merged(&all), want);
}

#[test]
fn what_is_not_said_means_ready() {
    let conditions = [json!(null), json!({}), json!({ "ready": null, "serving": null })];
    for conditions in conditions {
        assert_eq!(
            merged(&[slice("a", http(80), json!([pod("10.0.0.1", conditions)]))]),
            "10.0.0.1:80"
        );
    }
    assert_eq!(merged(&[slice("a", json!(null), json!(null))]), "", "a Service without pods");
    assert_eq!(merged(&[]), "");
}

#[test]
fn pods_that_end_leave_and_are_used_when_nobody_else_is_ready() {
    let (starting, ending, ended) = (
        json!({ "ready": false, "serving": false, "terminating": false }),
        json!({ "ready": false, "serving": true, "terminating": true }),
        json!({ "ready": false, "serving": false, "terminating": true }),
    );
    let others = [pod("10.0.0.2", starting), pod("10.0.0.3", ending), pod("10.0.0.4", ended)];
    let [a, b, c] = others.clone();
    let all = slice("a", http(80), json!([ready("10.0.0.1"), a, b, c]));
    assert_eq!(merged(&[all]), "10.0.0.1:80 10.0.0.3:80-");
    let want = "10.0.0.3:80 no pod is ready: those that end are used";
    assert_eq!(merged(&[slice("a", http(80), json!(others))]), want);
}

#[test]
fn pods_that_are_published_unready_are_the_last_resort() {
    // As `publishNotReadyAddresses` has it: ready is said of all.
    let starting = pod("10.0.0.1", json!({ "ready": true, "serving": false }));
    let ending = pod("10.0.0.2", json!({ "ready": true, "serving": true, "terminating": true }));
    let both = json!([starting.clone(), ending.clone(), ready("10.0.0.3")]);
    assert_eq!(merged(&[slice("a", http(80), both)]), "10.0.0.2:80- 10.0.0.3:80");
    let want = "10.0.0.2:80 no pod is ready: those that end are used";
    assert_eq!(merged(&[slice("a", http(80), json!([starting.clone(), ending]))]), want);
    let want = "10.0.0.1:80 no pod is ready: those that are not ready are used";
    assert_eq!(merged(&[slice("a", http(80), json!([starting]))]), want);
}

#[test]
fn a_port_is_a_name_of_each_slice_or_a_number() {
    let named = json!([
        { "name": "web", "port": 8080 }, { "name": "http", "port": 53, "protocol": "UDP" },
    ]);
    let slices = [
        slice("a", named, json!([ready("10.0.0.1")])),
        slice("b", json!([{ "name": "web", "port": 9090 }]), json!([ready("10.0.0.2")])),
    ];
    assert_eq!(shown(&slices, "web", None).unwrap(), "10.0.0.1:8080 10.0.0.2:9090");
    let some = "10.0.0.1:8080 some slices have no port `8080`: expected one of `web` (9090)";
    assert_eq!(shown(&slices, "8080", None).unwrap(), some);
    let none = "no port `http`: expected one of `web` (8080), `web` (9090)";
    assert_eq!(shown(&slices, "http", None).unwrap_err(), none);
    let headless = slice("a", json!(null), json!([ready("10.0.0.1")]));
    assert_eq!(shown(&[headless], "81", None).unwrap(), "10.0.0.1:81");
    let open = slice("a", json!([{ "name": "" }]), json!([ready("10.0.0.1")]));
    assert_eq!(shown(&[open], "82", None).unwrap(), "10.0.0.1:82");
}

#[test]
fn pods_for_the_own_zone_are_preferred_if_all_are_hinted() {
    let hinted = |ip: &str, zone: &str| {
        let mut pod = ready(ip);
        pod["hints"] = json!({ "forZones": [{ "name": zone }] });
        pod
    };
    let both = json!([hinted("10.0.0.1", "a"), hinted("10.0.0.2", "b")]);
    let near = [slice("a", http(80), both)];
    assert_eq!(shown(&near, "http", Some("b")).unwrap(), "10.0.0.1:80+ 10.0.0.2:80");
    assert_eq!(shown(&near, "http", Some("c")).unwrap(), "10.0.0.1:80 10.0.0.2:80");
    assert_eq!(shown(&near, "http", None).unwrap(), "10.0.0.1:80 10.0.0.2:80");
    let some = [slice("a", http(80), json!([hinted("10.0.0.1", "a"), ready("10.0.0.2")]))];
    assert_eq!(shown(&some, "http", Some("a")).unwrap(), "10.0.0.1:80 10.0.0.2:80");
}

#[test]
fn a_pod_has_its_identity_name_node_and_zone() {
    let endpoint = json!({ "addresses": ["10.0.0.1", "10.0.0.9"], "nodeName": "n1", "zone": "z1",
        "targetRef": { "kind": "Pod", "name": "app-x", "uid": "u1" } });
    let bare = json!({ "addresses": ["10.0.0.2"] });
    let broken = json!({ "addresses": [] });
    let slices = [slice("a", http(80), json!([endpoint, bare, broken]))];
    let port = "http".parse().unwrap();
    let found = merge(slices.iter(), Wanted { port: &port, zone: None }).unwrap().backends;
    let pod = Pod { name: Some("app-x".into()), node: Some("n1".into()), zone: Some("z1".into()) };
    assert_eq!((found[0].identity.as_deref(), found[0].pod.as_deref()), (Some("u1"), Some(&pod)));
    assert_eq!((&found[1].identity, &found[1].pod), (&None, &None));
    assert_eq!(found.len(), 2);
}

#[test]
fn too_many_are_a_fault_and_slices_of_no_service_are_not_looked_at() {
    let pods: Vec<Value> = (0..=FOUND_MAX)
        .map(|n| json!({ "addresses": [format!("10.1.{}.{}", n / 256, n % 256)] }))
        .collect();
    let why = shown(&[slice("a", http(80), json!(pods))], "http", None).unwrap_err();
    assert_eq!(why, "10001 backends: expected at most 10000");
    let loose = json!({ "metadata": { "name": "a" }, "addressType": "IPv4", "endpoints": [] });
    assert!(Slice::of(serde_json::from_value(loose).unwrap()).is_none());
}

/// One thing that happens to a slice: it has these endpoints now, or is gone.
fn change() -> impl Strategy<Value = (u8, Option<Slice>)> {
    let stage = prop_oneof![
        Just(json!({ "ready": true })),
        Just(json!({ "ready": false, "serving": true, "terminating": true })),
        Just(json!({ "ready": false })),
        Just(json!({ "ready": true, "serving": false })),
    ];
    let endpoints = proptest::collection::vec((0_u8..6, stage, 0_u8..3), 0..6);
    (0_u8..4, proptest::option::weighted(0.8, endpoints)).prop_map(|(name, endpoints)| {
        let made = endpoints.map(|endpoints| {
            let endpoint = |(ip, conditions, uid): (u8, Value, u8)| {
                json!({ "addresses": [format!("10.0.0.{ip}")], "conditions": conditions,
                    "targetRef": { "uid": format!("u{uid}") } })
            };
            let list: Vec<Value> = endpoints.into_iter().map(endpoint).collect();
            slice(&format!("s{name}"), http(80), json!(list))
        });
        (name, made)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happened_in_whatever_order_the_list_is_that_of_how_things_are_now(
        changes in proptest::collection::vec(change(), 0..24),
        seed in any::<u64>(),
    ) {
        let mut followed = Store::default();
        let mut now = std::collections::BTreeMap::new();
        let mut numbers = vec![0];
        let mut lists: Vec<String> = vec![String::new()];
        for (name, slice) in changes {
            match slice {
                Some(slice) => {
                    followed.put(slice.clone());
                    now.insert(name, slice);
                }
                None => {
                    followed.remove(&format!("s{name}"));
                    now.remove(&name);
                }
            }
            numbers.push(followed.version("app"));
            let all: Vec<Slice> = followed.slices("app").cloned().collect();
            lists.push(merged(&all));
        }
        // A change that is seen has a number of its own.
        for (number, list) in numbers.windows(2).zip(lists.windows(2)) {
            prop_assert!(list[0] == list[1] || number[0] != number[1]);
        }
        let mut listed: Vec<Slice> = now.into_values().collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut listed);
        let port = "http".parse().unwrap();
        let wanted = Wanted { port: &port, zone: None };
        let fresh = merge(listed.iter(), wanted).unwrap();
        prop_assert_eq!(merge(followed.slices("app"), wanted).unwrap(), fresh.clone());
        // A list over what was followed changes nothing, and neither does it hide anything.
        followed.replace(listed);
        prop_assert_eq!(merge(followed.slices("app"), wanted).unwrap(), fresh);
    }
}
