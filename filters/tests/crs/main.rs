//! The OWASP Core Rule Set, its rules and its regression tests, in process.

mod files;

use vanne_filters::waf::program::Program;
use vanne_filters::waf::seclang::{Source, load};

#[test]
fn all_rules_load() {
    let Some(crs) = files::crs() else { return };
    let setup = crs.join("crs-setup.conf.example");
    let rules = crs.join("rules/*.conf");
    let sources = [
        Source::File(setup.to_str().unwrap()),
        Source::Text(
            "x",
            "SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=1\"",
        ),
        Source::File(rules.to_str().unwrap()),
    ];
    let set = load(&sources, &files::Disk).unwrap_or_else(|faults| panic!("{faults}"));
    let program = Program::compile(&set).unwrap();
    eprintln!(
        "{} items, {} dropped, {:?}",
        set.items.len(),
        program.dropped().len(),
        program.dropped()
    );
}
