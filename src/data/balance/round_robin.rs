//! Round robin: each backend in turn.
//!
//! One counter per pool over all workers, so the turns are exact however the requests
//! are spread.

use super::{Choice, first_from, turn};
use crate::data::pool::{Live, Members};

/// The next member in turn that admits the request.
/// Cost: O(1) when all do, O(n) at worst; one atomic add.
pub(super) fn pick(live: &Live, members: &Members, choice: &Choice<'_>) -> Option<usize> {
    let count = members.active.len();
    let start = turn(live, choice).checked_rem(count)?;
    first_from(members, start, choice)
}
