//! Which files a `[waf.NAME]` is made of, and how files of rules are read.
//!
//! Folders are looked into here, since a file that is added to one is a change of the config.

use super::{FilePath, Waf, WafMode};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use vanne_filters::waf::seclang::{DEPTH_MAX, Library, beside, expand, includes};

/// Ids of the rules that Vanne itself adds to those of files, which end below.
pub const ADDED_RULES: u64 = 4_000_000_000;
/// The longest rule file or list.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads from the file system, and notes what was there.
#[derive(Debug, Default)]
pub struct Disk {
    seen: RefCell<DefaultHasher>,
}

impl Disk {
    /// Notes a text that is loaded with what is read.
    pub fn note(&self, text: &str) {
        text.hash(&mut *self.seen.borrow_mut());
    }

    /// A number of all that was read and noted: the same for the same.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.seen.borrow().finish()
    }
}

impl Library for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        if read.map_err(|error| error.to_string())? as u64 > FILE_BYTES_MAX {
            return Err("is longer than 16 MiB".to_owned());
        }
        (path, &bytes).hash(&mut *self.seen.borrow_mut());
        Ok(bytes)
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.collect())
    }
}

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

/// Files whose change is a change of the rules: rule files, those that they include, and lists that
/// lie beside them. A path with a glob stands for what is in its folder.
#[must_use]
pub fn all(waf: &Waf) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    if waf.mode != WafMode::Off {
        for pattern in patterns(waf) {
            look_after(&text(&pattern), 0, &mut files);
        }
    }
    files.into_iter().collect()
}

/// Adds what `pattern` means and what lies beside it, and what these files include.
fn look_after(pattern: &str, depth: usize, files: &mut BTreeSet<PathBuf>) {
    let path = PathBuf::from(pattern);
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    if depth > DEPTH_MAX || !files.insert(path) {
        return;
    }
    let lists = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_list = |path: &PathBuf| path.extension().is_some_and(|end| end == "data");
    files.extend(lists.map(|entry| entry.path()).filter(is_list));
    let disk = Disk::default();
    for file in expand(pattern, &disk).unwrap_or_default() {
        // What cannot be read is looked after all the same.
        let included = disk.read(&file).map(|bytes| includes(&bytes)).unwrap_or_default();
        if file != pattern {
            files.insert(PathBuf::from(&file));
        }
        for pattern in included {
            look_after(&beside(&file, &pattern), depth + 1, files);
        }
    }
}

/// `path`, as rule files name it.
#[must_use]
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
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

    #[test]
    fn what_files_include_is_part_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("main.conf", "include more/*.rules\n# Include no.conf\nInclude \"gone.conf\"\n"),
            ("more/a.rules", "Include ../main.conf\nInclude \\\n  lists/b.conf\n"),
            ("more/a.txt", "Include no.conf\n"),
            ("more/lists/b.conf", "SecRule ARGS \"@pmFromFile b.data\" \"id:1\"\n"),
            ("more/lists/b.data", "x\n"),
        ] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), text).unwrap();
        }
        let waf = format!("{{\"rules\": [{:?}]}}", at("main.conf"));
        let files = all(&serde_json::from_str::<Waf>(&waf).unwrap());
        let wanted = [
            "gone.conf",
            "main.conf",
            "more/*.rules",
            "more/../main.conf",
            "more/a.rules",
            "more/lists/b.conf",
            "more/lists/b.data",
        ];
        for wanted in wanted.map(at) {
            assert!(files.contains(&wanted), "{wanted:?} in {files:?}");
        }
        assert!(!files.iter().any(|file| file.ends_with("no.conf") || file.ends_with("a.txt")));
    }
}
