//! JSON: what has to be done before the YAML reader, which knows places, may read it.
//!
//! Almost every JSON text is YAML. That it is JSON is checked here; and characters that JSON
//! writes as two escapes (UTF-16 surrogates), which YAML does not know, become one.

use super::diagnostics::Problem;
use super::tree::offset_of;
use std::borrow::Cow;

/// `text` as YAML, with everything in the same place.
///
/// # Errors
/// `text` is not JSON.
pub(super) fn to_yaml(text: &str) -> Result<Cow<'_, str>, Vec<Problem>> {
    let error = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) if text.contains("\\ud") || text.contains("\\uD") => {
            return Ok(without_surrogates(text).into());
        }
        Ok(_) => return Ok(text.into()),
        Err(error) => error,
    };
    let at = offset_of(text, error.line(), error.column().saturating_sub(1));
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    Err(vec![Problem::new("", at..at, format!("not valid JSON: {message}"))])
}

/// The one escape is shorter than the two: the string is followed by as many blanks, so that
/// what comes after it stays in its place.
fn without_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut owed = 0;
    let mut is_in_string = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (character, text.get(at..).and_then(pair)) {
            (_, Some(one)) => {
                let escape = format!("\\U{:08x}", u32::from(one));
                owed += PAIR_LENGTH - escape.len();
                out.push_str(&escape);
                characters.nth(PAIR_LENGTH - 2);
            }
            ('\\', None) => {
                out.push(character);
                out.extend(characters.next().map(|(_, escaped)| escaped));
            }
            ('"', None) => {
                out.push(character);
                if is_in_string {
                    out.extend(std::iter::repeat_n(' ', owed));
                    owed = 0;
                }
                is_in_string = !is_in_string;
            }
            _ => out.push(character),
        }
    }
    out
}

/// Characters of `\ud83d\ude00`.
const PAIR_LENGTH: usize = 12;

/// The character that the two escapes at the start of `text` stand for.
fn pair(text: &str) -> Option<char> {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let high = unit(text).filter(|high| (0xd800..0xdc00).contains(high))?;
    let low = unit(text.get(PAIR_LENGTH / 2..)?)?;
    char::decode_utf16([high, low]).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_escapes_become_one_and_what_follows_keeps_its_place() {
        for (json, yaml) in [
            (r#"["\ud83d\ude00", 1]"#, r#"["\U0001f600"  , 1]"#),
            (r#"["\\ud83d\ude00"]"#, r#"["\\ud83d\ude00"]"#),
            (r#"["\"\ud83d\ude00é\uD83D\uDE00"]"#, r#"["\"\U0001f600é\U0001f600"    ]"#),
            (r#"["\ud83d", "\ud83d\u0041"]"#, r#"["\ud83d", "\ud83d\u0041"]"#),
        ] {
            assert_eq!(without_surrogates(json), yaml);
            assert_eq!(json.len(), yaml.len());
        }
    }
}
