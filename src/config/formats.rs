//! Formats: how strings are checked, by the name of their format in the schema.
//!
//! One row per kind of text value. The check uses the very parser of the type, so a
//! string that passes here cannot fail later.

use super::access_log::AccessLogTarget;
use super::answer::RedirectTo;
use super::cors::{CorsMethod, OriginPattern};
use super::discovery::{DnsName, NameServer};
use super::edits::PathTemplate;
use super::error_pages::ErrorKey;
use super::fallback::FallbackStep;
use super::health::{BodyRegex, BodyText, CheckPath, ServiceName, StatusSet};
use super::identity::{HttpUrl, KeySource, Scope, TokenSource};
use super::kubernetes::{ObjectName, ServicePort};
use super::listener::Address;
use super::matching::{CookieName, FieldName, HostPattern, MethodName, ParameterName, PathPattern};
use super::network::Network;
use super::observe::FilePath;
use super::page::PageSource;
use super::pool::{BackendAddress, BackendEntry, HashSource, LoadFactor};
use super::rate_limit::LimitKey;
use super::redis::{RedisAddress, RedisText};
use super::route::{Host, PathPrefix};
use super::secret::Secret;
use super::split::SplitBy;
use crate::types::country::Country;
use crate::types::ids::RouteId;
use crate::types::log_format::{InvalidLogFormat, LogFormat};
use crate::types::pattern::Pattern;
use crate::types::template::Template;
use crate::types::text::TextValue;
use crate::types::units::{ByteSize, Percent, Period, Rate};

/// One kind of text value.
pub struct FormatRow {
    /// Its name in the schema.
    pub name: &'static str,
    /// What is accepted: completes "expected …".
    pub accepted: &'static str,
    /// What is wrong with a text, if anything.
    pub check: fn(&str) -> Option<String>,
}

/// All formats, in alphabetical order.
pub const FORMATS: &[FormatRow] = &[
    row::<BackendEntry>(),
    row::<BackendAddress>(),
    row::<BodyRegex>(),
    row::<BodyText>(),
    row::<ByteSize>(),
    row::<CheckPath>(),
    row::<CookieName>(),
    row::<CorsMethod>(),
    row::<Country>(),
    row::<DnsName>(),
    row::<ErrorKey>(),
    row::<FallbackStep>(),
    row::<FieldName>(),
    row::<ServiceName>(),
    row::<HashSource>(),
    row::<Template>(),
    FormatRow {
        name: "header-value",
        accepted: "visible characters, spaces and tabs: what a header field may hold",
        check: check_header_value,
    },
    row::<Host>(),
    row::<HostPattern>(),
    row::<HttpUrl>(),
    row::<KeySource>(),
    row::<ObjectName>(),
    row::<LimitKey>(),
    row::<LoadFactor>(),
    FormatRow { name: LogFormat::FORMAT, accepted: LogFormat::ACCEPTED, check: check_log_format },
    row::<AccessLogTarget>(),
    row::<MethodName>(),
    row::<RouteId>(),
    row::<NameServer>(),
    row::<Network>(),
    row::<OriginPattern>(),
    row::<PageSource>(),
    row::<ParameterName>(),
    row::<FilePath>(),
    row::<PathPrefix>(),
    row::<PathPattern>(),
    row::<PathTemplate>(),
    row::<Percent>(),
    row::<Period>(),
    row::<Rate>(),
    row::<RedirectTo>(),
    row::<RedisAddress>(),
    row::<RedisText>(),
    row::<Pattern>(),
    row::<Scope>(),
    row::<Secret>(),
    row::<ServicePort>(),
    row::<Address>(),
    row::<SplitBy>(),
    row::<StatusSet>(),
    row::<TokenSource>(),
];

const fn row<T: TextValue>() -> FormatRow {
    FormatRow { name: T::FORMAT, accepted: T::ACCEPTED, check: check::<T> }
}

fn check<T: TextValue>(text: &str) -> Option<String> {
    text.parse::<T>().err().map(|error| error.to_string())
}

fn check_header_value(text: &str) -> Option<String> {
    http::HeaderValue::from_str(text).err().map(|_| "not the value of a header field".to_owned())
}

/// A field that does not exist is left to `check_access_log`: it says which one was meant.
fn check_log_format(text: &str) -> Option<String> {
    match text.parse::<LogFormat>() {
        Ok(_) | Err(InvalidLogFormat::Field(_)) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// The row called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static FormatRow> {
    FORMATS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_alphabetical() {
        assert!(FORMATS.is_sorted_by_key(|row| row.name));
    }
}
