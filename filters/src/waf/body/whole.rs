//! Whole bodies for rules of somebody's own: REQUEST_BODY where a processor reads the body too.
//!
//! ModSecurity 3 always has it, Coraza has it for forms only; the Core Rule Set and our own rules
//! are written and tested without it. So it is there when any other rule looks at it, and for
//! those rules only.

use crate::waf::seclang::ast::{Item, Rule};
use crate::waf::seclang::variables::Variable;
use crate::waf::seclang::{Faults, NoFiles, RuleSet, Source, load};

/// The tag of all rules of the Core Rule Set.
const CRS: &str = "OWASP_CRS";
/// Ids of our own rules.
const OWN: std::ops::RangeInclusive<u64> = 9_100_000..=9_119_999;

/// Adds rules to `set` that fill REQUEST_BODY for JSON, XML and multipart, if rules of somebody's
/// own look at it. Their ids are `id` and the next.
///
/// # Errors
/// None, unless what is written here is wrong.
pub fn whole_bodies(set: &mut RuleSet, id: u64) -> Result<(), Faults> {
    let is_asked_for = set.items.iter().any(|item| match item {
        Item::Rule(rule) => is_of_others(rule) && looks_at_bodies(rule),
        Item::Marker(_) => false,
    });
    if is_asked_for {
        let (next, from, to) = (id + 1, OWN.start(), OWN.end());
        let text = format!(
            "SecRule REQBODY_PROCESSOR \"@rx ^(?:JSON|MULTIPART)$\" \"id:{id},phase:1,pass,nolog,\
             t:none,ctl:ruleRemoveTargetById={from}-{to};REQUEST_BODY\"\n\
             SecRule REQBODY_PROCESSOR \"@rx ^(?:JSON|MULTIPART|XML)$\" \"id:{next},phase:1,pass,\
             nolog,t:none,ctl:forceRequestBodyVariable=On,\
             ctl:ruleRemoveTargetByTag={CRS};REQUEST_BODY\"\n"
        );
        set.items.extend(load(&[Source::Text("whole bodies", &text)], &NoFiles)?.items);
    }
    Ok(())
}

fn is_of_others(rule: &Rule) -> bool {
    !OWN.contains(&rule.id) && !rule.tags.iter().any(|tag| tag == CRS)
}

fn looks_at_bodies(rule: &Rule) -> bool {
    let mut targets = rule.links.iter().flat_map(|link| &link.targets);
    targets.any(|target| target.variable == Variable::RequestBody)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::program::Program;
    use crate::waf::regression::Case;
    use crate::waf::transaction::{Caches, Transaction};
    use std::sync::Arc;

    const SETUP: &str = r#"
SecRule REQUEST_HEADERS:Content-Type "@rx json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_BODY "@contains evil" "id:2,phase:2,pass,tag:'OWASP_CRS'"
SecRule REQUEST_BODY "@contains evil" "id:9106100,phase:2,pass"
"#;

    /// Ids of the rules that match a body of `kind`.
    fn matched(rules: &str, kind: &str) -> Vec<u64> {
        let sources = [Source::Text("setup", SETUP), Source::Text("rules", rules)];
        let mut set = load(&sources, &NoFiles).unwrap();
        whole_bodies(&mut set, 100).unwrap();
        let program = Arc::new(Program::compile(&set).unwrap());
        let mut transaction = Transaction::new(Arc::clone(&program));
        let case = Case {
            method: b"POST".to_vec(),
            uri: b"/".to_vec(),
            version: b"HTTP/1.1".to_vec(),
            fields: vec![(b"Content-Type".to_vec(), kind.into())],
            body: b"{\"a\":\"evil\"}".to_vec(),
            status: 200,
            ..Case::default()
        };
        case.run(&mut transaction, &mut Caches::new(&program));
        let told = transaction.matches().map(|found| found.about.id);
        told.filter(|id| !matches!(id, 1 | 100 | 101)).collect()
    }

    #[test]
    fn rules_of_others_see_bodies_that_are_taken_apart() {
        let rules = "SecRule REQUEST_BODY \"@contains evil\" \"id:3,phase:2,pass\"";
        assert_eq!(matched(rules, "application/json"), [3]);
        assert_eq!(matched(rules, "application/x-www-form-urlencoded"), [2, 9_106_100, 3]);
        assert!(matched(rules, "text/plain").is_empty());
        assert!(matched("", "application/json").is_empty());
        let forced = "SecAction \"id:4,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"";
        assert_eq!(matched(&format!("{rules}\n{forced}"), "text/plain"), [4, 2, 9_106_100, 3]);
    }
}
