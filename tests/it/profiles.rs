//! Profiles: what keys are that the file leaves out.

use crate::harness::vanne::binary;
use crate::harness::{Client, Origin, Vanne};
use std::process::Command;

/// What `vanne show-config` prints about this config.
fn shown(config: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vanne.toml");
    std::fs::write(&path, config).unwrap();
    let output = Command::new(binary()).arg("show-config").arg(&path).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const REST: &str = "[listener.http]\naddress = \"127.0.0.1:8080\"\n[pool.app]\nbackends = []\n\
                    [[route]]\nname = \"all\"\npool = \"app\"\n";

#[test]
fn show_config_says_what_a_value_is_from() {
    let all = shown(&format!("profile = \"staging\"\n{REST}"), &["--defaults"]);
    for line in [
        "profile = \"staging\"\n",
        "address = \"127.0.0.1:8080\"\n",
        "level = \"debug\"  # profile staging\n",
        "preset = \"basic\"  # profile staging\n",
        "strict_transport_security = \"\"  # profile staging\n",
        "frame_options = \"DENY\"  # preset basic\n",
        "drain_delay = \"5s\"  # built-in\n",
    ] {
        assert!(all.contains(&format!("\n{line}")) || all.starts_with(line), "{line} in {all}");
    }
    // Marks are comments: what is printed is a config, and says the same.
    let again = shown(&all, &["--defaults", "--json"]);
    let first = shown(&format!("profile = \"staging\"\n{REST}"), &["--defaults", "--json"]);
    assert_eq!(again, first);
    let said = shown(&format!("[log]\nlevel = \"warn\"\n{REST}"), &[]);
    assert!(said.contains("level = \"warn\"\n"), "{said}");
    assert!(
        said.contains("[security_headers.default]\npreset = \"basic\"  # profile production\n")
    );
    assert!(!said.contains("built-in") && !said.contains("drain_delay"), "{said}");
}

#[test]
fn a_key_of_the_file_goes_before_the_profile() {
    let file = "profile = \"development\"\n[log]\nlevel = \"warn\"\n\
                [security_headers.default]\nreferrer_policy = \"no-referrer\"\n";
    let all = shown(&(file.to_owned() + REST), &["--defaults"]);
    assert!(all.contains("level = \"warn\"\n"), "{all}");
    assert!(all.contains("first_byte = \"10m\"  # profile development\n"), "{all}");
    let (_, set) = all.split_once("[security_headers.default]\n").unwrap();
    assert!(set.contains("preset = \"basic\"  # built-in\n"), "{set}");
    assert!(set.contains("referrer_policy = \"no-referrer\"\n"), "{set}");
}

#[tokio::test]
async fn a_profile_says_what_the_file_leaves_out() {
    let origin = Origin::fixed("ok").await;
    for (profile, has_headers) in [("production", true), ("development", false)] {
        let config = format!(
            "profile = \"{profile}\"\n[pool.app]\nbackends = [\"{}\"]\n\
             [[route]]\nname = \"all\"\npool = \"app\"\n",
            origin.address
        );
        let vanne = Vanne::start(&config).await;
        let mut client = Client::careless(vanne.http).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nvanne-why: please\r\n\r\n").await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.status(), 200);
        let has = |name: &str| answer.head.field(name).is_some();
        assert_eq!(has("x-content-type-options"), has_headers, "{profile}");
        assert_eq!(has("vanne-why"), !has_headers, "{profile}");
    }
}
