//! How an upload is cut into parts.

use serde::{Deserialize, Serialize};

/// The largest upload, in bytes, that may come as one body: no store takes or copies more at once.
pub const MAX_WHOLE_BYTES: u64 = 5 << 30;
/// The most parts of an upload.
pub const MAX_PARTS: u64 = 10_000;
/// The size of a part, in bytes, unless the upload is small, or so large that it would have too many of them.
const USUAL_PART_BYTES: u64 = 64 << 20;
/// Into how many parts an upload is cut at least, as far as the smallest part allows.
const WORTHWHILE_PARTS: u64 = 16;

/// How an upload is cut into parts: all of one size, but for the last, which may be smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// The size of each part but the last.
    pub part_size_bytes: u64,
    /// How many parts there are.
    pub part_count: u32,
    /// What the store began for it, once URLs of parts were asked for.
    #[serde(default)]
    pub begun: Option<Begun>,
}

/// What a store began for an upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The store's own name for it.
    pub store_id: String,
    /// Whether each part comes with its SHA-256: all of them, or none.
    pub checksums: bool,
}

impl Multipart {
    /// Cuts an upload of that size, of at least one byte, into parts of at least `least` bytes.
    pub fn cut(size_bytes: u64, least: u64) -> Self {
        let worthwhile = size_bytes.div_ceil(WORTHWHILE_PARTS).min(USUAL_PART_BYTES);
        let part_size_bytes = worthwhile.max(least).max(size_bytes.div_ceil(MAX_PARTS)).max(1);
        let part_count = u32::try_from(size_bytes.div_ceil(part_size_bytes)).unwrap_or(u32::MAX);
        Self { part_size_bytes, part_count, begun: None }
    }

    /// The size of a part of an upload of that size; `None` for one that there is not.
    pub fn part_bytes(&self, size_bytes: u64, number: u32) -> Option<u64> {
        if !(1..=self.part_count).contains(&number) {
            return None;
        }
        let before = self.part_size_bytes.checked_mul(u64::from(number.checked_sub(1)?))?;
        Some(size_bytes.checked_sub(before)?.min(self.part_size_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn parts_have_a_sensible_size_and_never_become_too_many() {
        for (size, part, count) in [
            (1, 5 * MIB, 1),
            (5 * MIB, 5 * MIB, 1),
            (5 * MIB + 1, 5 * MIB, 2),
            (20 * MIB, 5 * MIB, 4),
            (1 << 30, 64 * MIB, 16),
            (6 << 30, 64 * MIB, 96),
            (640_000 * MIB, 64 * MIB, 10_000),
            (1 << 40, (1_u64 << 40).div_ceil(10_000), 10_000),
        ] {
            let cut = Multipart::cut(size, 5 * MIB);
            assert_eq!((cut.part_size_bytes, cut.part_count), (part, count), "{size}");
        }
    }

    #[test]
    fn the_parts_come_to_the_whole() {
        for size in [1, 7, 8, 9, 100, 160, 161, 1_000_003] {
            let cut = Multipart::cut(size, 8);
            let sizes: Vec<u64> =
                (1..=cut.part_count).map(|number| cut.part_bytes(size, number).unwrap()).collect();
            assert_eq!(sizes.iter().sum::<u64>(), size);
            assert!(sizes.iter().rev().skip(1).all(|part| *part == cut.part_size_bytes));
            assert!(sizes.iter().all(|part| *part > 0));
            assert_eq!(cut.part_bytes(size, 0), None);
            assert_eq!(cut.part_bytes(size, cut.part_count + 1), None);
        }
    }
}
