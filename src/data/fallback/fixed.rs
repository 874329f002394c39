//! `static:…`: a page.

use super::{Need, Taken, What};

/// The page, in the form that the client takes rather.
pub(super) fn take(what: &What, need: &Need<'_>) -> Option<Taken> {
    match what {
        What::Page(page) if need.may_answer => {
            Some(Taken::Answer(page.answer(need.refusal, need.form)))
        }
        _ => None,
    }
}
