//! The regression tests of the Core Rule Set: files of YAML, each with tests of one or more stages.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::request;
use super::wire::Case;

/// One request and what must and must not be logged for it.
#[derive(Debug)]
pub(crate) struct Stage {
    /// `REQUEST-942-APPLICATION-ATTACK-SQLI`
    pub family: String,
    pub case: Case,
    pub expected: Vec<u64>,
    pub forbidden: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct File {
    rule_id: u64,
    tests: Vec<Test>,
}

#[derive(Debug, Deserialize)]
struct Test {
    test_id: u64,
    stages: Vec<RawStage>,
}

#[derive(Debug, Deserialize)]
struct RawStage {
    input: Input,
    #[serde(default)]
    output: Output,
}

/// The fields of a request, as the format has them.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Input {
    #[serde(default)]
    pub method: Option<String>,
    #[serde(default)]
    pub uri: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub headers: Option<Fields>,
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default)]
    pub encoded_request: Option<String>,
    #[serde(default)]
    pub autocomplete_headers: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct Output {
    #[serde(default)]
    log: Option<Log>,
}

#[derive(Debug, Default, Deserialize)]
struct Log {
    #[serde(default)]
    expect_ids: Vec<u64>,
    #[serde(default)]
    no_expect_ids: Vec<u64>,
}

/// A map in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Fields(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("names and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let pairs = std::iter::from_fn(|| map.next_entry().transpose());
                pairs.collect::<Result<_, _>>().map(Fields)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// All stages below `folder`, in the order of paths.
pub(crate) fn stages(folder: &Path) -> Vec<Stage> {
    let mut paths = Vec::new();
    find(folder, &mut paths);
    paths.sort();
    paths.iter().flat_map(|path| stages_of(path)).collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
}

fn stages_of(path: &Path) -> Vec<Stage> {
    let text = std::fs::read_to_string(path).unwrap();
    if !text.lines().any(|line| line.starts_with("tests:")) {
        // A file that is all comments.
        return Vec::new();
    }
    let file: File =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let family = path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
    let mut stages = Vec::new();
    for test in file.tests {
        for (number, stage) in test.stages.into_iter().enumerate() {
            let mut id = format!("{}-{}", file.rule_id, test.test_id);
            if number > 0 {
                id.push_str(&format!("-{}", number + 1));
            }
            let log = stage.output.log.unwrap_or_default();
            stages.push(Stage {
                family: family.clone(),
                case: request::case(id, stage.input),
                expected: log.expect_ids,
                forbidden: log.no_expect_ids,
            });
        }
    }
    stages
}
