//! Blocks that outlive the process.

use crate::blocklist::{delete, post};
use crate::harness::admin::{Asked, Lab, problem};
use crate::harness::{Origin, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;

/// A process that keeps its blocks in `folder`.
async fn keeping(origin: &Origin, folder: &Path) -> Lab {
    let more = format!("[process]\nstate_dir = \"{}\"", folder.display());
    Lab::start(&[origin.address], "", &more).await
}

async fn blocked(lab: &Lab) -> Vec<String> {
    let page = lab.get("/v1/blocklist").await;
    let blocks = page["blocks"].as_array().unwrap().iter();
    blocks.map(|block| block["cidr"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn blocks_survive_a_kill_and_a_restart() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let mut lab = keeping(&origin, folder.path()).await;
    post(&lab, json!({ "cidr": "192.0.2.1", "reason": "scan", "ttl": "1h" })).await;
    post(&lab, json!({ "cidr": "192.0.2.2" })).await;
    post(&lab, json!({ "cidr": "2001:db8::/32" })).await;
    post(&lab, json!({ "cidr": "192.0.2.3", "ttl": "1h" })).await;
    assert_eq!(delete(&lab, "192.0.2.2").await.status(), 200);
    lab.vanne.signal(Signal::KILL);
    lab.vanne.process().exit_within(std::time::Duration::from_secs(5)).await;
    // One of them is over while no process runs: as if an hour had passed for it.
    let file = folder.path().join("blocklist.state");
    let lines = std::fs::read_to_string(&file).unwrap();
    let aged = lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["block"]["cidr"] == "192.0.2.3/32" {
            line["block"]["until"] = (line["block"]["until"].as_u64().unwrap() - 3600).into();
        }
        format!("{line}\n")
    });
    std::fs::write(&file, aged.collect::<String>()).unwrap();
    let lab = keeping(&origin, folder.path()).await;
    assert_eq!(blocked(&lab).await, ["192.0.2.1/32", "2001:db8::/32"]);
    let first = &lab.get("/v1/blocklist").await["blocks"][0];
    assert_eq!((&first["reason"], &first["owner"]), (&json!("scan"), &json!("operate")));
    assert!((3500..3600).contains(&first["seconds_left"].as_u64().unwrap()), "{first}");
}

#[tokio::test]
async fn a_damaged_state_file_is_told_of_and_kept_aside() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let file = folder.path().join("blocklist.state");
    let line = |cidr: &str| {
        format!(
            "{{\"block\":{{\"cidr\":\"{cidr}\",\"by\":\"api\",\"owner\":\"kim\",\"since\":1}}}}\n"
        )
    };
    let text = format!("{{\"version\":1}}\n{}garbage\n{}", line("192.0.2.1"), line("192.0.2.2"));
    std::fs::write(&file, &text).unwrap();
    let lab = keeping(&origin, folder.path()).await;
    assert_eq!(blocked(&lab).await, ["192.0.2.1/32", "192.0.2.2/32"], "the rest is used");
    let told = || lab.vanne.process_log().contains("kept blocks are damaged").then_some(());
    eventually("a warning", told).await;
    let aside = std::fs::read_to_string(folder.path().join("blocklist.damaged")).unwrap();
    assert_eq!(aside, text);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("garbage"), "it is whole again");
}

#[tokio::test]
async fn a_block_that_cannot_be_kept_is_in_force_and_said_to_be_lost() {
    let (origin, folder) = (Origin::fixed("x").await, tempfile::tempdir().unwrap());
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let lab = keeping(&origin, &state).await;
    // Root may write anywhere, but not into a file.
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "no folder").unwrap();
    let asked = Asked::new("POST /v1/blocklist", "operate").with("{\"cidr\": \"192.0.2.1\"}");
    let answer = lab.ask(asked).await;
    assert_eq!(problem(&answer), (500, "not_kept".to_owned()), "{}", answer.text());
    assert!(answer.text().contains("a restart undoes it"), "{}", answer.text());
    assert_eq!(lab.get("/v1/blocklist/check?ip=192.0.2.1").await["is_blocked"], true);
}
