//! Whether two coordinates are a point of the curve P-256: y² = x³ - 3x + b modulo its prime (FIPS 186-4, D.1.2.3).
//!
//! It reads public keys alone, so it need not take the same time for all of them.

/// A number below the prime, as its upper and lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Element {
    high: u128,
    low: u128,
}

const PRIME: Element = Element {
    high: 0xffff_ffff_0000_0001_0000_0000_0000_0000,
    low: 0x0000_0000_ffff_ffff_ffff_ffff_ffff_ffff,
};

const B: Element = Element {
    high: 0x5ac6_35d8_aa3a_93e7_b3eb_bd55_7698_86bc,
    low: 0x651d_06b0_cc53_b0f6_3bce_3c3e_27d2_604b,
};

/// Whether a point has these coordinates, big-endian and below the prime. The point at infinity has none.
pub(crate) fn has_point(x: &[u8; 32], y: &[u8; 32]) -> bool {
    let (Some(x), Some(y)) = (Element::read(x), Element::read(y)) else { return false };
    let three = x.plus(x).plus(x);
    y.times(y) == x.times(x).times(x).plus(three.negated()).plus(B)
}

impl Element {
    fn read(bytes: &[u8; 32]) -> Option<Self> {
        let (high, low) = bytes.split_first_chunk::<16>()?;
        let low: [u8; 16] = low.try_into().ok()?;
        let read = Self { high: u128::from_be_bytes(*high), low: u128::from_be_bytes(low) };
        (read < PRIME).then_some(read)
    }

    /// The difference modulo 2^256.
    fn wrapping_sub(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self { high: self.high.wrapping_sub(other.high).wrapping_sub(u128::from(borrow)), low }
    }

    fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        let (high, over) = self.high.overflowing_add(other.high);
        let (high, over_by_carry) = high.overflowing_add(u128::from(carry));
        let sum = Self { high, low };
        if over || over_by_carry || sum >= PRIME { sum.wrapping_sub(PRIME) } else { sum }
    }

    fn negated(self) -> Self {
        let zero = Self { high: 0, low: 0 };
        if self == zero { zero } else { PRIME.wrapping_sub(self) }
    }

    /// Doubled and added, bit by bit.
    fn times(self, other: Self) -> Self {
        let mut product = Self { high: 0, low: 0 };
        for mut half in [other.high, other.low] {
            for _ in 0..u128::BITS {
                half = half.rotate_left(1);
                product = product.plus(product);
                if half & 1 == 1 {
                    product = product.plus(self);
                }
            }
        }
        product
    }
}
