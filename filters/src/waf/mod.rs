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
