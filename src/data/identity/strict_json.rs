//! JSON in which nothing is said twice: what one reader takes the first of, and another the last,
//! is refused.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The object that `bytes` are, from the first to the last of them.
///
/// `None`: they are no object, there is more after it, a name is in it twice at whatever depth,
/// or it is nested too deeply.
#[must_use]
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Once>(bytes).ok()?.0 {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A value with each name once.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with each name once")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Once(value))) = entries.next_entry::<String, Once>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name is there twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_object_with_each_name_once_is_one() {
        let read = object(br#" {"a": [1, {"b": null}], "c": -1.5} "#).unwrap();
        assert_eq!(Value::from(read), serde_json::json!({"a": [1, {"b": null}], "c": -1.5}));
        for wrong in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[{"a":1,"a":1}]"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            "[]",
            "1",
            "",
        ] {
            assert_eq!(object(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(object(format!("{{\"a\":{}}}", "[".repeat(1000)).as_bytes()), None);
    }
}
