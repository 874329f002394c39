//! Regression tests on disk: files of YAML, each in a folder that is its family.

use std::path::{Path, PathBuf};

use vanne_filters::waf::regression::{File, Stage, is_file_of_tests};

/// All stages below `folder`, in the order of paths.
pub(crate) fn stages(folder: &Path) -> Vec<Stage> {
    let mut paths = Vec::new();
    find(folder, &mut paths);
    paths.sort();
    paths.iter().flat_map(|path| stages_of(path)).collect()
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if is_file_of_tests(&path) {
            paths.push(path);
        }
    }
}

fn stages_of(path: &Path) -> Vec<Stage> {
    let text = std::fs::read_to_string(path).unwrap();
    if !text.lines().any(|line| line.starts_with("tests:")) {
        // A file that is all comments.
        return Vec::new();
    }
    let file: File =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let family = path.parent().and_then(Path::file_name).unwrap().to_string_lossy();
    let stages = file.stages(&family, &|body| serde_json::from_slice(body).ok());
    stages.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
