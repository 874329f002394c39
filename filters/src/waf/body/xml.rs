//! XML.
use super::{Fault, Fields, Limits};
/// Gives each text and attribute of `body`.
///
/// # Errors
/// See [`Fault`].
pub fn xml(_body: &[u8], _limits: Limits, _out: &mut impl Fields) -> Result<(), Fault> {
    Ok(())
}
