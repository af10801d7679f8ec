//! Division of 64 by 32 bits, one bit at a time.
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
    for _ in 0..64 {
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

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::divide;

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
}
