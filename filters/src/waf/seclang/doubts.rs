//! What a rule says that it hardly means: for those who write rules. Nothing is refused for it.

use super::ast::{Disruption, Link, Operator, Rule, Target, Test, TextTest};
use super::fault::Note;
use super::variables::Variable;
use crate::waf::transform::Transform;

/// What is doubtful in `rule`, in the order in which it stands there.
#[must_use]
pub fn doubts(rule: &Rule) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |place: &super::Place, message: String| {
        notes.push(Note { place: place.clone(), message });
    };
    if let Disruption::Drop | Disruption::Redirect(_) = rule.disruption {
        let message = format!(
            "rule {}: `{}` is done as `deny`: the answer is 403",
            rule.id,
            rule.disruption.name()
        );
        note(&rule.place, message);
    }
    for link in &rule.links {
        if let Some(phase) = has_values_from(link).filter(|phase| *phase > rule.phase) {
            let message = format!(
                "rule {} never matches: what it looks at is there from phase {phase} on, and it is of phase {}",
                rule.id, rule.phase
            );
            note(&link.place, message);
        }
        if let Some(why) = of_the_other_case(link) {
            note(&link.place, format!("rule {}: {why}", rule.id));
        }
    }
    notes
}

/// The first phase in which a link may have any value to look at; `None`: it looks at none.
fn has_values_from(link: &Link) -> Option<u8> {
    // How many there are can be said in any phase.
    let first = |target: &Target| if target.is_count { 1 } else { first_phase(target.variable) };
    link.targets.iter().map(first).min()
}

/// The first phase in which `variable` may have a value.
fn first_phase(variable: Variable) -> u8 {
    use Variable as V;
    match variable {
        V::ArgsPost | V::ArgsPostNames | V::Files | V::FilesNames | V::FilesSizes => 2,
        V::MultipartFilename | V::MultipartName | V::MultipartPartHeaders => 2,
        V::ReqbodyErrorMsg | V::ReqbodyProcessorErrorMsg => 2,
        V::RequestBody | V::WholeRequestBody | V::XmlText | V::XmlAttributes => 2,
        V::ResponseContentType | V::ResponseHeaders | V::ResponseHeadersNames => 3,
        V::ResponseProtocol | V::ResponseStatus | V::StatusLine => 3,
        V::ResponseBody | V::ResponseContentLength => 4,
        _ => 1,
    }
}

/// What is wrong with a comparison with letters that no value has after the transformations.
fn of_the_other_case(link: &Link) -> Option<String> {
    let Some(Operator { test: Test::Text(test, text), .. }) = &link.operator else { return None };
    // A value may be within the rest of a list.
    let compares = *test != TextTest::Within && !link.is_multi_match;
    let text = text.as_literal().filter(|_| compares)?;
    let case = link.transforms.iter().rev().find(|transform| !keeps_case(**transform))?;
    let (name, other, missing): (_, _, fn(&u8) -> bool) = match case {
        Transform::Lowercase => ("lowercase", "upper", u8::is_ascii_uppercase),
        Transform::Uppercase => ("uppercase", "lower", u8::is_ascii_lowercase),
        _ => return None,
    };
    text.as_bytes()
        .iter()
        .any(missing)
        .then(|| format!("after t:{name} no value has the {other} case letters of `{text}`"))
}

/// Whether it makes no letters but those that were there.
fn keeps_case(transform: Transform) -> bool {
    use Transform as T;
    matches!(
        transform,
        T::CompressWhitespace
            | T::NormalizePath
            | T::NormalizePathWin
            | T::RemoveComments
            | T::RemoveCommentsChar
            | T::RemoveNulls
            | T::RemoveWhitespace
            | T::ReplaceComments
            | T::ReplaceNulls
            | T::Trim
            | T::TrimLeft
            | T::TrimRight
    )
}

#[cfg(test)]
mod tests {
    use super::super::ast::Item;
    use super::super::{NoFiles, Source, load};
    use super::*;

    fn told(rule: &str) -> Vec<String> {
        let set = load(&[Source::Text("f.conf", rule)], &NoFiles).unwrap();
        let [Item::Rule(rule)] = &*set.items else { panic!("{rule}") };
        doubts(rule).into_iter().map(|note| note.message).collect()
    }

    #[test]
    fn rules_that_cannot_match_are_told() {
        for (targets, operator, actions, what) in [
            ("REQUEST_BODY", "@rx a", "phase:1", "from phase 2 on, and it is of phase 1"),
            ("ARGS_POST|FILES", "!@rx a", "phase:1", "from phase 2 on"),
            ("RESPONSE_BODY", "@rx a", "phase:2", "from phase 4 on, and it is of phase 2"),
            ("RESPONSE_BODY", "@rx a", "phase:3", "from phase 4 on"),
            ("RESPONSE_HEADERS:a", "@rx a", "phase:2", "from phase 3 on"),
            ("ARGS", "@streq FOO", "phase:2,t:lowercase", "t:lowercase no value has the upper"),
            ("ARGS", "@contains aB", "phase:2,t:lowercase,t:trim", "t:lowercase"),
            ("ARGS", "@endsWith a", "phase:2,t:urlDecode,t:uppercase", "the lower case letters"),
            ("ARGS", "@rx a", "phase:2,drop", "`drop` is done as `deny`"),
            ("ARGS", "@rx a", "phase:2,redirect:http://a/", "`redirect` is done as `deny`"),
        ] {
            let rule = format!("SecRule {targets} \"{operator}\" \"id:1,{actions}\"");
            let told = told(&rule);
            assert!(told.len() == 1 && told[0].contains(what), "{rule}: {told:?}");
        }
    }

    #[test]
    fn rules_that_can_match_are_not() {
        for (targets, operator, actions) in [
            ("REQUEST_BODY", "@rx a", "phase:2"),
            ("ARGS_GET|ARGS_POST", "@rx a", "phase:1"),
            ("&ARGS_POST", "@eq 0", "phase:1"),
            ("TX:a|MATCHED_VAR", "@rx a", "phase:1"),
            ("REQBODY_ERROR", "@eq 0", "phase:1"),
            ("RESPONSE_BODY", "@rx a", "phase:5"),
            ("ARGS", "@streq foo%{tx.A}", "phase:2,t:lowercase"),
            ("ARGS", "@streq FOO", "phase:2,t:lowercase,t:base64Decode"),
            ("ARGS", "@streq FOO", "phase:2,t:lowercase,multiMatch"),
            ("ARGS", "@within FOO bar", "phase:2,t:lowercase"),
            ("ARGS", "@rx FOO", "phase:2,t:lowercase"),
        ] {
            let rule = format!("SecRule {targets} \"{operator}\" \"id:1,pass,{actions}\"");
            assert_eq!(told(&rule), [""; 0], "{rule}");
        }
    }
}
