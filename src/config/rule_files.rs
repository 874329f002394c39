//! Which files a `[waf.NAME]` is made of.
//!
//! Folders are looked into here, since a file that is added to one is a change of the config.
//! Files that rules only `Include` are read with them, but are not looked after.

use super::{FilePath, Waf, WafMode};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Rule files in the order in which they are read; a name in the last part of a path may have
/// `*` and `?` in it, and nothing was looked at yet.
#[must_use]
pub fn patterns(waf: &Waf) -> Vec<PathBuf> {
    let crs = waf.crs.iter().flat_map(|FilePath(folder)| {
        let setup = setup_of(folder);
        setup.into_iter().chain([folder.join("rules").join("*.conf")])
    });
    crs.chain(waf.rules.iter().map(|FilePath(path)| path.clone())).collect()
}

/// Where Debian's package has the setup file of its rules.
const DEBIAN_SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";

/// The setup file of the Core Rule Set in `folder`, if there is one.
#[must_use]
pub fn setup_of(folder: &Path) -> Option<PathBuf> {
    let is_debian = folder.ends_with("modsecurity-crs");
    ["crs-setup.conf", "crs-setup.conf.example", DEBIAN_SETUP]
        .map(|name| folder.join(name))
        .into_iter()
        .take(if is_debian { 3 } else { 2 })
        .find(|path| path.is_file())
}

/// What is in the folder of `path`, in order, if its name has a glob in it; else nothing.
#[must_use]
pub fn named_by(path: &Path) -> Vec<OsString> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains(['*', '?']) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(path.parent().unwrap_or(Path::new(".")));
    let mut names: Vec<_> =
        entries.into_iter().flatten().flatten().map(|it| it.file_name()).collect();
    names.sort();
    names
}

/// Files whose change is a change of the rules: rule files, and lists that lie beside them. A path
/// with a glob stands for what is in its folder.
#[must_use]
pub fn all(waf: &Waf) -> Vec<PathBuf> {
    if waf.mode == WafMode::Off {
        return Vec::new();
    }
    let mut files = Vec::new();
    for pattern in patterns(waf) {
        let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = pattern.parent().unwrap_or(Path::new("."));
        let is_glob = name.contains(['*', '?']);
        files.push(pattern.clone());
        let fits = |path: &PathBuf| {
            let extension = path.extension().unwrap_or_default();
            extension == "data" || (is_glob && extension == "conf")
        };
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        files.extend(entries.flatten().map(|entry| entry.path()).filter(fits));
    }
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_rule_set_are_setup_rules_and_lists_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("rules")).unwrap();
        for name in ["crs-setup.conf.example", "rules/a.conf", "rules/b.data", "rules/c.txt"] {
            std::fs::write(at(name), "").unwrap();
        }
        let waf = |text: &str| serde_json::from_str::<Waf>(text).unwrap();
        let crs = waf(&format!("{{\"crs\": {:?}}}", folder.path()));
        assert_eq!(patterns(&crs), [at("crs-setup.conf.example"), at("rules/*.conf")]);
        let files = all(&crs);
        let wanted = ["crs-setup.conf.example", "rules/*.conf", "rules/a.conf", "rules/b.data"];
        assert_eq!(files, wanted.map(at));
        assert_eq!(named_by(&at("rules/*.conf")), ["a.conf", "b.data", "c.txt"]);
        assert!(named_by(&at("rules/a.conf")).is_empty());
        std::fs::write(at("crs-setup.conf"), "").unwrap();
        assert_eq!(patterns(&crs)[0], at("crs-setup.conf"));
        let off = waf("{\"mode\": \"off\", \"rules\": [\"a.conf\"]}");
        assert_eq!(all(&off), Vec::<PathBuf>::new());
        assert_eq!(all(&waf("{\"rules\": [\"/none/a.conf\"]}")), [PathBuf::from("/none/a.conf")]);
    }
}
