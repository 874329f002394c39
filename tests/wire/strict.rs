//! A strict reader of HTTP/1.1: RFC 9112 to the letter, and what is doubtful is an error.
//!
//! Independent of what is tested: it shares no code and no constants with `src/wire/`. It reads
//! from a buffer that grows, from the beginning each time, which is slow and simple.

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The first line.
    pub(crate) line: String,
    /// Names in lower case and values without the white space around them.
    pub(crate) fields: Vec<(String, String)>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) is_whole: bool,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// What was read and how long it is; `None` when more is needed; or why it cannot be read.
pub(crate) type Read<T> = Result<Option<(T, usize)>, String>;

impl Head {
    /// The values of all fields of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether one of the fields of this name lists `word`.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        let words = self.all(name).flat_map(|value| value.split(','));
        words.map(str::trim).any(|one| one.eq_ignore_ascii_case(word))
    }

    /// The status in a status line.
    pub(crate) fn status(&self) -> u16 {
        self.line.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    fn is_http_10(&self) -> bool {
        self.line.starts_with("HTTP/1.0") || self.line.ends_with("HTTP/1.0")
    }
}

/// The head of a request and how its body is framed.
pub(crate) fn request_head(bytes: &[u8]) -> Read<(Head, Framing)> {
    let Some((head, length)) = head(bytes, request_line)? else { return Ok(None) };
    host(&head)?;
    let framing = framing(&head)?.unwrap_or(Framing::Length(0));
    Ok(Some(((head, framing), length)))
}

/// The head of an answer to a request of this method and how its body is framed.
pub(crate) fn answer_head(bytes: &[u8], method: &str) -> Read<(Head, Framing)> {
    let Some((head, length)) = head(bytes, status_line)? else { return Ok(None) };
    let said = framing(&head)?;
    let status = head.status();
    if (status < 200 || status == 204) && said.is_some_and(|said| said != Framing::Length(0)) {
        return Err(format!("{status} with a framed body"));
    }
    let framing = match status {
        100..=199 | 204 | 304 => Framing::Length(0),
        _ if method == "HEAD" => Framing::Length(0),
        _ => said.unwrap_or(Framing::UntilEnd),
    };
    Ok(Some(((head, framing), length)))
}

/// A body of this framing. One that lasts until the end is never whole here.
pub(crate) fn body(bytes: &[u8], framing: Framing) -> Read<Vec<u8>> {
    match framing {
        Framing::Length(length) => Ok(bytes.get(..length).map(|body| (body.to_vec(), length))),
        Framing::Chunked => chunks(bytes),
        Framing::UntilEnd => Ok(None),
    }
}

/// The line that begins at `at`, without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Read<&[u8]> {
    let rest = &bytes[at..];
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let Some(line) = rest[..end].strip_suffix(b"\r") else { return Err("a bare LF".into()) };
    if line.contains(&b'\r') {
        return Err("a bare CR".into());
    }
    Ok(Some((line, at + end + 1)))
}

fn head(bytes: &[u8], first_line: fn(&str) -> Result<(), String>) -> Read<Head> {
    let Some((first, mut at)) = line(bytes, 0)? else { return Ok(None) };
    let first = String::from_utf8_lossy(first).into_owned();
    first_line(&first)?;
    let mut fields = Vec::new();
    loop {
        let Some((line, next)) = line(bytes, at)? else { return Ok(None) };
        at = next;
        if line.is_empty() {
            return Ok(Some((Head { line: first, fields }, at)));
        }
        fields.push(field(line)?);
    }
}

fn request_line(line: &str) -> Result<(), String> {
    let words: Vec<_> = line.split(' ').collect();
    let &[method, target, version] = &words[..] else {
        return Err(format!("no request line: {line:?}"));
    };
    let is_target = target.starts_with('/')
        || target.starts_with("http://")
        || target.starts_with("https://")
        || (method == "OPTIONS" && target == "*")
        || method == "CONNECT";
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(format!("no method: {method:?}"));
    }
    if !is_target || target.bytes().any(|byte| byte < 0x21 || byte == 0x7f) {
        return Err(format!("no target: {target:?}"));
    }
    match version {
        "HTTP/1.1" | "HTTP/1.0" => Ok(()),
        _ => Err(format!("no version: {version:?}")),
    }
}

fn status_line(line: &str) -> Result<(), String> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let (status, reason) = rest
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(|| format!("no status line: {line:?}"))?;
    let is_status = status.len() == 3
        && status.bytes().all(|byte| byte.is_ascii_digit())
        && !status.starts_with('0');
    if !is_status || !reason.bytes().all(is_text) {
        return Err(format!("no status: {line:?}"));
    }
    Ok(())
}

fn field(line: &[u8]) -> Result<(String, String), String> {
    let shown = || String::from_utf8_lossy(line).into_owned();
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(format!("a folded line: {:?}", shown()));
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or_else(|| format!("no field: {:?}", shown()))?);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(format!("no name: {:?}", shown()));
    }
    if !value.iter().copied().all(is_text) {
        return Err(format!("a control in a value: {:?}", shown()));
    }
    let value = String::from_utf8_lossy(&value[1..]);
    let value = value.trim_matches([' ', '\t']).to_owned();
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

/// What the fields say of the body's framing, in one way only.
fn framing(head: &Head) -> Result<Option<Framing>, String> {
    let lengths: Vec<_> = head.all("content-length").collect();
    let codings: Vec<_> = head.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([length], []) => {
            let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let number = length.parse().ok().filter(|_| is_number);
            let number = number.ok_or_else(|| format!("content-length {length:?}"))?;
            Ok(Some(Framing::Length(number)))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && !head.is_http_10() => {
            Ok(Some(Framing::Chunked))
        }
        _ => Err(format!("content-length {lengths:?} and transfer-encoding {codings:?}")),
    }
}

/// One host, which is a host, and the same as in the target if that names one.
fn host(head: &Head) -> Result<(), String> {
    let hosts: Vec<_> = head.all("host").collect();
    let host = match &hosts[..] {
        [host] => *host,
        [] if head.is_http_10() => return Ok(()),
        _ => return Err(format!("hosts {hosts:?}")),
    };
    let is_host_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte);
    if !host.bytes().all(is_host_byte) {
        return Err(format!("host {host:?}"));
    }
    let target = head.line.split(' ').nth(1).unwrap_or_default();
    let absolute = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let named = absolute.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match named {
        Some(named) if !named.eq_ignore_ascii_case(host) => {
            Err(format!("target {target:?} and host {host:?}"))
        }
        _ => Ok(()),
    }
}

fn chunks(bytes: &[u8]) -> Read<Vec<u8>> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let Some((size, next)) = line(bytes, at)? else { return Ok(None) };
        at = next;
        let length = chunk_length(size)?;
        if length == 0 {
            return Ok(trailers(bytes, at)?.map(|end| (body, end)));
        }
        let end = at.checked_add(length).ok_or("a chunk beyond all bounds")?;
        let Some(chunk) = bytes.get(at..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err("a chunk that does not end where it says".into()),
            None => return Ok(None),
        }
    }
}

/// `SIZE [;extensions]`, and no white space before the semicolon.
fn chunk_length(line: &[u8]) -> Result<usize, String> {
    let mut parts = line.splitn(2, |byte| *byte == b';');
    let digits = parts.next().unwrap_or_default();
    let extension = parts.next().unwrap_or_default();
    let is_size = (1..=16).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = String::from_utf8_lossy(line);
    let length = usize::from_str_radix(&String::from_utf8_lossy(digits), 16).ok();
    if !extension.iter().copied().all(is_text) {
        return Err(format!("a control in a chunk extension: {text:?}"));
    }
    length.filter(|_| is_size).ok_or_else(|| format!("a chunk's size: {text:?}"))
}

/// Where the trailers that begin at `at` end.
fn trailers(bytes: &[u8], mut at: usize) -> Result<Option<usize>, String> {
    loop {
        let Some((line, next)) = line(bytes, at)? else { return Ok(None) };
        at = next;
        if line.is_empty() {
            return Ok(Some(at));
        }
        let (name, _) = field(line)?;
        if ["content-length", "transfer-encoding", "host"].contains(&name.as_str()) {
            return Err(format!("{name} in a trailer"));
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// No control but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Read<Vec<u8>> {
        let Some(((_, framing), length)) = request_head(text.as_bytes())? else { return Ok(None) };
        let read = body(&text.as_bytes()[length..], framing)?;
        Ok(read.map(|(body, more)| (body, length + more)))
    }

    #[test]
    fn a_message_ends_where_it_ends() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        for (rest, whole) in [
            ("\r\nGET", ""),
            ("Content-Length: 3\r\n\r\nabcGET", "abc"),
            (
                "Transfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\nGET",
                "abc",
            ),
        ] {
            let text = format!("{head}{rest}");
            let end = text.len() - "GET".len();
            assert_eq!(request(&text), Ok(Some((whole.into(), end))), "{rest}");
            for cut in 0..end {
                assert_eq!(request(&text[..cut]), Ok(None), "{rest} to {cut}");
            }
        }
    }

    #[test]
    fn what_is_doubtful_is_an_error() {
        for text in [
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(request(text).is_err(), "{text:?}");
        }
        for fields in [
            "A : b\r\n",
            "A: b\r\n c\r\n",
            "A: \0\r\n",
            "A: b\rc\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
        ] {
            assert!(
                request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).is_err(),
                "{fields}"
            );
        }
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            "1 \r\n",
            "0x1\r\n",
            "\r\n",
            "1;a\nb\r\n",
            "1\r\nab\r\n",
            "0\r\nContent-Length: 1\r\n\r\n",
        ] {
            assert!(request(&format!("{head}{body}")).is_err(), "{body:?}");
        }
    }

    #[test]
    fn answers_have_bodies_by_status_and_method() {
        let framing =
            |text: &str, method| answer_head(text.as_bytes(), method).map(|read| read.unwrap().0.1);
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(framing(ok, "GET"), Ok(Framing::Length(3)));
        assert_eq!(framing(ok, "HEAD"), Ok(Framing::Length(0)));
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n", "GET"), Ok(Framing::UntilEnd));
        assert_eq!(framing("HTTP/1.1 304 \r\n\r\n", "GET"), Ok(Framing::Length(0)));
        assert!(framing("HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n", "GET").is_err());
        assert!(framing("HTTP/1.1 2000 OK\r\n\r\n", "GET").is_err());
        assert!(framing("HTTP/1.1 200\r\n\r\n", "GET").is_err());
    }
}
