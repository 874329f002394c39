//! Files that are replaced in every way there is: the config follows the last state.

use crate::harness::{Origin, Vanne, ask, eventually, eventually_async, ms, timed};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// How late the last state may be in use.
const LATE: Duration = ms(2000);

/// A config that sends all to `backend`.
fn config(backend: &Origin) -> String {
    format!(
        "pool.app.backends = [\"{}\"]\nroute = [{{ name = \"all\", pool = \"app\" }}]\n",
        backend.address
    )
}

/// Waits until answers come from the backend that says `name`; fails if that takes too long.
async fn follows(vanne: &Vanne, name: &str) {
    let look = async || (vanne.get("/").await.text() == name).then_some(());
    let (taken, ()) = timed(eventually_async(name, look)).await;
    assert!(taken < LATE, "{name} only after {taken:?}");
}

async fn pair() -> (Origin, Origin) {
    (Origin::fixed("a").await, Origin::fixed("b").await)
}

#[tokio::test]
async fn a_file_that_is_renamed_over_written_in_place_or_made_anew_is_followed() {
    let (a, b) = pair().await;
    let vanne = Vanne::start(&config(&a)).await;
    let path = vanne.file("vanne.toml");
    vanne.replace_config(&config(&b));
    follows(&vanne, "b").await;
    std::fs::write(&path, vanne.fill_in(&config(&a))).unwrap();
    follows(&vanne, "a").await;
    // Deleted: said once, and the last good one stays.
    std::fs::remove_file(&path).unwrap();
    vanne.metric_is("vanne_reloads_total", &[("result", "refused")], 1.0).await;
    assert_eq!(vanne.get("/").await.text(), "a");
    std::fs::write(&path, vanne.fill_in(&config(&b))).unwrap();
    follows(&vanne, "b").await;
    // Half-written: the same.
    let whole = vanne.fill_in(&config(&a));
    std::fs::write(&path, &whole.as_bytes()[..whole.len() / 2]).unwrap();
    vanne.metric_is("vanne_reloads_total", &[("result", "refused")], 2.0).await;
    assert_eq!(vanne.get("/").await.text(), "b");
    std::fs::write(&path, &whole).unwrap();
    follows(&vanne, "a").await;
    vanne.metric_is("vanne_reloads_total", &[("result", "refused")], 2.0).await;
    vanne.metric_is("vanne_config_reload_success", &[], 1.0).await;
}

#[tokio::test]
async fn fifty_replacements_in_a_second_end_in_the_last_one() {
    let (a, b) = pair().await;
    let vanne = Vanne::start(&config(&a)).await;
    for round in 0..3 {
        let (last, name) = if round % 2 == 0 { (&b, "b") } else { (&a, "a") };
        for number in 0..50 {
            let config = format!("{}# {number}\n", config(if number % 2 == 0 { &a } else { &b }));
            vanne.replace_config(&config);
            tokio::time::sleep(ms(20)).await;
        }
        vanne.replace_config(&config(last));
        follows(&vanne, name).await;
        // It stays so.
        tokio::time::sleep(ms(500)).await;
        assert_eq!(vanne.get("/").await.text(), name);
    }
    let reloads = vanne.metrics().await.value("vanne_reloads_total", &[]).unwrap();
    assert!(reloads < 40.0, "{reloads} reloads for three seconds of changes");
}

/// Writes what Kubernetes makes of a ConfigMap: `vanne.toml` → `..data/vanne.toml`, and `..data` →
/// a folder that is another one each time.
fn publish(root: &Path, version: usize, text: &str) {
    let folder = root.join(format!("..{version}"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("vanne.toml"), text).unwrap();
    let link = root.join("..data_tmp");
    symlink(format!("..{version}"), &link).unwrap();
    std::fs::rename(link, root.join("..data")).unwrap();
}

#[tokio::test]
async fn a_link_that_is_swapped_is_followed() {
    let (a, b) = pair().await;
    let vanne = Vanne::start(&config(&a)).await;
    // From a file to links, as if mounted so.
    let root = vanne.file("mounted");
    std::fs::create_dir(&root).unwrap();
    publish(&root, 1, &vanne.fill_in(&config(&b)));
    symlink("..data/vanne.toml", root.join("vanne.toml")).unwrap();
    let link = vanne.file("link");
    symlink("mounted/vanne.toml", &link).unwrap();
    std::fs::rename(link, vanne.file("vanne.toml")).unwrap();
    follows(&vanne, "b").await;
    for version in 2..6 {
        let (next, name) = if version % 2 == 0 { (&a, "a") } else { (&b, "b") };
        publish(&root, version, &vanne.fill_in(&config(next)));
        std::fs::remove_dir_all(root.join(format!("..{}", version - 1))).unwrap();
        follows(&vanne, name).await;
    }
}

#[tokio::test]
async fn a_change_of_a_secret_file_is_a_change_of_the_config() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&config(&origin)).await;
    let scrape = async |token: &str| {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        ask(vanne.probe, &request).await.status()
    };
    let is_open_for = async |token: &str| {
        let look = async || (scrape(token).await == 200).then_some(());
        let (taken, ()) = timed(eventually_async(token, look)).await;
        assert!(taken < LATE, "only after {taken:?}");
        assert_eq!(scrape("another").await, 401);
    };
    std::fs::write(vanne.file("token"), "first\n").unwrap();
    let with_token = format!(
        "{}[probe]\naddress = \"@probe\"\nmetrics_token_file = \"token\"\n",
        config(&origin)
    );
    vanne.replace_config(&with_token);
    let asks = async || (scrape("another").await == 401).then_some(());
    eventually_async("a token is asked for", asks).await;
    is_open_for("first").await;
    // Only the secret changes.
    std::fs::write(vanne.file("token"), "second\n").unwrap();
    is_open_for("second").await;
    assert_eq!(scrape("first").await, 401);
    // A secret that is none leaves the last one.
    std::fs::write(vanne.file("token"), "").unwrap();
    eventually("it is said", || vanne.process_log().contains("holds no secret").then_some(()))
        .await;
    assert_eq!(scrape("second").await, 200);
}
