//! Ed25519 points of small order, and spellings of points that are not canonical.

/// The y-coordinates of the eight points whose order divides 8, little-endian, without the sign of x.
const SMALL: [[u8; 32]; 5] = [
    [0; 32],
    one(),
    below_the_prime(0xec),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// Whether a key is a point of small order, or a y-coordinate that is not below the prime 2^255-19.
pub(crate) fn contains(key: &[u8; 32]) -> bool {
    let mut y = *key;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL.contains(&y) || not_canonical(&y)
}

/// The prime itself and the eighteen numbers above it are other spellings of 0 to 18.
fn not_canonical(y: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = y;
    *first >= 0xed && middle.iter().all(|byte| *byte == 0xff) && *last == 0x7f
}

const fn one() -> [u8; 32] {
    let mut y = [0; 32];
    y[0] = 1;
    y
}

const fn below_the_prime(first: u8) -> [u8; 32] {
    let mut y = [0xff; 32];
    (y[0], y[31]) = (first, 0x7f);
    y
}
