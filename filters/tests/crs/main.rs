//! The OWASP Core Rule Set, its rules and its regression tests, in process.

mod files;

use vanne_filters::waf::seclang::{Source, load};

#[test]
fn all_rules_load() {
    let Some(crs) = files::crs() else { return };
    let setup = crs.join("crs-setup.conf.example");
    let rules = crs.join("rules/*.conf");
    let sources = [Source::File(setup.to_str().unwrap()), Source::File(rules.to_str().unwrap())];
    let set = load(&sources, &files::Disk).unwrap_or_else(|faults| panic!("{faults}"));
    eprintln!("{} items, notes {:#?}", set.items.len(), set.notes);
}
