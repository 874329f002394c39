//! Braces: texts with names in them, like `{client}`. Every kind of template in the config is
//! read here; which names there are is its own affair.

/// A part of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// This text.
    Text(Box<str>),
    /// A name, without its braces.
    Name(&'a str),
}

/// The parts of `text`, in order, none of them empty. `{{` is a single brace; what stands in
/// braces and is no name, as `is_name` says, stands for itself.
pub(super) fn parts(text: &str, is_name: fn(&str) -> bool) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('{') {
            plain.push('{');
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}').filter(|(name, _)| is_name(name)) else {
            plain.push('{');
            continue;
        };
        parts.push(Part::Text(std::mem::take(&mut plain).into()));
        parts.push(Part::Name(name));
        rest = after;
    }
    plain.push_str(rest);
    parts.push(Part::Text(plain.into()));
    parts.retain(|part| *part != Part::Text("".into()));
    parts
}
