//! Operators: `@rx pattern`, `!@within a b c`, or a pattern alone.

use std::sync::Arc;

use super::ast::{Comparison, Operator, Test, TextTest};
use super::fault::Place;
use super::pattern;
use super::problem::{Problem, nearest};
use super::template::Template;
use crate::waf::operator::{Addresses, ByteRange, Phrases};

/// Operators by name, lower case.
const NAMES: &[&str] = &[
    "beginsWith",
    "contains",
    "containsWord",
    "detectSQLi",
    "detectXSS",
    "endsWith",
    "eq",
    "ge",
    "gt",
    "ipMatch",
    "ipMatchF",
    "ipMatchFromFile",
    "le",
    "lt",
    "noMatch",
    "pm",
    "pmf",
    "pmFromFile",
    "rx",
    "streq",
    "strmatch",
    "unconditionalMatch",
    "validateByteRange",
    "validateUrlEncoding",
    "validateUtf8Encoding",
    "within",
];

/// Characters of a parameter that logs show.
const PARAMETER_CHARACTERS_MAX: usize = 200;

/// Reads the files that operators name, relative to the rule file.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// Parses the operator of a rule.
pub(crate) fn parse(text: &str, place: Place, read: Read<'_>) -> Result<Operator, Problem> {
    let (is_negated, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let begin = text.len() - rest.len();
    let Some(named) = rest.strip_prefix('@') else {
        let test = pattern_test(rest).map_err(|problem| problem.shifted(begin))?;
        let (name, parameter) = ("Rx".to_owned(), beginning(rest));
        return Ok(Operator { is_negated, test, name, parameter, place });
    };
    let (name, parameter) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
    let parameter_at = text.len() - parameter.trim_start().len();
    let test = by_name(name, parameter.trim(), begin, read).map_err(|problem| {
        if problem.offset == begin { problem } else { shift(problem, parameter_at, begin) }
    })?;
    let (name, parameter) = (title(name), beginning(parameter.trim()));
    Ok(Operator { is_negated, test, name, parameter, place })
}

/// The name as ModSecurity's logs have it: `StrEq` of `streq`.
fn title(name: &str) -> String {
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
    match known.unwrap_or(name) {
        "streq" => "StrEq".to_owned(),
        "strmatch" => "StrMatch".to_owned(),
        name => {
            let (first, rest) = name.split_at_checked(1).unwrap_or_default();
            first.to_ascii_uppercase() + rest
        }
    }
}

/// What logs show of a parameter.
fn beginning(parameter: &str) -> String {
    match parameter.char_indices().nth(PARAMETER_CHARACTERS_MAX) {
        None => parameter.to_owned(),
        Some((end, _)) => {
            let (shown, rest) = parameter.split_at(end);
            format!("{shown} ({} characters omitted)", rest.chars().count())
        }
    }
}

/// Offsets of parameters come as `begin + 1 + offset`, so that offset 0 is told from the name.
fn shift(problem: Problem, parameter_at: usize, begin: usize) -> Problem {
    let offset = parameter_at + problem.offset - begin - 1;
    Problem { offset, ..problem }
}

fn by_name(name: &str, parameter: &str, begin: usize, read: Read<'_>) -> Result<Test, Problem> {
    let in_parameter = |problem: Problem| problem.shifted(begin + 1);
    let template = || match parameter {
        "" => Err(Problem::at(begin, format!("`@{name}` compares with nothing"), "a parameter")),
        _ => template(parameter).map_err(in_parameter),
    };
    let test = match name.to_ascii_lowercase().as_str() {
        "rx" => pattern_test(parameter).map_err(in_parameter)?,
        "pm" => {
            without_macros(parameter).map_err(in_parameter)?;
            Test::Phrases(phrases(parameter).map_err(in_parameter)?.into())
        }
        "pmfromfile" | "pmf" => phrase_files(parameter, read).map_err(in_parameter)?,
        "eq" => Test::Compare(Comparison::Equal, template()?),
        "ge" => Test::Compare(Comparison::AtLeast, template()?),
        "gt" => Test::Compare(Comparison::Above, template()?),
        "le" => Test::Compare(Comparison::AtMost, template()?),
        "lt" => Test::Compare(Comparison::Below, template()?),
        "beginswith" => Test::Text(TextTest::BeginsWith, template()?),
        "contains" => Test::Text(TextTest::Contains, template()?),
        "containsword" => Test::Text(TextTest::ContainsWord, template()?),
        "endswith" => Test::Text(TextTest::EndsWith, template()?),
        "streq" if parameter.is_empty() => Test::Text(TextTest::Equals, Template::default()),
        "streq" => Test::Text(TextTest::Equals, template()?),
        "strmatch" => Test::Text(TextTest::Matches, template()?),
        "within" => Test::Text(TextTest::Within, template()?),
        "validatebyterange" => byte_range(parameter).map_err(in_parameter)?,
        "ipmatch" => addresses(Addresses::parse(parameter.as_bytes())).map_err(in_parameter)?,
        "ipmatchfromfile" | "ipmatchf" => {
            let file =
                read(parameter).map_err(|error| in_parameter(unreadable(parameter, &error)))?;
            addresses(Addresses::parse_file(&file)).map_err(in_parameter)?
        }
        "detectsqli" => Test::Sqli,
        "detectxss" => Test::Xss,
        "validateurlencoding" => Test::UrlEncoding,
        "validateutf8encoding" => Test::Utf8Encoding,
        "unconditionalmatch" => Test::Always,
        "nomatch" => Test::Never,
        _ => return Err(unknown(name, begin)),
    };
    Ok(test)
}

fn unknown(name: &str, begin: usize) -> Problem {
    let help = match name.to_ascii_lowercase().as_str() {
        "rbl" | "geolookup" | "gsblookup" => {
            "no name or service is looked up while a request waits".into()
        }
        "inspectfile" | "fuzzyhash" | "exec" => "no program is run for a request".into(),
        "rxglobal" => "use @rx with `capture`".into(),
        "verifycc" | "verifyssn" | "verifycpf" | "verifysvnr" => {
            "match the number's form with @rx".into()
        }
        _ => match nearest(name, NAMES.iter().copied()) {
            Some(near) => format!("did you mean @{near}?"),
            None => format!("one of @{}", NAMES.join(", @")),
        },
    };
    Problem::at(begin, format!("the operator `@{name}` is not supported"), help)
}

/// Patterns and phrases are compiled before there is anything to put in.
fn without_macros(parameter: &str) -> Result<(), Problem> {
    match Template::find_macro(parameter) {
        None => Ok(()),
        Some(found) => Err(Problem::at(
            found.start,
            format!(
                "macros such as {} are not expanded here",
                &parameter.get(found).unwrap_or_default()
            ),
            "compare with @streq, @contains, @within …; in a pattern `%\\{` stands for itself",
        )),
    }
}

fn pattern_test(source: &str) -> Result<Test, Problem> {
    without_macros(source)?;
    Ok(Test::Pattern(Arc::new(pattern::parse(source)?)))
}

fn template(parameter: &str) -> Result<Template, Problem> {
    Template::parse(parameter).map_err(|(offset, name)| {
        let message = format!("the macro %{{{name}}} is of no known variable");
        Problem::at(
            offset,
            message,
            "a variable as in targets, such as %{tx.name} or %{MATCHED_VAR}",
        )
    })
}

fn byte_range(parameter: &str) -> Result<Test, Problem> {
    let range = ByteRange::parse(parameter.as_bytes()).map_err(|error| {
        Problem::at(0, error, "numbers and ranges of 0..=255, such as 9,10,32-126")
    })?;
    Ok(Test::ByteRange(Arc::new(range)))
}

fn addresses(parsed: Result<Addresses, String>) -> Result<Test, Problem> {
    let help = "addresses and networks separated by commas, such as 10.0.0.0/8,::1";
    Ok(Test::Addresses(Arc::new(parsed.map_err(|error| Problem::at(0, error, help))?)))
}

/// Words of `@pm`; `|41 42|` inside gives bytes in hexadecimal.
fn phrases(parameter: &str) -> Result<Vec<Vec<u8>>, Problem> {
    let found: Vec<Vec<u8>> = if parameter.contains('|') {
        let unhexed = unhex(parameter)
            .ok_or_else(|| Problem::at(0, "a broken |…| in the phrases", "|41 42 43| is ABC"))?;
        unhexed.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect()
    } else {
        parameter.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    };
    let found: Vec<Vec<u8>> = found.into_iter().filter(|phrase| !phrase.is_empty()).collect();
    if found.is_empty() {
        return Err(Problem::at(0, "@pm without phrases", "words separated by spaces"));
    }
    Ok(found)
}

fn unhex(parameter: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (index, part) in parameter.split('|').enumerate() {
        if index % 2 == 0 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        for pair in part.split_ascii_whitespace() {
            out.push(u8::from_str_radix(pair, 16).ok()?);
        }
    }
    Some(out)
}

fn phrase_files(parameter: &str, read: Read<'_>) -> Result<Test, Problem> {
    let mut all = Vec::new();
    for name in parameter.split_ascii_whitespace() {
        let file = read(name).map_err(|error| unreadable(name, &error))?;
        all.extend(Phrases::lines(&file).map(<[u8]>::to_vec));
    }
    if all.is_empty() {
        return Err(Problem::at(
            0,
            "no phrases in the file",
            "one phrase a line; `#` begins a comment",
        ));
    }
    Ok(Test::Phrases(all.into()))
}

fn unreadable(name: &str, error: &str) -> Problem {
    Problem::at(0, format!("cannot read `{name}`: {error}"), "a path relative to the rule file")
}
