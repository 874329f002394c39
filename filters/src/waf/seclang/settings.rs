//! Directives that are no rules: what they set, with the defaults of ModSecurity.

use super::sanitise::Sanitise;
use std::collections::BTreeMap;

/// Whether rules act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules are evaluated and act.
    #[default]
    On,
    /// Rules are evaluated; nothing is refused.
    DetectionOnly,
    /// Nothing is evaluated.
    Off,
}

/// Which transactions are written to the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditMode {
    /// All.
    On,
    /// Those with a match of a rule that audits.
    #[default]
    RelevantOnly,
    /// None.
    Off,
}

/// What happens to a body above its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitAction {
    /// The transaction is refused.
    #[default]
    Reject,
    /// The part below the limit is looked at.
    ProcessPartial,
}

/// How a request's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// `a=1&b=2`
    Urlencoded,
    /// `multipart/form-data`
    Multipart,
    /// JSON
    Json,
    /// XML
    Xml,
}

impl Processor {
    /// The processor called `name`, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "URLENCODED" => Some(Self::Urlencoded),
            "MULTIPART" => Some(Self::Multipart),
            "JSON" => Some(Self::Json),
            "XML" => Some(Self::Xml),
            _ => None,
        }
    }

    /// The value of `REQBODY_PROCESSOR`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Urlencoded => "URLENCODED",
            Self::Multipart => "MULTIPART",
            Self::Json => "JSON",
            Self::Xml => "XML",
        }
    }
}

/// What the directives say. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `SecRuleEngine`
    pub engine: EngineMode,
    /// `SecAuditEngine`
    pub audit: AuditMode,
    /// `SecRequestBodyAccess`
    pub reads_request_body: bool,
    /// `SecRequestBodyLimit`
    pub request_body_bytes_max: usize,
    /// `SecRequestBodyNoFilesLimit`, if it is said.
    pub request_body_no_files_bytes_max: Option<usize>,
    /// `SecRequestBodyLimitAction`
    pub request_body_limit: LimitAction,
    /// `SecRequestBodyJsonDepthLimit`
    pub json_depth_max: usize,
    /// `SecArgumentsLimit`
    pub arguments_max: usize,
    /// `SecUploadFileLimit`
    pub files_max: usize,
    /// `SecResponseBodyAccess`
    pub reads_response_body: bool,
    /// `SecResponseBodyLimit`
    pub response_body_bytes_max: usize,
    /// `SecResponseBodyLimitAction`
    pub response_body_limit: LimitAction,
    /// `SecResponseBodyMimeType`: types without parameters, lower case.
    pub response_types: Vec<String>,
    /// `SecArgumentSeparator`
    pub argument_separator: u8,
    /// `SecComponentSignature`
    pub components: Vec<String>,
    /// What rules hide from logs when they match, by the rule's id.
    pub sanitised: BTreeMap<u64, Vec<Sanitise>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineMode::On,
            audit: AuditMode::RelevantOnly,
            reads_request_body: true,
            request_body_bytes_max: 13_107_200,
            request_body_no_files_bytes_max: None,
            request_body_limit: LimitAction::Reject,
            json_depth_max: 512,
            arguments_max: 1000,
            files_max: 100,
            reads_response_body: false,
            response_body_bytes_max: 524_288,
            response_body_limit: LimitAction::ProcessPartial,
            response_types: ["text/plain", "text/html", "text/xml"].map(str::to_owned).to_vec(),
            argument_separator: b'&',
            components: Vec::new(),
            sanitised: BTreeMap::new(),
        }
    }
}
