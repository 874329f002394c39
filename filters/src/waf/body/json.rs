//! JSON.
use super::{Fault, Fields, Limits};
/// Gives each scalar of `body` as an argument named by its way: `json.a.0.b`.
///
/// # Errors
/// See [`Fault`].
pub fn json(_body: &[u8], _limits: Limits, _out: &mut impl Fields) -> Result<(), Fault> {
    Ok(())
}
