//! Where rule files come from: the caller reads, so that this crate does not.

/// Reads files and lists directories for the loader.
pub trait Library {
    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// The names (not paths) of the files in `directory`, in any order.
    ///
    /// # Errors
    /// Why it cannot be listed, in words.
    fn list(&self, directory: &str) -> Result<Vec<String>, String>;
}

/// A library without files: for rules that are given whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Library for NoFiles {
    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Err("no files can be read here".into())
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Err("no files can be read here".into())
    }
}

/// `name` beside the file `base`; absolute paths stay as they are.
#[must_use]
pub fn beside(base: &str, name: &str) -> String {
    match base.rsplit_once('/') {
        _ if name.starts_with('/') => name.to_owned(),
        Some((directory, _)) => format!("{directory}/{name}"),
        None => name.to_owned(),
    }
}

/// The paths that `pattern` means: itself, or all files whose name matches its last part, in order.
///
/// # Errors
/// When more than the last part is a glob, or what is in the folder cannot be known.
pub fn expand(pattern: &str, library: &dyn Library) -> Result<Vec<String>, String> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let (directory, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    if directory.contains(['*', '?', '[']) || name.contains('[') {
        return Err("only `*` and `?` in the file's name are supported".into());
    }
    let mut names = library.list(directory)?;
    names.retain(|known| matches(name.as_bytes(), known.as_bytes()));
    names.sort();
    let prefix = pattern.strip_suffix(name).unwrap_or_default();
    Ok(names.into_iter().map(|known| format!("{prefix}{known}")).collect())
}

/// Whether `name` fits `pattern`, where `*` is any run and `?` any byte.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == name.get(n) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_file_names() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.example", false),
            ("R*-9?0-*.conf", "RESPONSE-950-X.conf", true),
            ("a?", "a", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        assert_eq!(beside("/etc/crs/a.conf", "b.data"), "/etc/crs/b.data");
        assert_eq!(beside("a.conf", "b.data"), "b.data");
        assert_eq!(beside("/etc/a.conf", "/b"), "/b");
    }
}
