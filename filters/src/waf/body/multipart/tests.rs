//! Bodies, with what is found in them and what is odd about them.

use super::*;
use crate::waf::body::tests::{Found, found};

const TYPE: &str = "multipart/form-data; boundary=b";

fn read_as(content_type: &str, body: &str, limits: Limits) -> (MultipartFlags, Found) {
    let mut flags = MultipartFlags::default();
    let found = found(|out| {
        let (seen, result) = multipart(body.as_bytes(), content_type.as_bytes(), limits, out);
        flags = seen;
        result
    });
    (flags, found)
}

fn read(body: &str) -> (MultipartFlags, Found) {
    read_as(TYPE, body, Limits::default())
}

/// A body of one part with this head and the contents `x`.
fn part(head: &str) -> String {
    format!("--b\r\n{head}\r\n\r\nx\r\n--b--\r\n")
}

const FIELD: &str = "Content-Disposition: form-data; name=\"a\"";

#[test]
fn fields_and_files_are_given() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\ny\r\n--b\r\n\
        content-disposition: form-data; name=f; filename=\"C:\\dir\\\"1\\\".txt\"\r\n\
        Content-Type: text/plain\r\n\r\n12345\r\n--b\r\n\
        Content-Disposition: form-data; name=\"e\"; filename=\"\"\r\n\r\n\r\n--b--\r\n";
    let (flags, found) = read(body);
    assert_eq!((flags, found.fault), (MultipartFlags::default(), None));
    assert_eq!(found.arguments, ["a=x\r\ny", "e="]);
    assert_eq!(found.files, ["f=C:\\dir\"1\".txt (5)"]);
    assert_eq!(found.headers.len(), 4);
    assert_eq!(found.headers[2], "f=Content-Type: text/plain");
}

#[test]
fn both_names_of_a_file_are_given() {
    let (flags, found) = read(&part(&format!("{FIELD}; filename=a.txt; filename*=UTF-8''b%2Ephp")));
    assert_eq!(found.files, ["a=b.php (1)", "or a.txt"]);
    assert!(!flags.strict_error());
    let (_, found) = read(&part(&format!("{FIELD}; filename=a.php; filename*=utf-8''")));
    assert_eq!(found.files, ["a=a.php (1)"]);
    let (flags, found) = read(&part(&format!("{FIELD}; filename*=\"x'y'b%zz\"")));
    assert_eq!(found.files, ["a=b%zz (1)"]);
    assert!(flags.invalid_quoting && flags.broken);
    assert!(read(&part(&format!("{FIELD}; filename*0=a; filename*1=b"))).0.broken);
}

/// What a flag says of a body.
type Claim = fn(&MultipartFlags) -> bool;

#[test]
fn what_some_servers_take_for_a_field_is_an_argument_too() {
    let file = format!("{FIELD}; filename=f");
    let cases: [(String, Claim); 4] = [
        (format!("{file}\r\n{FIELD}"), |flags| flags.duplicate_part_header),
        (format!("{FIELD}\r\n{file}"), |flags| flags.duplicate_part_header),
        (format!("{FIELD}; filename =f"), |flags| flags.invalid_quoting),
        (format!("{FIELD}; filename*=UTF-8''f"), |flags| !flags.strict_error()),
    ];
    for (head, claim) in cases {
        let (flags, found) = read(&part(&head));
        assert!(claim(&flags), "{head}: {flags:?}");
        assert_eq!((found.arguments, found.files), (vec!["a=x".into()], vec!["a=f (1)".into()]));
    }
    let limits = Limits { arguments: 0, ..Limits::default() };
    let (_, found) = read_as(TYPE, &part(&format!("{FIELD}; filename*=UTF-8''f")), limits);
    assert_eq!((found.arguments.len(), found.fault), (0, Some(Fault::Arguments(0))));
}

#[test]
fn what_stands_after_the_last_boundary_is_read() {
    let (flags, found) = read(&format!("--b--\r\n{}", part(FIELD)));
    assert!(flags.data_after && flags.strict_error() && found.fault.is_none());
    assert_eq!(found.arguments, ["a=x"]);
    let bare = format!("{}{FIELD}\r\n\r\ny\r\n--b--\r\n", part(FIELD));
    let (flags, found) = read(&bare);
    assert!(flags.data_after && flags.strict_error());
    assert_eq!(found.arguments, ["a=x", "a=y"]);
    assert!(read(&format!("{}x", part(FIELD))).0.data_after);
    assert_eq!(read(&format!("{}\r\n \n", part(FIELD))).0, MultipartFlags::default());
}

#[test]
fn parts_of_what_is_no_form_need_no_disposition() {
    let body = part("Content-Type: text/plain");
    let (flags, found) = read_as("multipart/related; boundary=b", &body, Limits::default());
    assert_eq!((flags, found.fault), (MultipartFlags::default(), None));
    assert_eq!(found.arguments, ["=x"]);
    let body = part("Content-ID: id");
    let (_, found) = read_as("multipart/related; boundary=b", &body, Limits::default());
    assert_eq!(found.arguments, ["id=x"]);
    let file = part("Content-Disposition: attachment; filename=f");
    let (flags, found) = read_as("Multipart/Mixed; boundary=b", &file, Limits::default());
    assert!(!flags.strict_error() && found.arguments.is_empty());
    assert_eq!(found.files, ["=f (1)"]);
}

#[test]
fn each_oddity_has_its_flag() {
    let lf = "--b\nContent-Disposition: form-data; name=a\n\nx\n--b--\n";
    let mixed = "--b\r\nContent-Disposition: form-data; name=a\n\r\nx\r\n--b--\r\n";
    let cases: [(&str, String, Claim); 12] = [
        ("lf", lf.to_owned(), |flags| flags.lf_line && !flags.crlf_lf_lines),
        ("mixed", mixed.to_owned(), |flags| flags.lf_line && flags.crlf_lf_lines),
        ("before", format!("x\r\n{}", part(FIELD)), |flags| flags.data_before),
        ("folded", part(&format!("{FIELD};\r\n filename=x")), |flags| {
            flags.header_folding && !flags.invalid_header_folding
        }),
        ("folded badly", part(&format!("{FIELD};\r\n\u{b}filename=x")), |flags| {
            flags.invalid_header_folding
        }),
        ("no name", part("Content-Disposition: form-data"), |flags| flags.invalid_part),
        ("no disposition", part("Content-Type: text/plain"), |flags| {
            flags.invalid_part && flags.broken
        }),
        ("single quotes", part("Content-Disposition: form-data; name='a'"), |flags| {
            flags.invalid_quoting
        }),
        ("after a quote", part(&format!("{FIELD}x; filename=y")), |flags| flags.invalid_quoting),
        ("twice", part(&format!("{FIELD}; name=b")), |flags| flags.duplicate_part_header),
        ("field twice", part(&format!("{FIELD}\r\n{FIELD}")), |flags| flags.duplicate_part_header),
        ("not form-data", part("Content-Disposition: attachment; name=a"), |flags| flags.broken),
    ];
    for (name, body, claim) in cases {
        let (flags, found) = read(&body);
        assert!(claim(&flags) && flags.strict_error(), "{name}: {flags:?}");
        assert_eq!(found.arguments.len() + found.files.len(), 1, "{name}");
    }
    let (flags, found) = read(&part(FIELD).replace("x\r\n", "--bx\r\n--\r\n"));
    assert!(flags.unmatched_boundary && !flags.strict_error());
    assert_eq!(found.arguments, ["a=--bx\r\n--"]);
}

#[test]
fn a_boundary_that_ends_too_soon_is_no_boundary() {
    let (flags, found) = read("--b\r\n\r\n");
    assert!(flags.broken && flags.invalid_part && found.fault.is_some());
    let (flags, found) = read("--b\r\n");
    assert!(flags.broken && found.arguments.is_empty());
    let (flags, found) = read("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx");
    assert!(flags.broken);
    assert_eq!(found.arguments, ["a=x"]);
    assert!(read("").0.broken && read("x").0.broken && read("--b--").1.fault.is_none());
    let (flags, _) = read(&part("no colon"));
    assert!(flags.broken);
}

#[test]
fn content_type_names_one_boundary() {
    let cases: [(&str, Claim); 8] = [
        ("multipart/form-data; boundary =b", |flags| flags.boundary_whitespace),
        ("multipart/form-data, boundary=b", |flags| flags.missing_semicolon),
        ("multipart/form-data", |flags| flags.broken),
        ("multipart/form-data; boundary=", |flags| flags.broken),
        ("multipart/form-data; boundary=\"b", |flags| flags.broken),
        ("multipart/form-data; boundary=a; boundary=b", |flags| flags.broken),
        ("multipart/form-data; boundary=\u{e9}", |flags| flags.broken),
        ("multipart/form-data; boundary", |flags| flags.broken),
    ];
    for (content_type, claim) in cases {
        let (flags, _) = read_as(content_type, &part(FIELD), Limits::default());
        assert!(claim(&flags) && flags.strict_error(), "{content_type}: {flags:?}");
    }
    let (flags, _) =
        read_as("multipart/form-data; boundary=\"b\"", &part(FIELD), Limits::default());
    assert!(flags.boundary_quoted && !flags.strict_error());
    let named = "multipart/form-data; charset=utf-8; BOUNDARY=Boundary_1; x=y";
    let body = part(FIELD).replace("--b", "--Boundary_1");
    assert_eq!(read_as(named, &body, Limits::default()).0, MultipartFlags::default());
}

#[test]
fn parts_are_bounded() {
    let limits = Limits { arguments: 1, files: 1, ..Limits::default() };
    let one = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
    let file = "--b\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\nx\r\n";
    let (flags, found) = read_as(TYPE, &format!("{one}{one}--b--"), limits);
    assert_eq!((found.arguments.len(), found.fault), (1, Some(Fault::Arguments(1))));
    assert!(!flags.file_limit_exceeded);
    let (flags, found) = read_as(TYPE, &format!("{file}{file}--b--"), limits);
    assert_eq!((found.files.len(), found.fault), (1, Some(Fault::Files(1))));
    assert!(flags.file_limit_exceeded && !flags.broken && flags.strict_error());
    assert_eq!(found.headers.len(), 1);
    let long: String = (0..100).map(|index| format!("\r\nX-{index}: y")).collect();
    let (flags, found) = read(&part(&format!("{FIELD}{long}")));
    assert_eq!((found.headers.len(), found.arguments.len()), (32, 1));
    assert!(flags.broken);
}
