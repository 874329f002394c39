//! Rules about words: names of modules, leftovers, the order of tables.

use std::ops::Range;

use crate::source::{Source, Violation, closing, find_words, name_at, split_commas};
use crate::{EVERYWHERE, check, lines};

/// Tables whose rows are kept in alphabetical order.
const TABLES: &[&str] = &["ALGORITHMS", "FALLBACKS", "FILTERS", "METRICS", "PROBES", "SOURCES"];

/// Words that say nothing, or that mean something else here.
const FORBIDDEN_WORDS: &[&str] = &[
    "cluster",
    "common",
    "endpoint",
    "handler",
    "helper",
    "manager",
    "middleware",
    "misc",
    "node",
    "plugin",
    "server",
    "util",
];

fn forbidden_word(name: &str) -> Option<&'static str> {
    let name = name.replace("endpoint_slice", "");
    let is_in_name =
        |word: &&&str| name.split('_').any(|part| part.strip_suffix('s').unwrap_or(part) == **word);
    FORBIDDEN_WORDS.iter().find(is_in_name).copied()
}

fn module_names(file: &Source) -> Vec<Violation> {
    let in_path = file.path.split('/').map(|part| (0, part.trim_end_matches(".rs")));
    let in_text = file.find_words("mod").into_iter().filter_map(|offset| {
        let start = offset + "mod ".len();
        (start < file.code.len()).then(|| (offset, name_at(&file.code, start)))
    });
    in_path
        .chain(in_text)
        .filter_map(|(offset, name)| Some((offset, name, forbidden_word(name)?)))
        .map(|(offset, name, word)| {
            file.violation(
                offset,
                format!("`{name}`: not `{word}`, name it by what it does (STYLE, words)"),
            )
        })
        .collect()
}

#[test]
fn a_module_has_a_name_that_says_something() {
    check(EVERYWHERE, module_names);
}

#[test]
fn the_name_rule_sees_files_folders_and_inline_modules() {
    assert_eq!(lines(module_names, "src/data/utils.rs", ""), [1]);
    assert_eq!(lines(module_names, "src/helpers/a.rs", ""), [1]);
    assert_eq!(lines(module_names, "src/data/http_server.rs", ""), [1]);
    assert_eq!(lines(module_names, "src/data/mod.rs", "mod pool;\nmod plugin {}\n"), [2]);
    assert_eq!(lines(module_names, "src/control/endpoint_slices.rs", "mod observer;\n"), [0; 0]);
}

fn leftovers(file: &Source) -> Vec<Violation> {
    ["TODO", "FIXME", "XXX"]
        .iter()
        .flat_map(|word| find_words(&file.text, word).into_iter().map(move |offset| (offset, word)))
        .map(|(offset, word)| {
            file.violation(offset, format!("no `{word}`: do it, or open an issue"))
        })
        .collect()
}

#[test]
fn nothing_is_left_for_later() {
    check(EVERYWHERE, leftovers);
}

#[test]
fn the_leftover_rule_reads_comments() {
    assert_eq!(
        lines(leftovers, "src/a.rs", "//! A.\n// TODO: more\nconst MAX: u8 = 1; // FIXME\n"),
        [2, 3]
    );
    assert_eq!(lines(leftovers, "src/a.rs", "const XXXL: u8 = 1;\n"), [0; 0]);
}

/// What a row is sorted by: its first string. A row that names a constant of the same file is read
/// there; one without any string is sorted by its first path.
fn row_key(file: &Source, row: Range<usize>) -> &str {
    let path = file.code[row.clone()].trim();
    let constant = file
        .find_words(path)
        .into_iter()
        .find(|offset| !path.is_empty() && file.code[..*offset].trim_end().ends_with("const"));
    let text = match constant {
        Some(offset) => file.uncommented[offset..].split_once(';').map_or("", |(text, _)| text),
        None => &file.uncommented[row],
    };
    first_string(text).unwrap_or(path)
}

fn first_string(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    rest.split_once('"').map(|(string, _)| string)
}

/// Rows of the array that is assigned to the const or static whose name is at `offset`.
fn table_rows(file: &Source, offset: usize) -> Option<Vec<Range<usize>>> {
    let before = file.code[..offset].trim_end();
    if !before.ends_with("const") && !before.ends_with("static") {
        return None;
    }
    let equals = offset + file.code[offset..].find('=')?;
    let open = equals + file.code[equals..].find('[')?;
    Some(split_commas(&file.code, open + 1..closing(&file.code, open)?))
}

fn table_order(file: &Source, table: &str, rows: &[Range<usize>]) -> Option<Violation> {
    let keys: Vec<_> = rows.iter().map(|row| row_key(file, row.clone())).collect();
    let late = keys.windows(2).position(|pair| pair[0] > pair[1])?;
    let (row, key, before) = (rows[late + 1].clone(), keys[late + 1], keys[late]);
    let indent = file.code[row.clone()].find(|c: char| !c.is_whitespace()).unwrap_or(0);
    let advice = format!("rows of {table} are alphabetical: move `{key}` before `{before}`");
    Some(file.violation(row.start + indent, advice))
}

fn tables(file: &Source) -> Vec<Violation> {
    TABLES
        .iter()
        .flat_map(|table| file.find_words(table).into_iter().map(move |offset| (table, offset)))
        .filter_map(|(table, offset)| table_order(file, table, &table_rows(file, offset)?))
        .collect()
}

#[test]
fn rows_of_a_table_are_in_order() {
    check(EVERYWHERE, tables);
}

#[test]
fn the_table_rule_sees_strings_and_paths_out_of_order() {
    let strings = "pub const ALGORITHMS: &[Row] = &[\n    Row { name: \"b\", f },\n    // c\n    Row { name: \"a\", f },\n];\n";
    assert_eq!(lines(tables, "src/a.rs", strings), [4]);
    assert_eq!(lines(tables, "src/a.rs", "static METRICS: [M; 2] = [b::ROW, a::ROW];\n"), [1]);
    assert_eq!(
        lines(
            tables,
            "src/a.rs",
            "const METRICS: &[M] = &[a::ROW, b::ROW];\nfor m in METRICS {}\n"
        ),
        [0; 0]
    );
    let named = "const METRICS: &[M] = &[B, A];\nconst A: M = m(\"z\");\nconst B: M = m(\"a\");\n";
    assert_eq!(lines(tables, "src/a.rs", named), [0; 0]);
    let turned = named.replace("[B, A]", "[A, B]");
    assert_eq!(lines(tables, "src/a.rs", &turned), [1]);
}
