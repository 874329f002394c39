//! Files of networks: one a line, with comments.

use crate::config::{Diagnostics, Network, Problem};
use crate::types::text::TextValue;
use ipnet::IpNet;
use std::path::{Path, PathBuf};

/// Networks of all files, at most.
pub(super) const NETWORKS_MAX: usize = 4_000_000;
/// The largest file that is read.
const BYTES_MAX: u64 = 256 << 20;
/// Lines that are wrong of which is told.
const TOLD_MAX: usize = 5;

/// The files that `pattern` finds now, in order; a plain name as it is.
///
/// # Errors
/// When it is no pattern.
pub(super) fn found(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let found = glob::glob(&text).map_err(|error| format!("is no pattern: {error}"))?;
    let mut files: Vec<PathBuf> = found.filter_map(Result::ok).filter(|f| !f.is_dir()).collect();
    files.sort();
    Ok(files)
}

/// The networks of the file at `path`, each with its line.
///
/// # Errors
/// What is wrong with it: its first lines that are no networks, each with a caret.
pub(super) fn read(path: &Path) -> Result<Vec<(IpNet, u32)>, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    // Reading a pipe would wait.
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(format!("expected a file of at most {BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    // A writer that was stopped leaves such a file.
    if bytes.is_empty() {
        return Err("is empty: expected networks, or at least a comment".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|error| format!("{}", error.utf8_error()))?;
    networks(path, text)
}

fn networks(path: &Path, text: String) -> Result<Vec<(IpNet, u32)>, String> {
    let (mut networks, mut problems) = (Vec::new(), Vec::new());
    let mut offset = 0;
    for (line, whole) in (1..).zip(text.split_inclusive('\n')) {
        let written = whole.split_once('#').map_or(whole, |(before, _)| before);
        let word = written.trim();
        let start = offset + written.len() - written.trim_start().len();
        offset += whole.len();
        match word.parse::<Network>() {
            _ if word.is_empty() => {}
            Ok(Network(network)) => networks.push((network, line)),
            Err(_) if problems.len() == TOLD_MAX => break,
            Err(_) => problems.push(
                Problem::new("", start..start + word.len(), "not a network")
                    .accepts(Network::ACCEPTED),
            ),
        }
    }
    if problems.is_empty() {
        networks.shrink_to_fit();
        return Ok(networks);
    }
    let file = path.display().to_string();
    Err(Diagnostics { file, text, problems, is_readable: true }.to_text(false).trim_end().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, u32)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, text).unwrap();
        let shown = |networks: Vec<(IpNet, u32)>| {
            networks.into_iter().map(|(network, line)| (network.to_string(), line)).collect()
        };
        read(&path).map(shown)
    }

    #[test]
    fn a_line_is_a_network_an_address_or_a_comment() {
        let text = "# all\n10.0.0.0/8 # one\r\n\n  192.0.2.1\n2001:db8::/32\n::ffff:192.0.2.9";
        let want = [("10.0.0.0/8", 2), ("192.0.2.1/32", 4), ("2001:db8::/32", 5)];
        let mut want = want.map(|(network, line)| (network.to_owned(), line)).to_vec();
        want.push(("192.0.2.9/32".to_owned(), 6));
        assert_eq!(read_text(text), Ok(want));
        assert_eq!(read_text("# nobody\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_line_that_is_none_is_shown_with_a_caret() {
        let why = read_text("10.0.0.1\n 10.0.0\n10.0.0.0/33\n").unwrap_err();
        for part in ["list.txt:2:2", "list.txt:3:1", " 10.0.0\n", "^^^^^^", "an IP address or a"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        let many = read_text(&"x\n".repeat(1000)).unwrap_err();
        assert_eq!(many.matches("not a network").count(), TOLD_MAX);
        assert!(read_text("").unwrap_err().contains("is empty"));
    }
}
