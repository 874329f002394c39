//! Buffers that are in use only while bytes are on their way: a thread's spare ones.
//!
//! An idle connection holds none. What one request has used the next one takes.

use crate::types::spare::Spare;

/// Buffers that a thread keeps.
const SPARE_MAX: usize = 64;
/// Room of a buffer that is kept, at most.
const SPARE_BYTES_MAX: usize = 64 * 1024;
/// Room of a new one.
const NEW_BYTES: usize = 4 * 1024;

thread_local! {
    static SPARE: Spare<Vec<u8>> = const { Spare::new(SPARE_MAX) };
}

/// An empty buffer with room in it.
#[must_use]
pub(in crate::data) fn take() -> Vec<u8> {
    SPARE.with(Spare::take).unwrap_or_else(|| Vec::with_capacity(NEW_BYTES))
}

/// Takes back a buffer that is not needed any more. What was in it is gone.
pub(in crate::data) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > SPARE_BYTES_MAX {
        return;
    }
    buffer.clear();
    SPARE.with(|spare| spare.give(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_taken_again_and_empty() {
        let mut buffer = take();
        buffer.extend_from_slice(&[1; 5000]);
        let room = buffer.capacity();
        give(buffer);
        let again = take();
        assert_eq!((again.len(), again.capacity()), (0, room));
        give(vec![0; SPARE_BYTES_MAX + 1]);
        assert!(take().capacity() <= SPARE_BYTES_MAX);
    }
}
