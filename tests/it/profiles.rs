//! Profiles: what keys are that the file leaves out.

use crate::harness::vanne::binary;
use crate::harness::{Client, Origin, Vanne};
use crate::waf::rules_of;
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
        "own_rules = true  # profile staging\n",
        "mode = \"detect\"  # profile staging\n",
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
    assert!(!said.contains("profile =") && !said.contains("waf"), "{said}");
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

#[tokio::test]
async fn the_built_in_rules_guard_routes_as_the_profile_says() {
    let origin = Origin::fixed("ok").await;
    let rest = format!(
        "[pool.app]\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\npool = \"app\"\n\
         [[route]]\nname = \"free\"\nmatch.path = \"/free\"\npool = \"app\"\nwaf = \"off\"\n",
        origin.address
    );
    let attack = "?q=%3Cscript%3Ealert(1)%3C/script%3E";
    for (profile, status, verdict) in [
        ("profile = \"production\"\n", 403, Some("refused")),
        ("profile = \"staging\"\n", 200, Some("detected")),
        ("profile = \"development\"\n", 200, Some("detected")),
        ("", 200, None),
    ] {
        let vanne = Vanne::start(&format!("{profile}{rest}")).await;
        let mut client = Client::careless(vanne.http).await;
        assert_eq!(client.get("/?q=shoes&page=2").await.status(), 200, "{profile}");
        assert_eq!(client.get(&format!("/{attack}")).await.status(), status, "{profile}");
        assert_eq!(client.get(&format!("/free{attack}")).await.status(), 200, "{profile}");
        let Some(verdict) = verdict else { continue };
        for verdict in ["passed", verdict] {
            let labels = [("waf", "default"), ("verdict", verdict)];
            vanne.metric_is("vanne_waf_requests_total", &labels, 1.0).await;
        }
        let labels = [("waf", "default"), ("family", "02-xss")];
        vanne.metric_is("vanne_waf_matches_total", &labels, 1.0).await;
    }
}

#[tokio::test]
async fn a_firewall_called_default_is_for_routes_that_name_none() {
    let origin = Origin::fixed("ok").await;
    let (_folder, path) = rules_of("SecRule ARGS:q \"@streq worm\" \"id:1,phase:1,deny,log\"\n");
    let config = format!(
        "profile = \"production\"\n[pool.app]\nbackends = [\"{}\"]\n\
         [waf.default]\nrules = [{path:?}]\n[waf.own]\nown_rules = true\n\
         [[route]]\nname = \"all\"\npool = \"app\"\n\
         [[route]]\nname = \"own\"\nmatch.path = \"/own\"\npool = \"app\"\nwaf = \"own\"\n",
        origin.address
    );
    let vanne = Vanne::start(&config).await;
    let attack = "?q=%3Cscript%3Ealert(1)%3C/script%3E";
    for (target, is_refused) in [
        ("/?q=worm".to_owned(), true),
        (format!("/{attack}"), false),
        ("/own?q=worm".to_owned(), false),
        (format!("/own{attack}"), true),
    ] {
        let answer = vanne.get(&target).await;
        assert_eq!(crate::waf::is_refused(&answer), is_refused, "{target}");
    }
}
