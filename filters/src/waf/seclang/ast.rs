//! What the rule files say, parsed: rules in order, markers, settings. Nothing is compiled yet.

use std::sync::Arc;

use super::fault::{Note, Place};
use super::pattern::Pattern;
use super::settings::Settings;
use super::template::Template;
use super::variables::Variable;
use crate::waf::operator::{Addresses, ByteRange};
use crate::waf::transform::Transform;

/// All rules of some files, in order.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Rules and markers in the order in which they are evaluated.
    pub items: Vec<Item>,
    /// What the directives that are no rules say.
    pub settings: Settings,
    /// What was accepted without effect here.
    pub notes: Vec<Note>,
}

/// One thing in the order of evaluation.
#[derive(Clone, Debug)]
pub enum Item {
    /// `SecRule` with its chain, or `SecAction`.
    Rule(Box<Rule>),
    /// `SecMarker`
    Marker(String),
}

/// A rule: one link, or several that are chained.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id, unique.
    pub id: u64,
    /// When it runs: 1..=5.
    pub phase: u8,
    /// `tag` actions, in order.
    pub tags: Vec<String>,
    /// `ver`
    pub version: String,
    /// `rev`
    pub revision: String,
    /// `maturity`
    pub maturity: u8,
    /// `accuracy`
    pub accuracy: u8,
    /// `severity`: 0 (emergency) ..= 7 (debug).
    pub severity: Option<u8>,
    /// What a match does to the transaction.
    pub disruption: Disruption,
    /// `status`, or what the default action says.
    pub status: u16,
    /// Whether a match is logged.
    pub is_logged: bool,
    /// Whether a match is written to the audit log.
    pub is_audited: bool,
    /// Where evaluation goes on after a match.
    pub flow: Flow,
    /// The rule itself and the rules that are chained to it; never empty.
    pub links: Vec<Link>,
    /// Where it begins.
    pub place: Place,
}

impl Rule {
    /// The message of the first link that has one, with its macros.
    #[must_use]
    pub fn message(&self) -> Option<&Template> {
        self.links.iter().find_map(|link| link.message.as_ref())
    }
}

/// What a matching rule does to the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruption {
    /// `pass`
    Pass,
    /// `block`, until the default action replaces it.
    Block,
    /// `deny`
    Deny,
    /// `drop`
    Drop,
    /// `redirect:URL`
    Redirect(Template),
    /// `allow`: no more rules at all.
    Allow,
    /// `allow:phase`
    AllowPhase,
    /// `allow:request`
    AllowRequest,
}

impl Disruption {
    /// The action's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Block => "block",
            Self::Deny => "deny",
            Self::Drop => "drop",
            Self::Redirect(_) => "redirect",
            Self::Allow | Self::AllowPhase | Self::AllowRequest => "allow",
        }
    }
}

/// Where evaluation goes on after a match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// With the next rule.
    #[default]
    Next,
    /// `skip:N`: after the next N rules of the phase.
    Skip(u32),
    /// `skipAfter:MARKER`
    SkipAfter(String),
}

/// One condition with what it does when it holds.
#[derive(Clone, Debug)]
pub struct Link {
    /// What is looked at; empty for `SecAction`.
    pub targets: Vec<Target>,
    /// How; `None` for `SecAction`.
    pub operator: Option<Operator>,
    /// `t:` in order, after `t:none`.
    pub transforms: Vec<Transform>,
    /// `capture`
    pub is_capturing: bool,
    /// `multiMatch`
    pub is_multi_match: bool,
    /// `setvar`, `ctl` … in order.
    pub effects: Vec<Effect>,
    /// `msg`
    pub message: Option<Template>,
    /// `logdata`
    pub log_data: Option<Template>,
    /// Where it begins.
    pub place: Place,
}

/// Part of what a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The variable.
    pub variable: Variable,
    /// Which of its values.
    pub selector: Selector,
    /// `&`: how many, instead of the values.
    pub is_count: bool,
    /// `!`: values that are left out.
    pub exclusions: Vec<Selector>,
}

/// Which values of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// All.
    All,
    /// Those with this name; lower case where the collection ignores case.
    Name(String),
    /// Those whose name matches.
    Pattern(String),
}

/// `@name parameter`, possibly negated.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Whether `!` stands before it.
    pub is_negated: bool,
    /// What it tests.
    pub test: Test,
    /// Its name, as ModSecurity's logs have it.
    pub name: String,
    /// Its parameter, as logs show it: the beginning of what is written.
    pub parameter: String,
    /// Where it stands.
    pub place: Place,
}

/// What an operator tests. Parameters are parsed; patterns and phrases are compiled later.
#[derive(Clone, Debug)]
pub enum Test {
    /// `@rx`
    Pattern(Arc<Pattern>),
    /// `@pm`, `@pmFromFile`
    Phrases(Arc<[Vec<u8>]>),
    /// `@eq` …
    Compare(Comparison, Template),
    /// `@contains` …
    Text(TextTest, Template),
    /// `@validateByteRange`
    ByteRange(Arc<ByteRange>),
    /// `@ipMatch`, `@ipMatchFromFile`
    Addresses(Arc<Addresses>),
    /// `@detectSQLi`
    Sqli,
    /// `@detectXSS`
    Xss,
    /// `@validateUrlEncoding`
    UrlEncoding,
    /// `@validateUtf8Encoding`
    Utf8Encoding,
    /// `@unconditionalMatch`
    Always,
    /// `@noMatch`
    Never,
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `@eq`
    Equal,
    /// `@ge`
    AtLeast,
    /// `@gt`
    Above,
    /// `@le`
    AtMost,
    /// `@lt`
    Below,
}

/// How two texts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextTest {
    /// `@beginsWith`
    BeginsWith,
    /// `@contains`
    Contains,
    /// `@containsWord`
    ContainsWord,
    /// `@endsWith`
    EndsWith,
    /// `@streq`
    Equals,
    /// `@strmatch`
    Matches,
    /// `@within`
    Within,
}

/// What a match does besides being logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `setvar:tx.NAME…`
    SetTx {
        /// The name after `tx.`.
        name: Template,
        /// What happens to it.
        change: Change,
    },
    /// `ctl:…`
    Control(Control),
}

/// How `setvar` changes a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `=value`
    Set(Template),
    /// `=+value`
    Add(Template),
    /// `=-value`
    Subtract(Template),
    /// `!name`
    Remove,
}

/// What `ctl` changes for the rest of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `ruleEngine=On|Off|DetectionOnly`
    Engine(super::settings::EngineMode),
    /// `auditEngine=On|Off|RelevantOnly`
    Audit(super::settings::AuditMode),
    /// `requestBodyAccess`
    RequestBodyAccess(bool),
    /// `requestBodyProcessor`
    RequestBodyProcessor(super::settings::Processor),
    /// `forceRequestBodyVariable`
    ForceRequestBody(bool),
    /// `responseBodyAccess`
    ResponseBodyAccess(bool),
    /// `ruleRemoveById`, `ruleRemoveByTag`, `ruleRemoveByMsg`
    Remove(RuleSelector),
    /// `ruleRemoveTargetById` …: the rules, and what they no longer look at.
    RemoveTarget(RuleSelector, Variable, Selector),
}

/// Which rules a directive or an action is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RuleSelector {
    /// Those in any of these ranges, ends included.
    Ids(Vec<(u64, u64)>),
    /// Those with this tag.
    Tag(String),
    /// Those with this message, macros not expanded.
    Message(String),
}

impl RuleSelector {
    /// Whether it is about `rule`.
    #[must_use]
    pub fn covers(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&rule.id)),
            Self::Tag(tag) => rule.tags.contains(tag),
            Self::Message(text) => {
                rule.message().and_then(Template::as_literal).is_some_and(|message| message == text)
            }
        }
    }
}
