//! The format of a file of tests, as far as it is judged here.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::reflect::Asked;
use super::request;
use super::stage::Stage;

/// A file: tests of one rule.
#[derive(Debug, Deserialize)]
pub struct File {
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
pub struct Input {
    #[serde(default)]
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) uri: Option<String>,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) headers: Option<Fields>,
    #[serde(default)]
    pub(crate) data: Option<String>,
    #[serde(default)]
    pub(crate) encoded_request: Option<String>,
    #[serde(default)]
    pub(crate) autocomplete_headers: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct Output {
    #[serde(default)]
    status: Option<u16>,
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
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

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

impl File {
    /// The stages, in order, of the family `family`. `asked` reads the JSON of a request that the
    /// reference backend reflects; `None` when it is none.
    ///
    /// # Errors
    /// The test whose request cannot be made, and why.
    pub fn stages(
        self,
        family: &str,
        asked: &dyn Fn(&[u8]) -> Option<Asked>,
    ) -> Result<Vec<Stage>, String> {
        let mut stages = Vec::new();
        for test in self.tests {
            for (number, stage) in (1..).zip(test.stages) {
                let id = match number {
                    1 => format!("{}-{}", self.rule_id, test.test_id),
                    _ => format!("{}-{}-{number}", self.rule_id, test.test_id),
                };
                let log = stage.output.log.unwrap_or_default();
                let case = request::case(&id, stage.input, asked)
                    .map_err(|error| format!("test {id}: {error}"))?;
                stages.push(Stage {
                    family: family.to_owned(),
                    case,
                    expected: log.expect_ids,
                    forbidden: log.no_expect_ids,
                    status: stage.output.status,
                });
            }
        }
        Ok(stages)
    }
}
