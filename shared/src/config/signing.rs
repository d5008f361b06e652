//! How decisions are signed, beside the key.

use super::Reader;

/// Which key signs decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningMode {
    /// The key that is configured.
    Direct,
    /// A key of each process, to which the key that is configured delegates.
    Delegated,
}

/// How often a remote key may sign in direct mode, for one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningBudget {
    /// Signatures a second: 1 to 1 000, by default 5.
    pub per_second: u32,
    /// Signatures at once after a rest: 5 to 10 000, by default 20.
    pub burst: u32,
}

pub(super) fn mode(reader: &mut Reader<'_>, default: &str) -> Option<SigningMode> {
    let mode = reader.word("signing.mode", &["direct", "delegated"], &[], default)?;
    Some(if mode == "delegated" { SigningMode::Delegated } else { SigningMode::Direct })
}

pub(super) fn budget(reader: &mut Reader<'_>) -> SigningBudget {
    let per_second = reader.whole("signing.budget.per_second", 1..=1_000, 5);
    let burst = reader.whole("signing.budget.burst", 5..=10_000, 20);
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    SigningBudget { per_second: number(per_second), burst: number(burst) }
}
