//! The web application firewall: rules in SecLang, as the OWASP Core Rule Set is written.
//!
//! Everything here works on bytes: a request is bytes, and a rule that looks for broken UTF-8
//! must see it. Nothing here opens a file or a socket, or reads a clock.

pub mod body;
pub mod injection;
pub mod operator;
pub mod own;
pub mod program;
pub mod regression;
pub mod seclang;
pub mod transaction;
pub mod transform;

/// Rules that choose what reads bodies of XML and JSON, which rule sets leave to the config of the
/// engine (the recommended one of ModSecurity has the like). Their ids are `id` and the next.
#[must_use]
pub fn body_processors(id: u64) -> String {
    let next = id + 1;
    format!(
        "SecRule REQUEST_HEADERS:Content-Type \"^(?:application(?:/soap\\+|/)|text/)xml\" \
         \"id:{id},phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"^application/(?:[a-z0-9.-]+[+])?json\" \
         \"id:{next},phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
    )
}

/// Rules that refuse what cannot be inspected, which the Core Rule Set leaves to the config of the
/// engine too: bodies that are not of their type, parts that two readers see differently, and more
/// arguments than are looked at. What comes of a body that is cut on purpose is no fault of its
/// own. Their ids are `id` and the next two.
#[must_use]
pub fn body_refusals(id: u64) -> String {
    let (parts, arguments) = (id + 1, id + 2);
    let refuse = "phase:2,t:none,deny,log,logdata:'%{REQBODY_ERROR_MSG}',\
                  tag:'vanne/protocol',severity:'CRITICAL'";
    let is_whole = "SecRule INBOUND_DATA_ERROR \"!@eq 1\" \"t:none\"";
    format!(
        "SecRule REQBODY_ERROR \"!@eq 0\" \
         \"id:{id},{refuse},msg:'Body is not of its type',chain\"\n{is_whole}\n\
         SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \
         \"id:{parts},{refuse},msg:'Parts are not as they should be',chain\"\n{is_whole}\n\
         SecRule ARGUMENTS_LIMIT_REACHED \"@eq 1\" \
         \"id:{arguments},{refuse},msg:'More arguments than are looked at'\"\n"
    )
}
