//! Backends that stand in a file of their own, one a line.
//!
//! The file is watched however it is replaced, and looked at now and then besides, where no
//! event tells. A file with one line that is wrong is wrong as a whole: half a list would be
//! another list. So is one without any backend: a writer that was stopped half way leaves such
//! a file, too.

use super::{FOUND_MAX, Found, Last, Origin, Outlet, Shared, in_order};
use crate::config::BackendEntry;
use crate::control::watch::Watch;
use crate::types::clock;
use crate::types::text::TextValue;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// How often the file is looked at where no event tells.
const LOOK: Duration = Duration::from_secs(10);
/// The largest file that is read.
const BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(origin: &Origin, to: Outlet, _: &Shared) -> Option<BoxFuture<'static, ()>> {
    let path = origin.backends_file.clone()?;
    Some(Box::pin(read_again_and_again(path, to)))
}

async fn read_again_and_again(path: PathBuf, to: Outlet) {
    let mut watch = Watch::new();
    let mut last = Last::default();
    loop {
        watch.over(std::slice::from_ref(&path));
        let (backends, fault) = match read(&path) {
            Ok(backends) => (backends, None),
            Err(why) => (last.backends(), Some(why)),
        };
        if let Some(update) = last.next(backends, fault, clock::now())
            && !to.push(update).await
        {
            return;
        }
        // Late is as good as told.
        drop(timeout(LOOK, watch.changed()).await);
    }
}

/// The backends in the file at `path`, by address.
///
/// # Errors
/// What is wrong, with the place and what would be accepted.
pub fn read(path: &Path) -> Result<Vec<Found>, String> {
    let shown = path.display();
    let unread = |why: String| format!("{shown}: cannot be read: {why}");
    let about = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?;
    // Reading a pipe would wait.
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(unread(format!("expected a file of at most {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
    parse(&text).map_err(|(line, why)| match line {
        0 => format!("{shown}: {why}"),
        line => format!("{shown}:{line}: {why}"),
    })
}

/// The backends in `text`, or the first line that is wrong and why; line 0 is all of it.
fn parse(text: &str) -> Result<Vec<Found>, (usize, String)> {
    let mut lines: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    let mut list = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let entry = line.parse::<BackendEntry>();
        let entry = entry.map_err(|error| (number, error.to_string()))?;
        let address = entry.address;
        if let Some(first) = lines.insert(address, number) {
            let why = format!("{address} is on line {first}, too: expected each once");
            return Err((number, why));
        }
        list.push(entry.into());
    }
    match list.len() {
        0 => Err((0, format!("holds no backend: expected lines, each {}", BackendEntry::ACCEPTED))),
        count if count > FOUND_MAX => {
            Err((0, format!("holds {count} backends: expected at most {FOUND_MAX}")))
        }
        _ => Ok(in_order(list)),
    }
}

impl From<BackendEntry> for Found {
    fn from(entry: BackendEntry) -> Self {
        Self {
            weight: Some(entry.weight),
            max_requests: entry.max_requests,
            is_backup: entry.is_backup,
            ..Self::at(entry.address)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::discovery::{Pushed, Source, State, Update, start};
    use std::os::unix::fs::symlink;
    use tokio::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_file_is_lines_of_backends() {
        let text =
            "# all\n10.0.0.2:80 weight=0 backup # b\n\n  10.0.0.1:80\t\n[::1]:80 max_requests=7";
        let list = parse(text).unwrap();
        let shown: Vec<_> = list
            .iter()
            .map(|one| (one.address.to_string(), one.weight, one.max_requests, one.is_backup))
            .collect();
        let want = [
            ("10.0.0.1:80".into(), Some(1), None, false),
            ("10.0.0.2:80".into(), Some(0), None, true),
            ("[::1]:80".into(), Some(1), Some(7), false),
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, line, why) in [
            ("", 0, "holds no backend"),
            ("# none\n\n", 0, "holds no backend"),
            ("10.0.0.1:80\nlocalhost:80", 2, "`localhost:80` is not an address: expected an IP"),
            ("10.0.0.1", 1, "`10.0.0.1` is not an address"),
            ("10.0.0.1:0", 1, "`10.0.0.1:0` is not an address"),
            ("10.0.0.1:80 weight=1001", 1, "`weight=1001` is not known here: expected weight=0"),
            ("10.0.0.1:80 Backup", 1, "`Backup` is not known here"),
            ("10.0.0.1:80\n\n10.0.0.1:80 backup", 3, "10.0.0.1:80 is on line 1, too"),
        ] {
            let (at, said) = parse(text).unwrap_err();
            assert!(at == line && said.starts_with(why), "{text}: {at}: {said}");
        }
        let many: String =
            (0..=FOUND_MAX).map(|n| format!("10.0.{}.{}:80\n", n / 256, n % 256)).collect();
        assert!(parse(&many).unwrap_err().1.starts_with("holds 10001 backends"));
    }

    fn follow(path: &Path) -> (Vec<Source>, mpsc::Receiver<Pushed>) {
        let origin = Origin { backends_file: Some(path.to_owned()), ..Origin::default() };
        let (to, pushed) = mpsc::channel(1);
        (start(&origin, &to, &Shared::default()), pushed)
    }

    async fn next(pushed: &mut mpsc::Receiver<Pushed>) -> (Vec<String>, Option<String>) {
        let next = timeout(PATIENCE, pushed.recv()).await.expect("nothing is pushed").unwrap();
        let Update { backends, state, .. } = next.update;
        let reason = match state {
            State::Fresh => None,
            State::Stale { reason, .. } => Some(reason),
        };
        (backends.iter().map(|one| one.address.to_string()).collect(), reason)
    }

    #[tokio::test]
    async fn a_change_is_pushed_and_what_is_wrong_keeps_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backends.txt");
        let (_sources, mut pushed) = follow(&path);
        let (list, reason) = next(&mut pushed).await;
        assert!(list.is_empty() && reason.unwrap().contains("cannot be read: No such file"));
        std::fs::write(&path, "10.0.0.1:80\n").unwrap();
        assert_eq!(next(&mut pushed).await, (vec!["10.0.0.1:80".into()], None));
        std::fs::write(&path, "10.0.0.1:80\n10.0.0.2\n").unwrap();
        let (list, reason) = next(&mut pushed).await;
        let place = format!("{}:2: `10.0.0.2` is not an address", path.display());
        assert_eq!(list, ["10.0.0.1:80"]);
        assert!(reason.as_ref().unwrap().starts_with(&place), "{reason:?}");
        std::fs::write(&path, "").unwrap();
        let (list, reason) = next(&mut pushed).await;
        assert_eq!(list, ["10.0.0.1:80"]);
        assert!(reason.unwrap().contains("holds no backend"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(next(&mut pushed).await.0, ["10.0.0.1:80"]);
        std::fs::write(&path, "10.0.0.3:80\n").unwrap();
        assert_eq!(next(&mut pushed).await, (vec!["10.0.0.3:80".into()], None));
    }

    #[tokio::test]
    async fn a_link_that_is_swapped_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "10.0.0.1:80"), ("v2", "10.0.0.2:80")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("backends"), text).unwrap();
        }
        // As Kubernetes mounts a ConfigMap.
        symlink("v1", at("..data")).unwrap();
        symlink("..data/backends", at("backends")).unwrap();
        let (_sources, mut pushed) = follow(&at("backends"));
        assert_eq!(next(&mut pushed).await, (vec!["10.0.0.1:80".into()], None));
        symlink("v2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        assert_eq!(next(&mut pushed).await, (vec!["10.0.0.2:80".into()], None));
    }
}
