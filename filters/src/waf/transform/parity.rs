//! `t:parityEven7bit`, `t:parityOdd7bit` and `t:parityZero7bit`: the top bit of each byte.
//!
//! As ModSecurity does it, the top bit that a byte has counts as well.

fn set(input: &[u8], out: &mut Vec<u8>, top: impl Fn(u8) -> bool) -> bool {
    out.extend(input.iter().map(|byte| if top(*byte) { byte | 0x80 } else { byte & 0x7f }));
    true
}

pub(super) fn even(input: &[u8], out: &mut Vec<u8>) -> bool {
    set(input, out, |byte| byte.count_ones() % 2 == 1)
}

pub(super) fn odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    set(input, out, |byte| byte.count_ones() % 2 == 0)
}

pub(super) fn zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    set(input, out, |_| false)
}
