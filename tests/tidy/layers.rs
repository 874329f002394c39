//! Rules about who may use what: layers, the pure crate, the border of Pingora, the clock.

use crate::source::{Source, Violation, closing, is_name_byte, name_at, split_commas};
use crate::{EVERYWHERE, check, lines};

/// Parts of the crate and how late each comes. A part may use those of a lower number, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("types", 0),
    ("config", 1),
    ("observe", 1),
    ("wire", 1),
    ("wire", 1),
    ("data", 2),
    ("control", 3),
    ("cli", 4),
    ("main", 4),
];

/// Where types of Pingora may be named.
const PINGORA_HOMES: &[&str] =
    &["src/data/engine/", "src/data/upstream/", "src/data/listener/", "src/main.rs"];

/// What the pure crate must not name.
const IMPURE: &[&str] = &["vanne", "tokio", "Instant::now", "SystemTime::now"];

const CLOCK: &str = "src/types/clock.rs";

fn rank(part: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == part).map(|(_, rank)| *rank)
}

fn part_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// `(offset, part)` of each `crate::part` and each part of `crate::{a, b}`.
fn crate_paths(file: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for offset in file.find_words("crate") {
        let after = offset + "crate".len();
        let Some(rest) = file.code[after..].trim_start().strip_prefix("::") else {
            continue;
        };
        let start = file.code.len() - rest.trim_start().len();
        if file.code[start..].starts_with('{') {
            let end = closing(&file.code, start).unwrap_or(file.code.len());
            for item in split_commas(&file.code, start + 1..end) {
                let indent =
                    file.code[item.clone()].len() - file.code[item.clone()].trim_start().len();
                found.push((item.start + indent, name_at(&file.code, item.start + indent)));
            }
        } else {
            found.push((start, name_at(&file.code, start)));
        }
    }
    found
}

fn layers(file: &Source) -> Vec<Violation> {
    let own = part_of(&file.path);
    if matches!(own, "lib" | "manual") {
        return Vec::new();
    }
    let Some(own_rank) = rank(own) else {
        return vec![file.violation(
            0,
            format!("`{own}` has no layer: give it a row in LAYERS of tests/tidy.rs"),
        )];
    };
    crate_paths(file)
        .into_iter()
        .filter(|(_, part)| *part != own && rank(part).is_some_and(|other| other >= own_rank))
        .map(|(offset, part)| {
            let advice =
                format!("`{own}` must not use `{part}`: move what both need to an earlier layer");
            file.violation(offset, advice)
        })
        .collect()
}

#[test]
fn a_layer_uses_only_earlier_layers() {
    check(&["src"], layers);
}

#[test]
fn the_layer_rule_sees_single_paths_groups_and_unknown_parts() {
    assert_eq!(
        lines(layers, "src/data/pool.rs", "use crate::types::A;\nuse crate::control::B;\n"),
        [2]
    );
    assert_eq!(
        lines(
            layers,
            "src/config/mod.rs",
            "use crate::{\n    observe::{A, B},\n    types::C,\n};\n"
        ),
        [2]
    );
    assert_eq!(
        lines(layers, "src/types/ids.rs", "fn f() { crate::data::g() }\n// crate::cli\n"),
        [1]
    );
    assert_eq!(lines(layers, "src/extras/mod.rs", ""), [1]);
    assert_eq!(lines(layers, "src/cli/run.rs", "use crate::{cli::A, control::B};\n"), [0; 0]);
}

fn purity(file: &Source) -> Vec<Violation> {
    let words = IMPURE.iter().flat_map(|word| file.find_words(word));
    let sockets = ["net::Tcp", "net::Udp"]
        .iter()
        .flat_map(|path| file.code.match_indices(path).map(|(at, _)| at));
    words
        .chain(sockets)
        .chain(pingora_names(file))
        .map(|offset| {
            let name = file.code[offset..].lines().next().unwrap_or_default();
            let advice = format!("the filters are pure, no `{name}`: take it as an argument");
            file.violation(offset, advice)
        })
        .collect()
}

#[test]
fn filters_name_no_socket_no_runtime_no_clock() {
    check(&["filters/src"], purity);
}

#[test]
fn the_purity_rule_sees_each_kind() {
    let text = "use vanne::A;\nuse std::net::TcpStream;\nuse pingora_http::B;\nuse tokio::C;\nlet _ = Instant::now();\n";
    let mut found = lines(purity, "filters/src/a.rs", text);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5]);
    assert_eq!(
        lines(
            purity,
            "filters/src/a.rs",
            "use vanne_filters::A; // tokio\nconst A: &str = \"tokio\";\n"
        ),
        [0; 0]
    );
}

/// Offsets of the names of Pingora's crates where they start a path.
fn pingora_names(file: &Source) -> impl Iterator<Item = usize> {
    file.code.match_indices("pingora").map(|(offset, _)| offset).filter(|offset| {
        let before = file.code[..*offset].bytes().next_back();
        let name = name_at(&file.code, *offset);
        let is_crate = name == "pingora" || name.starts_with("pingora_");
        let starts_path = file.code[offset + name.len()..].starts_with("::");
        let is_start = before.is_none_or(|byte| !is_name_byte(byte));
        let is_own_module = name == "pingora" && before == Some(b':');
        is_crate && starts_path && is_start && !is_own_module
    })
}

fn pingora_border(file: &Source) -> Vec<Violation> {
    if PINGORA_HOMES.iter().any(|home| file.path.starts_with(home)) {
        return Vec::new();
    }
    let advice =
        format!("types of Pingora stop at {}: pass our own type across", PINGORA_HOMES.join(", "));
    pingora_names(file).map(|offset| file.violation(offset, advice.clone())).collect()
}

#[test]
fn pingora_types_stay_at_the_border() {
    check(&["src"], pingora_border);
}

#[test]
fn the_border_rule_sees_a_use_and_a_path_but_not_our_own_module() {
    let text = "use pingora_core::A;\nfn f(a: pingora_http::B) {}\n";
    assert_eq!(lines(pingora_border, "src/data/outcome.rs", text), [1, 2]);
    assert_eq!(lines(pingora_border, "src/data/engine/pingora.rs", text), [0; 0]);
    assert_eq!(
        lines(pingora_border, "src/cli/run.rs", "use crate::data::engine::pingora::Engine;\n"),
        [0; 0]
    );
}

/// Tests may read tokio's clock: paused, it is a virtual one.
fn is_paused_clock(file: &Source, offset: usize) -> bool {
    offset > file.tests_start() && file.code[..offset].ends_with("tokio::time::")
}

fn clock(file: &Source) -> Vec<Violation> {
    if file.path == CLOCK {
        return Vec::new();
    }
    let advice = format!("only {CLOCK} reads the clock: take `now` as an argument");
    ["Instant::now", "SystemTime::now"]
        .iter()
        .flat_map(|call| file.find_words(call))
        .filter(|offset| !is_paused_clock(file, *offset))
        .map(|offset| file.violation(offset, advice.clone()))
        .collect()
}

#[test]
fn only_one_file_reads_the_clock() {
    check(EVERYWHERE, clock);
}

#[test]
fn the_clock_rule_sees_both_clocks() {
    let text = "// Instant::now\nlet a = Instant::now();\nlet b = std::time::SystemTime::now();\n";
    assert_eq!(lines(clock, "src/data/finish.rs", text), [2, 3]);
    assert_eq!(lines(clock, CLOCK, text), [0; 0]);
    let paused = "#[cfg(test)]\nmod tests {\n    let a = tokio::time::Instant::now();\n}\n";
    assert_eq!(lines(clock, "src/data/effects.rs", paused), [0; 0]);
    let running = "let a = tokio::time::Instant::now();\n";
    assert_eq!(lines(clock, "src/data/effects.rs", running), [1]);
}
