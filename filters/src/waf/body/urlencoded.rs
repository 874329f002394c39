//! Forms and query strings.
use super::{Fault, Fields, Limits};
/// Gives each pair of `body` (a query string without `?`, or a form) as an argument.
///
/// # Errors
/// See [`Fault`].
pub fn urlencoded(_body: &[u8], _limits: Limits, _out: &mut impl Fields) -> Result<(), Fault> {
    Ok(())
}
