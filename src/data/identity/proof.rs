//! Proof: who sends a request, and what is known of them.

use crate::types::ids::IdentityId;
use http::HeaderName;
use serde_json::{Map, Value};
use std::io::Write;
use vanne_filters::edits::{Draft, is_value};
use vanne_filters::{HeadEdits, RequestHead};

/// The longest name of a user.
const USER_BYTES_MAX: usize = 256;

/// Who sends a request.
#[derive(Debug, PartialEq)]
pub struct Proof {
    /// What says so.
    pub by: IdentityId,
    /// Their name, if they have one.
    pub user: Option<Box<str>>,
    /// What they may do.
    pub scopes: Box<[Box<str>]>,
    /// All that was said of them.
    pub claims: Map<String, Value>,
}

impl Proof {
    /// What `claims` say, as `by` reads them: the names of two of them are `user` and `scopes`.
    #[must_use]
    pub fn of(by: &IdentityId, claims: Map<String, Value>, (user, scopes): (&str, &str)) -> Self {
        let name = claims.get(user).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty() && name.len() <= USER_BYTES_MAX);
        let scopes: Vec<Box<str>> = match claims.get(scopes) {
            Some(Value::String(text)) => text.split_ascii_whitespace().map(Box::from).collect(),
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).map(Box::from).collect()
            }
            _ => Vec::new(),
        };
        Self { by: by.clone(), user: name.map(Box::from), scopes: scopes.into(), claims }
    }

    /// Whether they have all of these scopes.
    #[must_use]
    pub fn may(&self, scopes: &[Box<str>]) -> bool {
        scopes.iter().all(|scope| self.scopes.contains(scope))
    }

    /// Sets `name` to what the claim called `claim` says, if that may be a field's value.
    /// Cost: no allocation.
    pub fn tell(&self, claim: &str, name: &HeaderName, edits: &mut HeadEdits) {
        if let Some(claim) = self.claims.get(claim).filter(|claim| fits(claim)) {
            edits.set_written(name.clone(), |value| write(claim, value));
        }
    }
}

/// Whether a claim may be a field's value such that who reads it gets it as it was said.
fn fits(claim: &Value) -> bool {
    match claim {
        Value::String(text) => is_plain(text),
        Value::Number(_) | Value::Bool(_) => true,
        // A comma inside one would make two of it.
        Value::Array(list) => {
            let is_item = |text: &str| is_plain(text) && !text.contains(',');
            !list.is_empty() && list.iter().all(|item| item.as_str().is_some_and(is_item))
        }
        Value::Null | Value::Object(_) => false,
    }
}

/// Whether a text stays the same as a field's value: blanks around it would be taken off.
fn is_plain(text: &str) -> bool {
    is_value(text.as_bytes()) && text.trim_ascii().len() == text.len() && !text.is_empty()
}

fn write(claim: &Value, value: &mut Draft<'_>) {
    match claim {
        Value::String(text) => value.push(text.as_bytes()),
        // Writing into memory does not fail.
        Value::Number(number) => drop(write!(value, "{number}")),
        Value::Bool(is) => value.push(if *is { b"true" } else { b"false" }),
        Value::Array(list) => {
            for (at, text) in list.iter().filter_map(Value::as_str).enumerate() {
                value.push(if at == 0 { b"" } else { b"," });
                value.push(text.as_bytes());
            }
        }
        Value::Null | Value::Object(_) => {}
    }
}

/// Takes out of the request what clients must not say themselves: the fields `ours`, however
/// they are spelled. Programs behind CGI and its like cannot tell `X_User` from `X-User`.
/// Cost: O(fields × `ours`); an allocation for each field in another spelling.
pub fn take_out(head: &RequestHead<'_>, ours: &[HeaderName], edits: &mut HeadEdits) {
    if ours.is_empty() {
        return;
    }
    head.fields.each(&mut |name, _| {
        let Some(field) = ours.iter().find(|field| reads_as(name, field.as_str().as_bytes()))
        else {
            return;
        };
        if name.eq_ignore_ascii_case(field.as_str().as_bytes()) {
            edits.remove(field.clone());
        } else if let Ok(name) = HeaderName::from_bytes(name) {
            edits.remove(name);
        }
    });
}

/// Whether some program could take a field called `name` for `field`.
pub(super) fn reads_as(name: &[u8], field: &[u8]) -> bool {
    let fold = |byte: &u8| match *byte {
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        b'a'..=b'z' | b'0'..=b'9' => *byte,
        _ => b'-',
    };
    name.len() == field.len() && name.iter().map(fold).eq(field.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vanne_filters::{Edit, FieldSlice, Version};

    fn proof(claims: &Value) -> Proof {
        let by = "idp".parse().unwrap();
        Proof::of(&by, claims.as_object().unwrap().clone(), ("sub", "scope"))
    }

    #[test]
    fn name_and_scopes_are_what_the_claims_say() {
        let known = proof(&json!({"sub": "ann", "scope": "a  b"}));
        assert_eq!(known.user.as_deref(), Some("ann"));
        assert!(known.may(&["b".into(), "a".into()]) && !known.may(&["a b".into()]));
        assert!(proof(&json!({"scope": ["a b", 1]})).may(&["a b".into()]));
        for nobody in
            [json!({}), json!({"sub": 1}), json!({"sub": ""}), json!({"sub": "x".repeat(257)})]
        {
            assert_eq!(proof(&nobody).user, None, "{nobody}");
        }
    }

    #[test]
    fn a_claim_is_told_as_it_is_or_not_at_all() {
        let told = |claim: Value| {
            let mut edits = HeadEdits::new();
            proof(&json!({ "c": claim })).tell("c", &HeaderName::from_static("x-c"), &mut edits);
            let text = |edit| match edit {
                Edit::Set(_, value) => String::from_utf8(value.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            };
            edits.into_iter().map(text).next()
        };
        for (claim, value) in [
            (json!("ann"), "ann"),
            (json!("ä b"), "ä b"),
            (json!(12), "12"),
            (json!(true), "true"),
            (json!(["a", "b c"]), "a,b c"),
        ] {
            assert_eq!(told(claim.clone()).as_deref(), Some(value), "{claim}");
        }
        for claim in [
            json!("a\r\nx-admin: 1"),
            json!("a\0"),
            json!(" admin"),
            json!("admin\t"),
            json!(""),
            json!(["a,admin"]),
            json!(["a", 1]),
            json!([]),
            json!({"a": 1}),
            json!(null),
        ] {
            assert_eq!(told(claim.clone()), None, "{claim}");
        }
    }

    #[test]
    fn what_reads_like_our_field_is_taken_out() {
        let fields = FieldSlice(&[
            ("X-User", "1"),
            ("x_user", "2"),
            ("X.USER", "3"),
            ("X-User2", "4"),
            ("XUser", "5"),
        ]);
        let head = RequestHead::new("GET", b"/", Version::Http11, &fields);
        let mut edits = HeadEdits::new();
        take_out(&head, &[HeaderName::from_static("x-user")], &mut edits);
        let removed: Vec<String> = edits
            .into_iter()
            .map(|edit| match edit {
                Edit::Remove(name) => name.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(removed, ["x-user", "x_user", "x.user"]);
    }
}
