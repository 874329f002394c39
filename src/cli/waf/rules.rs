//! Rules as the command line names them, read and compiled.

use crate::config::rule_files::{self, ADDED_RULES, Disk, text};
use anyhow::{anyhow, ensure};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vanne_filters::waf::own::OWN_RULES;
use vanne_filters::waf::program::{About, Program};
use vanne_filters::waf::seclang::{Faults, Library, RuleSet, Source, load};

/// Where rules stand that the command line asks for.
const SAID: &str = "command line";

/// Whether rules refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// Nothing is refused; all rules are looked at.
    Detect,
    /// The first rule that refuses ends the request.
    Block,
}

/// Which rules.
#[derive(clap::Args, Debug)]
pub(super) struct Rules {
    /// A file of rules, or a glob such as 'waf/*.conf'. May be given more than once; read in order.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["crs", "own_rules"])]
    rules: Vec<String>,
    #[command(flatten)]
    crs: Crs,
}

/// Rule sets that are known: the Core Rule Set, and how strict it is, and our own.
#[derive(clap::Args, Debug)]
pub(super) struct Crs {
    /// The folder of the Core Rule Set: a checkout, or Debian's /usr/share/modsecurity-crs. Read
    /// before other rules.
    #[arg(long, value_name = "DIR")]
    pub(super) crs: Option<PathBuf>,
    /// The rules that are built in. Read before all others.
    #[arg(long)]
    own_rules: bool,
    /// The paranoia level of the Core Rule Set, 1 to 4.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(super) paranoia: Option<u8>,
}

/// What is read, in order.
#[derive(Clone, Debug)]
enum Part {
    File(String),
    /// A name and a text.
    Text(&'static str, String),
}

/// All rules, as sources.
#[derive(Debug)]
pub(super) struct Parts(Vec<Part>);

impl Rules {
    /// Reads and compiles the rules; `setup` is read after the setup of the Core Rule Set, if that
    /// is asked for.
    ///
    /// # Errors
    /// When there are none, or they cannot be used: all faults.
    pub(super) fn program(&self, mode: Mode, setup: &str) -> anyhow::Result<Arc<Program>> {
        let parts = self.crs.parts(&self.rules, Some(mode), setup)?;
        let unusable = |faults| anyhow!("the rules cannot be used\n{faults}");
        let set = parts.load(&Disk::default()).map_err(unusable)?;
        let program = Program::compile(&set).map_err(unusable)?;
        let is_added = |about: &About| about.id >= ADDED_RULES;
        ensure!(
            !program.rules().all(is_added),
            "no rules found: files of rules, or globs that match some"
        );
        Ok(Arc::new(program))
    }
}

impl Crs {
    /// What is to be read: the Core Rule Set, then `files`.
    ///
    /// # Errors
    /// When there is no Core Rule Set.
    pub(super) fn parts(
        &self,
        files: &[String],
        mode: Option<Mode>,
        setup: &str,
    ) -> anyhow::Result<Parts> {
        let mut parts = Vec::new();
        if let Some(folder) = &self.crs {
            parts.push(Part::File(text(&setup_of(folder)?)));
        }
        parts.push(Part::Text(SAID, self.directives(setup)));
        let own = OWN_RULES.iter().filter(|_| self.own_rules);
        parts.extend(own.map(|(name, text)| Part::Text(name, (*text).to_owned())));
        parts.extend(self.crs.iter().map(|folder| Part::File(text(&folder.join("rules/*.conf")))));
        parts.extend(files.iter().map(|file| Part::File(file.clone())));
        parts.extend(mode.map(|mode| match mode {
            Mode::Block => Part::Text(SAID, "SecRuleEngine On".to_owned()),
            Mode::Detect => Part::Text(SAID, "SecRuleEngine DetectionOnly".to_owned()),
        }));
        Ok(Parts(parts))
    }

    /// What the command line says to the rules, in their own words.
    fn directives(&self, setup: &str) -> String {
        let mut lines = String::new();
        if let Some(level) = self.paranoia {
            lines += &format!(
                "SecAction \"id:{ADDED_RULES},phase:1,pass,nolog,t:none,\
                 setvar:tx.blocking_paranoia_level={level}\"\n"
            );
        }
        if self.crs.is_some() {
            lines += "SecResponseBodyAccess On\n\
                      SecResponseBodyMimeType text/plain text/html text/xml application/json\n";
            lines += &vanne_filters::waf::body_processors(ADDED_RULES + 1);
            lines += setup;
        }
        lines
    }
}

impl Parts {
    /// Reads all by `library`.
    ///
    /// # Errors
    /// All faults.
    pub(super) fn load(&self, library: &dyn Library) -> Result<RuleSet, Faults> {
        let sources: Vec<Source<'_>> = self
            .0
            .iter()
            .map(|part| match part {
                Part::File(path) => Source::File(path),
                Part::Text(name, text) => Source::Text(name, text),
            })
            .collect();
        load(&sources, library)
    }
}

/// The setup file of the Core Rule Set in `folder`.
fn setup_of(folder: &Path) -> anyhow::Result<PathBuf> {
    rule_files::setup_of(folder).ok_or_else(|| {
        let folder = folder.display();
        anyhow!("{folder}: no Core Rule Set: crs-setup.conf or crs-setup.conf.example is missing")
    })
}
