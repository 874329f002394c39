//! The head of a request, and what the variables say of it.

use std::net::IpAddr;

use super::body::Sink;
use super::state::State;
use super::strings::EMPTY;
use crate::waf::body::{self, Limits};
use crate::waf::program::Program;
use crate::waf::seclang::settings::Processor;
use crate::waf::seclang::variables::Variable;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// The head of a request, as it came: nothing decoded, nothing joined.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`
    pub method: &'a [u8],
    /// The target as the client sent it, with its query.
    pub uri: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
    /// Names and values in order, names in any case.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// Who asks.
    pub client: Endpoint,
    /// Who is asked.
    pub server: Endpoint,
    /// The name the request is for: Host or `:authority`, without its port.
    pub server_name: &'a [u8],
    /// An id that no other request has.
    pub unique_id: &'a [u8],
    /// Seconds since 1970, UTC.
    pub epoch_seconds: u64,
}

impl State {
    /// Fills the variables of phase 1.
    pub(crate) fn load_request(&mut self, program: &Program, request: &Request<'_>) {
        self.load_line(program, request);
        self.load_connection(program, request);
        self.load_defaults(program);
        for (name, value) in request.fields {
            self.load_field(program, name, value);
        }
        self.load_query(program, request.uri);
        if program.uses_time() {
            self.load_time(program, request.epoch_seconds);
        }
    }

    fn load_line(&mut self, program: &Program, request: &Request<'_>) {
        self.set(program, Variable::RequestMethod, request.method);
        self.set(program, Variable::RequestProtocol, request.protocol);
        self.set(program, Variable::RequestUriRaw, request.uri);
        if program.uses(Variable::RequestLine) {
            let mut line = std::mem::take(&mut self.text);
            line.clear();
            line.extend_from_slice(request.method);
            for part in [request.uri, request.protocol] {
                line.push(b' ');
                line.extend_from_slice(part);
            }
            self.set(program, Variable::RequestLine, &line);
            self.text = line;
        }
        let uri = request.uri.split(|byte| *byte == b'#').next().unwrap_or_default();
        self.set(program, Variable::RequestUri, origin_form(uri));
        let mut path = std::mem::take(&mut self.out);
        path.clear();
        let (encoded, query) = path_and_query(uri);
        percent_decode(encoded, &mut path);
        self.set(program, Variable::RequestFilename, &path);
        self.set(program, Variable::PathInfo, &path);
        self.set(program, Variable::RequestBasename, basename(&path));
        self.out = path;
        self.set(program, Variable::QueryString, query);
        let is_broken = uri.is_empty()
            || uri.iter().any(|byte| *byte < 0x20 || *byte == 0x7f)
            || has_broken_escape(encoded);
        self.set(program, Variable::UriParseError, if is_broken { b"1" } else { b"0" });
    }

    fn load_connection(&mut self, program: &Program, request: &Request<'_>) {
        for (variable, address) in [
            (Variable::RemoteAddr, request.client.address),
            (Variable::RemoteHost, request.client.address),
            (Variable::ServerAddr, request.server.address),
        ] {
            if program.uses(variable) {
                let mut text = address_text(address);
                let length = text.length;
                self.set(program, variable, text.bytes.get_mut(..length).unwrap_or_default());
            }
        }
        self.set_number(program, Variable::RemotePort, i64::from(request.client.port));
        self.set_number(program, Variable::ServerPort, i64::from(request.server.port));
        self.set(program, Variable::ServerName, request.server_name);
        self.set(program, Variable::UniqueId, request.unique_id);
    }

    /// Variables that are there before anything was read.
    fn load_defaults(&mut self, program: &Program) {
        for variable in [
            Variable::ArgumentsLimitReached,
            Variable::Duration,
            Variable::FilesCombinedSize,
            Variable::InboundDataError,
            Variable::MultipartBoundaryQuoted,
            Variable::MultipartBoundaryWhitespace,
            Variable::MultipartDataAfter,
            Variable::MultipartDataBefore,
            Variable::MultipartFileLimitExceeded,
            Variable::MultipartHeaderFolding,
            Variable::MultipartInvalidHeaderFolding,
            Variable::MultipartInvalidPart,
            Variable::MultipartInvalidQuoting,
            Variable::MultipartLfLine,
            Variable::MultipartMissingSemicolon,
            Variable::MultipartStrictError,
            Variable::MultipartUnmatchedBoundary,
            Variable::OutboundDataError,
            Variable::ReqbodyError,
            Variable::ReqbodyProcessorError,
            Variable::RequestBodyLength,
            Variable::UrlencodedError,
        ] {
            self.set(program, variable, b"0");
        }
        self.set(program, Variable::ReqbodyProcessor, b"");
        self.set(program, Variable::HighestSeverity, b"255");
    }

    fn load_field(&mut self, program: &Program, name: &[u8], value: &[u8]) {
        let key = self.strings.intern(name);
        let id = self.strings.intern(value);
        self.values.push(Variable::RequestHeaders, key, id);
        self.values.push(Variable::RequestHeadersNames, key, key);
        if name.eq_ignore_ascii_case(b"cookie") {
            self.load_cookies(value);
        } else if name.eq_ignore_ascii_case(b"content-type")
            && self.values.of(Variable::ReqbodyProcessor).first().is_some_and(|f| f.value == EMPTY)
        {
            let is = |kind: &[u8]| {
                value
                    .trim_ascii_start()
                    .get(..kind.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(kind))
            };
            if is(b"application/x-www-form-urlencoded") {
                self.set(
                    program,
                    Variable::ReqbodyProcessor,
                    Processor::Urlencoded.name().as_bytes(),
                );
            } else if is(b"multipart/form-data") {
                self.set(
                    program,
                    Variable::ReqbodyProcessor,
                    Processor::Multipart.name().as_bytes(),
                );
            }
        }
    }

    /// Pairs between `;`; a name alone has an empty value (RFC 6265, section 5.4, read loosely).
    fn load_cookies(&mut self, header: &[u8]) {
        for pair in header.split(|byte| *byte == b';') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = trim(parts.next().unwrap_or_default());
            let value = trim(parts.next().unwrap_or_default());
            if name.is_empty() && value.is_empty() {
                continue;
            }
            let key = self.strings.intern(name);
            let id = self.strings.intern(value);
            self.values.push(Variable::RequestCookies, key, id);
            self.values.push(Variable::RequestCookiesNames, key, key);
        }
    }

    fn load_query(&mut self, program: &Program, uri: &[u8]) {
        let uri = uri.split(|byte| *byte == b'#').next().unwrap_or_default();
        let (_, query) = path_and_query(uri);
        let limits = Limits { arguments: program.settings.arguments_max, ..Limits::default() };
        let separator = program.settings.argument_separator;
        let mut sink = Sink::new(self, program, Variable::ArgsGet, Variable::ArgsGetNames);
        let is_whole = body::urlencoded(query, separator, limits, &mut sink).is_ok();
        sink.finish();
        if !is_whole {
            self.set(program, Variable::ArgumentsLimitReached, b"1");
        }
    }

    fn load_time(&mut self, program: &Program, epoch: u64) {
        let (days, seconds) = ((epoch / 86_400) as i64, (epoch % 86_400) as i64);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        for (variable, number) in [
            (Variable::TimeEpoch, epoch as i64),
            (Variable::TimeYear, year),
            (Variable::TimeMon, month - 1),
            (Variable::TimeDay, day),
            (Variable::TimeWday, (days + 4).rem_euclid(7)),
            (Variable::TimeHour, hour),
            (Variable::TimeMin, minute),
            (Variable::TimeSec, second),
        ] {
            self.set_number(program, variable, number);
        }
        self.set(program, Variable::Time, format!("{hour:02}:{minute:02}:{second:02}").as_bytes());
    }
}

/// Year, month (1..=12) and day of a day since 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

struct AddressText {
    bytes: [u8; 48],
    length: usize,
}

impl std::fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let to = self.length + text.len();
        let place = self.bytes.get_mut(self.length..to).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = to;
        Ok(())
    }
}

fn address_text(address: IpAddr) -> AddressText {
    let mut text = AddressText { bytes: [0; 48], length: 0 };
    let is_whole = std::fmt::Write::write_fmt(&mut text, format_args!("{address}")).is_ok();
    debug_assert!(is_whole, "an address fits 48 bytes");
    text
}

/// White space and control bytes at both ends do not belong to a cookie.
fn trim(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let from = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let to = text.iter().rposition(|byte| !is_space(byte)).map_or(from, |last| last + 1);
    text.get(from..to).unwrap_or_default()
}

/// The target without scheme and authority.
fn origin_form(uri: &[u8]) -> &[u8] {
    let Some(colon) = uri.iter().position(|byte| *byte == b':') else { return uri };
    let (scheme, rest) = uri.split_at(colon);
    let is_scheme = !scheme.is_empty() && scheme.iter().all(u8::is_ascii_alphanumeric);
    match rest.strip_prefix(b"://") {
        Some(rest) if is_scheme => {
            let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            path.and_then(|at| rest.get(at..)).unwrap_or_default()
        }
        _ => uri,
    }
}

fn path_and_query(uri: &[u8]) -> (&[u8], &[u8]) {
    let uri = origin_form(uri);
    match memchr::memchr(b'?', uri) {
        Some(at) => (uri.get(..at).unwrap_or_default(), uri.get(at + 1..).unwrap_or_default()),
        None => (uri, b""),
    }
}

fn basename(path: &[u8]) -> &[u8] {
    match memchr::memrchr2(b'/', b'\\', path) {
        Some(at) if at + 1 < path.len() => path.get(at + 1..).unwrap_or_default(),
        _ => path,
    }
}

fn escape_at(rest: &[u8]) -> Option<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (high, low) = (digit(rest.get(1))?, digit(rest.get(2))?);
    Some((high * 16 + low) as u8)
}

fn has_broken_escape(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path)
        .any(|at| escape_at(path.get(at..).unwrap_or_default()).is_none())
}

/// Appends `path` with `%hh` resolved; what begins no escape stays.
fn percent_decode(path: &[u8], out: &mut Vec<u8>) {
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, length) = escape_at(escape).map_or((b'%', 1), |byte| (byte, 3));
        out.push(byte);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let cases: &[(&str, &str, &str)] = &[
            ("/a%20b?c=d", "/a%20b", "c=d"),
            ("http://h:80/p?q", "/p", "q"),
            ("http://h?q", "", "q"),
            ("*", "*", ""),
            ("/x:y://z", "/x:y://z", ""),
        ];
        for (uri, path, query) in cases {
            let found = path_and_query(uri.as_bytes());
            assert_eq!(found, (path.as_bytes(), query.as_bytes()), "{uri}");
        }
        assert_eq!(basename(b"/a/b.c"), b"b.c");
        assert_eq!(basename(b"/a/"), b"/a/");
        let mut out = Vec::new();
        percent_decode(b"/%41%zz%4", &mut out);
        assert_eq!(out, b"/A%zz%4");
    }

    #[test]
    fn days_have_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_779), (2026, 11, 22));
    }
}
