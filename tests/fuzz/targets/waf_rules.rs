//! Fuzz: any text as a file of rules.
//!
//! Neither reading nor compiling panics, a fault names a line of the text, and what compiles runs.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vanne_filters::waf::program::Program;
use vanne_filters::waf::regression::Case;
use vanne_filters::waf::seclang::{Faults, NoFiles, Source, load};
use vanne_filters::waf::transaction::{Caches, Transaction};

fn compiled(text: &str) -> Result<Program, Faults> {
    Program::compile(&load(&[Source::Text("rules", text)], &NoFiles)?)
}

fuzz_target!(|text: &str| {
    match compiled(text) {
        Ok(program) => {
            let program = Arc::new(program);
            let mut transaction = Transaction::new(Arc::clone(&program));
            let case = Case {
                method: b"POST".to_vec(),
                uri: b"/a?b=%27c".to_vec(),
                version: b"HTTP/1.1".to_vec(),
                fields: vec![(b"Host".to_vec(), b"localhost".to_vec())],
                body: b"d=e".to_vec(),
                status: 200,
                ..Case::default()
            };
            case.run(&mut transaction, &mut Caches::new(&program));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            for fault in &faults.0 {
                assert!((1..=text.split('\n').count() as u32).contains(&fault.place.line));
            }
            assert!(!faults.to_string().is_empty());
        }
    }
});
