//! `@verifyCC`, `@verifySSN` and `@verifyCPF`: is what a pattern found really such a number?
//!
//! The operators take a pattern; these functions judge one match of it. Bytes that are no digits
//! do not count.

/// The digits of `text`.
fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone {
    text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'))
}

/// `@verifyCC`: the digits have the checksum of a payment card (Luhn), and there is at least one.
#[must_use]
pub fn verify_credit_card(found: &[u8]) -> bool {
    let sum: u32 = digits(found)
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => digit,
            (_, twice @ 10..) => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    digits(found).next().is_some() && sum.is_multiple_of(10)
}

/// `@verifySSN`: nine digits that can be a number of the US social security: area, group and
/// serial are in use, and the digits are neither all equal nor counting up.
#[must_use]
pub fn verify_ssn(found: &[u8]) -> bool {
    if digits(found).count() != 9 {
        return false;
    }
    let part = |skip: usize, take: usize| {
        digits(found).skip(skip).take(take).fold(0, |number, digit| number * 10 + digit)
    };
    let (area, group, serial) = (part(0, 3), part(3, 2), part(5, 4));
    let pairs = || digits(found).zip(digits(found).skip(1));
    let is_equal = pairs().all(|(one, other)| one == other);
    let is_counting = pairs().all(|(one, other)| one + 1 == other);
    let is_used = area > 0 && area < 740 && area != 666 && group > 0 && serial > 0;
    is_used && !is_equal && !is_counting
}

/// `@verifyCPF`: eleven digits, not all equal, with both check digits of a Brazilian CPF.
#[must_use]
pub fn verify_cpf(found: &[u8]) -> bool {
    if digits(found).count() != 11 {
        return false;
    }
    let check = |length: u32| {
        let weights = (2..=length + 1).rev();
        let sum: u32 = digits(found).zip(weights).map(|(digit, weight)| digit * weight).sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    let is_equal = digits(found).all(|digit| Some(digit) == digits(found).next());
    !is_equal && digits(found).nth(9) == Some(check(9)) && digits(found).nth(10) == Some(check(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_a_checksum() {
        assert!(
            verify_credit_card(b"4111 1111 1111 1111") && verify_credit_card(b"5484605089158216")
        );
        assert!(!verify_credit_card(b"4111111111111112") && !verify_credit_card(b"abc"));
    }

    #[test]
    fn social_security_numbers_are_in_use() {
        assert!(verify_ssn(b"078-05-1120"));
        for text in ["000-12-3456", "666-12-3456", "740-12-3456", "123-00-4567", "123-45-0000"] {
            assert!(!verify_ssn(text.as_bytes()), "{text}");
        }
        assert!(!verify_ssn(b"111111111") && !verify_ssn(b"123456789") && !verify_ssn(b"12345678"));
    }

    #[test]
    fn a_cpf_has_two_check_digits() {
        assert!(verify_cpf(b"529.982.247-25") && verify_cpf(b"11144477735"));
        assert!(!verify_cpf(b"529.982.247-26") && !verify_cpf(b"52998224735"));
        assert!(!verify_cpf(b"11111111111") && !verify_cpf(b"5299822472"));
    }
}
