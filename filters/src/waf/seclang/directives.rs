//! Directives by name: what each sets, which belong to the process around, which are refused.

use super::ast::Item;
use super::control::{audit, engine, on_off};
use super::lines::{Line, Word};
use super::load::Loader;
use super::problem::{Problem, nearest};
use super::rules;
use super::settings::{LimitAction, Settings};
use super::update::{self, By};

/// Directives that rules and settings are made of.
const KNOWN: &[&str] = &[
    "Include",
    "SecAction",
    "SecArgumentSeparator",
    "SecArgumentsLimit",
    "SecAuditEngine",
    "SecComponentSignature",
    "SecDefaultAction",
    "SecMarker",
    "SecRequestBodyAccess",
    "SecRequestBodyJsonDepthLimit",
    "SecRequestBodyLimit",
    "SecRequestBodyLimitAction",
    "SecRequestBodyNoFilesLimit",
    "SecResponseBodyAccess",
    "SecResponseBodyLimit",
    "SecResponseBodyLimitAction",
    "SecResponseBodyMimeType",
    "SecResponseBodyMimeTypesClear",
    "SecRule",
    "SecRuleEngine",
    "SecRuleRemoveById",
    "SecRuleRemoveByMsg",
    "SecRuleRemoveByTag",
    "SecRuleUpdateActionById",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByMsg",
    "SecRuleUpdateTargetByTag",
    "SecUploadFileLimit",
];

/// Directives of the process around this engine: accepted, noted, without effect. Lower case.
const OF_THE_HOST: &[(&str, &str)] = &[
    ("secauditlog", "the proxy's WAF log says where it is written"),
    ("secauditlog2", "the proxy's WAF log says where it is written"),
    ("secauditlogdirmode", "the proxy's WAF log says where it is written"),
    ("secauditlogfilemode", "the proxy's WAF log says where it is written"),
    ("secauditlogformat", "`waf_log.format` of the proxy says how it looks"),
    ("secauditlogparts", "the proxy's WAF log has all parts but bodies"),
    ("secauditlogrelevantstatus", "the proxy's WAF log is of matches"),
    ("secauditlogstoragedir", "the proxy's WAF log says where it is written"),
    ("secauditlogtype", "the proxy's WAF log is one line a match"),
    ("seccollectiontimeout", "nothing is kept between requests"),
    ("secconnengine", "connections are counted by the proxy"),
    ("seccookieformat", "cookies are read in the form of RFC 6265"),
    ("secdatadir", "nothing is kept between requests"),
    ("secdebuglog", "the proxy has its own log"),
    ("secdebugloglevel", "the proxy has its own log"),
    ("secpcrematchlimit", "patterns run in linear time: there is no limit to hit"),
    ("secpcrematchlimitrecursion", "patterns run in linear time: there is no limit to hit"),
    ("secrequestbodyinmemorylimit", "bodies are kept in memory, under the proxy's cap"),
    ("secrxprefilter", "patterns are always scanned together"),
    ("secsensorid", "the proxy's log has its own name"),
    ("secserversignature", "the proxy writes its own Server header"),
    ("secstatusengine", "nothing is reported to anybody"),
    ("sectmpdir", "uploads are not written to files"),
    ("sectmpsaveuploadedfiles", "uploads are not written to files"),
    ("secunicodecodepage", "the map of code page 20127 is built in"),
    ("secunicodemapfile", "the map of code page 20127 is built in"),
    ("secuploaddir", "uploads are not written to files"),
    ("secuploadfilemode", "uploads are not written to files"),
    ("secuploadkeepfiles", "uploads are not written to files"),
    ("secwebappid", "the proxy's log has its own name"),
    ("secxmlexternalentity", "entities of XML are never followed"),
];

/// Applies one line.
pub(crate) fn apply(
    loader: &mut Loader<'_>,
    file: &str,
    line: &Line,
    directive: &Word,
    words: &[Word],
) {
    let name = directive.text.to_ascii_lowercase();
    let is_link = name == "secrule" || name == "secaction";
    if !is_link {
        loader.close_chain();
    }
    match name.as_str() {
        "secrule" => return rules::rule(loader, file, line, words),
        "secaction" => return rules::action(loader, line, words),
        "secdefaultaction" => return rules::default_action(loader, line, words),
        "secruleupdateactionbyid" => {
            for problem in update::actions(loader, line, words).err().unwrap_or_default() {
                loader.fault(line, None, problem);
            }
            return;
        }
        _ => {}
    }
    let done = match name.as_str() {
        "secmarker" => marker(loader, words),
        "secruleremovebyid" => update::remove(loader, line, words, By::Id),
        "secruleremovebytag" => update::remove(loader, line, words, By::Tag),
        "secruleremovebymsg" => update::remove(loader, line, words, By::Message),
        "secruleupdatetargetbyid" => update::targets(loader, line, words, By::Id),
        "secruleupdatetargetbytag" => update::targets(loader, line, words, By::Tag),
        "secruleupdatetargetbymsg" => update::targets(loader, line, words, By::Message),
        _ => match OF_THE_HOST.iter().find(|(known, _)| *known == name) {
            Some((_, why)) => otherwise(&name, words).map_or_else(
                || {
                    loader.note(line, 0, format!("{} has no effect: {why}", directive.text));
                    Ok(())
                },
                Err,
            ),
            None => setting(&mut loader.set.settings, &name, &directive.text, words),
        },
    };
    if let Err(problem) = done {
        loader.fault(line, None, problem);
    }
}

/// What is wrong where a directive of the host asks for what this engine does in another way.
fn otherwise(name: &str, words: &[Word]) -> Option<Problem> {
    let (word, is_so, so) = match (name, words) {
        ("seccookieformat", [word]) => (word, word.text == "0", "0: cookies of RFC 6265"),
        ("secunicodecodepage", [word]) | ("secunicodemapfile", [_, word]) => {
            (word, word.text == "20127", "20127: the one map that is built in")
        }
        ("secxmlexternalentity", [word]) => {
            (word, on_off(&word.text) == Some(false), "Off: entities of XML are never followed")
        }
        _ => return None,
    };
    let message = || format!("`{}` is not supported here", word.text);
    (!is_so).then(|| Problem::at(word.offset, message(), so))
}

fn marker(loader: &mut Loader<'_>, words: &[Word]) -> Result<(), Problem> {
    let [word] = words else {
        return Err(Problem::at(
            0,
            "SecMarker takes one argument",
            "a name, such as END-OF-CHECKS",
        ));
    };
    loader.set.items.push(Item::Marker(word.text.clone()));
    Ok(())
}

fn setting(
    settings: &mut Settings,
    name: &str,
    written: &str,
    words: &[Word],
) -> Result<(), Problem> {
    let Some(first) = words.first() else {
        return if name == "secresponsebodymimetypesclear" {
            settings.response_types.clear();
            Ok(())
        } else if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            Err(Problem::at(
                0,
                format!("{written} without an argument"),
                "see the reference manual",
            ))
        } else {
            Err(unknown(written))
        };
    };
    let invalid = |expected: &str| {
        Problem::at(first.offset, format!("`{}` is not valid for {written}", first.text), expected)
    };
    let switch = || on_off(&first.text).ok_or_else(|| invalid("On or Off"));
    let size = || first.text.trim().parse::<usize>().map_err(|_error| invalid("a whole number"));
    match name {
        "secruleengine" => {
            settings.engine =
                engine(&first.text).ok_or_else(|| invalid("On, Off or DetectionOnly"))?;
        }
        "secauditengine" => {
            settings.audit =
                audit(&first.text).ok_or_else(|| invalid("On, Off or RelevantOnly"))?;
        }
        "secrequestbodyaccess" => settings.reads_request_body = switch()?,
        "secresponsebodyaccess" => settings.reads_response_body = switch()?,
        "secrequestbodylimit" => settings.request_body_bytes_max = size()?,
        "secrequestbodynofileslimit" => settings.request_body_no_files_bytes_max = Some(size()?),
        "secresponsebodylimit" => settings.response_body_bytes_max = size()?,
        "secrequestbodyjsondepthlimit" => settings.json_depth_max = size()?,
        "secargumentslimit" => settings.arguments_max = size()?,
        "secuploadfilelimit" => settings.files_max = size()?,
        "secrequestbodylimitaction" => settings.request_body_limit = limit(first, written)?,
        "secresponsebodylimitaction" => settings.response_body_limit = limit(first, written)?,
        "secargumentseparator" => {
            settings.argument_separator = match first.text.as_bytes() {
                [byte] => *byte,
                _ => return Err(invalid("one character")),
            };
        }
        "seccomponentsignature" => settings.components.push(first.text.clone()),
        "secresponsebodymimetype" => {
            settings.response_types =
                words.iter().map(|word| word.text.to_ascii_lowercase()).collect();
        }
        _ => return Err(unknown(written)),
    }
    Ok(())
}

fn limit(word: &Word, written: &str) -> Result<LimitAction, Problem> {
    match word.text.to_ascii_lowercase().as_str() {
        "reject" => Ok(LimitAction::Reject),
        "processpartial" => Ok(LimitAction::ProcessPartial),
        _ => Err(Problem::at(
            word.offset,
            format!("`{}` is not valid for {written}", word.text),
            "Reject or ProcessPartial",
        )),
    }
}

fn unknown(written: &str) -> Problem {
    let help = match nearest(written, KNOWN.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => "a directive of rules; those of a web server or a connector belong there".into(),
    };
    Problem::at(0, format!("the directive `{written}` is not supported"), help)
}
