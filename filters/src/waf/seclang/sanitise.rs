//! `sanitiseArg`, `sanitiseMatched` and their like: what logs do not show once a rule has matched.
//!
//! Nothing is changed in the request: whoever writes a log asks the transaction what to hide.

use super::problem::Problem;

/// What a rule that matches hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sanitise {
    /// `sanitiseArg:NAME`
    Argument(String),
    /// `sanitiseMatched`, `sanitiseMatchedBytes`: whatever the rule matched, the whole of it.
    Matched,
    /// `sanitiseRequestHeader:NAME`
    RequestField(String),
    /// `sanitiseResponseHeader:NAME`
    AnswerField(String),
}

impl Sanitise {
    /// The action `name`, in lower case, with its `value`; `None`: it is another.
    ///
    /// # Errors
    /// When it does not name what to hide.
    pub(crate) fn parse(name: &str, value: &str, offset: usize) -> Option<Result<Self, Problem>> {
        let make = match name {
            "sanitisematched" | "sanitisematchedbytes" => return Some(Ok(Self::Matched)),
            "sanitisearg" => Self::Argument,
            "sanitiserequestheader" => Self::RequestField,
            "sanitiseresponseheader" => Self::AnswerField,
            _ => return None,
        };
        let nameless = || Problem::at(offset, format!("`{name}` names nothing"), "`:` and a name");
        Some((!value.is_empty()).then(|| make(value.to_owned())).ok_or_else(nameless))
    }
}
