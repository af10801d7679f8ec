//! Division of 64 by 32 bits and multiplication of 32 by 32, one bit at a time.
//!
//! The compiler's own brings 4 kB to the unit's flash and is needed a few times a second. Called by `meter` and `lease`.

/// Quotient and rest; dividing by 0 gives 0 and 0.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn divide(dividend: u64, divisor: u32) -> (u64, u32) {
    if divisor == 0 {
        return (0, 0);
    }
    let mut quotient = dividend;
    let mut rest = 0_u32;
    for _ in 0..64_u8 {
        // The highest bit of what is left of the dividend moves into the rest, and a bit of the quotient in behind it.
        let carry = rest >> 31;
        rest = (rest << 1) | u32::from(quotient >> 63 != 0);
        quotient <<= 1;
        if carry != 0 || rest >= divisor {
            rest = rest.wrapping_sub(divisor);
            quotient |= 1;
        }
    }
    (quotient, rest)
}

/// The product, which always fits: the compiler's own multiplies 64 by 64 bits.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn multiply(left: u32, right: u32) -> u64 {
    let (mut product, mut rest) = (0_u64, right);
    for _ in 0..32_u8 {
        product <<= 1;
        if rest >> 31 != 0 {
            product = product.wrapping_add(left.into());
        }
        rest <<= 1;
    }
    product
}

/// Adds to a sum that cannot overflow in a unit's life; one function for all sums of 64 bits.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn add(more: u64, sum: &mut u64) {
    *sum = sum.wrapping_add(more);
}

/// Whether the left is less than the right: one function for all comparisons of 64 bits, for the flash's sake.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn is_less(left: &u64, right: &u64) -> bool {
    left < right
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::{divide, multiply};

    #[test]
    fn divides_as_the_compiler_does() {
        let seed = 5;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..20_000 {
            let dividend = random.random::<u64>() >> random.random_range(0..64);
            let divisor = (random.random::<u32>() >> random.random_range(0..32)).max(1);
            let expected = (dividend / u64::from(divisor), u32::try_from(dividend % u64::from(divisor)).unwrap());
            assert_eq!(divide(dividend, divisor), expected, "{dividend} / {divisor}");
        }
        assert_eq!(divide(7, 0), (0, 0));
    }

    #[test]
    fn multiplies_as_the_compiler_does() {
        let seed = 6;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..20_000 {
            let (left, right) =
                (random.random::<u32>() >> random.random_range(0..32), random.random::<u32>() >> random.random_range(0..32));
            assert_eq!(multiply(left, right), u64::from(left) * u64::from(right), "{left} * {right}");
        }
        assert_eq!(multiply(u32::MAX, u32::MAX), u64::from(u32::MAX) * u64::from(u32::MAX));
    }
}
