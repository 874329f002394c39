//! Rules about the form of a file: its length, that of its functions, its opening doc.

use crate::source::{Source, Violation, closing, find_words, name_at};
use crate::{EVERYWHERE, check, lines};

const FILE_LINES_MAX: usize = 400;
const FN_LINES_MAX: usize = 70;

fn file_length(file: &Source) -> Vec<Violation> {
    let length = file.text[..file.tests_start()].lines().count();
    if length <= FILE_LINES_MAX || file.is_tests() {
        return Vec::new();
    }
    let advice = format!(
        "{length} lines without tests, at most {FILE_LINES_MAX}: find the second idea, give it a file"
    );
    vec![file.violation(0, advice)]
}

#[test]
fn a_file_is_short() {
    check(EVERYWHERE, file_length);
}

#[test]
fn the_file_rule_counts_up_to_the_tests() {
    let code = "//! A.\n".to_owned() + &"const A: u8 = 1;\n".repeat(399);
    let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"\n".repeat(50) + "}\n";
    assert_eq!(lines(file_length, "src/a.rs", &(code.clone() + &tests)), [0; 0]);
    assert_eq!(
        lines(file_length, "src/a.rs", &(code.clone() + "const B: u8 = 1;\n" + &tests)),
        [1]
    );
    assert_eq!(lines(file_length, "src/a.rs", &(code + "#[cfg(test)]\nconst B: u8 = 1;\n")), [1]);
}

/// Offset of the `{` that opens the body of the function whose `fn` is at `offset`.
fn body_of(code: &str, offset: usize) -> Option<usize> {
    let mut at = offset;
    loop {
        match code.as_bytes().get(at)? {
            b'{' => return Some(at),
            b';' | b'}' | b')' => return None,
            b'(' | b'[' => at = closing(code, at)? + 1,
            _ => at += 1,
        }
    }
}

fn fn_length(file: &Source) -> Vec<Violation> {
    let code = &file.code[..file.tests_start()];
    let mut found = Vec::new();
    for offset in find_words(code, "fn") {
        let Some(open) = body_of(code, offset) else {
            continue;
        };
        let Some(close) = closing(code, open) else {
            continue;
        };
        let length = code[open + 1..close].lines().filter(|line| !line.trim().is_empty()).count();
        if length > FN_LINES_MAX {
            let name = name_at(code, offset + "fn ".len());
            let advice =
                format!("`{name}` has {length} lines of code, at most {FN_LINES_MAX}: split it");
            found.push(file.violation(offset, advice));
        }
    }
    found
}

#[test]
fn a_function_is_short() {
    check(EVERYWHERE, fn_length);
}

#[test]
fn the_function_rule_counts_lines_of_code() {
    let of_lines = |count: usize| {
        format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    g(\"{\");\n    // why\n\n".repeat(count))
    };
    assert_eq!(lines(fn_length, "src/a.rs", &of_lines(FN_LINES_MAX)), [0; 0]);
    assert_eq!(
        lines(fn_length, "src/a.rs", &format!("type A = fn(u8);\n{}", of_lines(FN_LINES_MAX + 1))),
        [2]
    );
}

fn opens_with_doc(file: &Source) -> Vec<Violation> {
    if file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![file.violation(
        0,
        "open the file with `//!`: what it is, why, what it does not do, how to extend it",
    )]
}

#[test]
fn a_file_opens_with_its_doc() {
    check(EVERYWHERE, opens_with_doc);
}

#[test]
fn the_doc_rule_sees_a_file_without() {
    assert_eq!(lines(opens_with_doc, "src/a.rs", "use std::fmt;\n//! Late.\n"), [1]);
    assert_eq!(lines(opens_with_doc, "src/a.rs", "//! Why.\nuse std::fmt;\n"), [0; 0]);
}
