//! What signs decisions, and how.

use std::path::{Path, PathBuf};

use super::Reader;

/// What signs decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// A key in a file of this machine, made on first start.
    Local {
        /// The file: PKCS#8 in PEM.
        key_file: PathBuf,
        /// A second key, which signs once it was promoted.
        next_key_file: Option<PathBuf>,
        /// The kind of key that is made.
        algorithm: decision::jwk::Alg,
        /// Whether a key that the keyset does not list is taken up; no by default.
        take_up_new_key: bool,
    },
    /// A key in AWS KMS.
    Kms {
        /// Its id or ARN; an alias where it is never moved.
        key_id: String,
        /// A second key, which signs once it was promoted.
        next_key_id: Option<String>,
        /// Another server than AWS's own.
        endpoint: Option<String>,
        /// Whether a key that the keyset does not list is taken up; no by default.
        take_up_new_key: bool,
    },
}

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

pub(super) fn signing(reader: &mut Reader<'_>, data: &Path) -> Option<Signing> {
    use decision::jwk::Alg;
    let key_file = reader.path("signing.local.key_file").unwrap_or_else(|| data.join("signing.pem"));
    let next_key_file = reader.path("signing.local.next_key_file");
    let algorithm = reader.word("signing.local.algorithm", &["ES256", "EdDSA"], "ES256");
    let take_up_new_key = reader.flag("signing.take_up_new_key", false);
    let kind = reader.word("signing.type", &["local", "kms"], "local");
    let algorithm = if algorithm? == "EdDSA" { Alg::EdDsa } else { Alg::Es256 };
    let (key_id, endpoint) = (reader.text("signing.kms.key_id"), reader.url("signing.kms.endpoint"));
    let next_key_id = reader.text("signing.kms.next_key_id").filter(|id| !id.is_empty());
    if kind? == "local" {
        return Some(Signing::Local { key_file, next_key_file, algorithm, take_up_new_key });
    }
    let key_id = reader.needed("signing.kms.key_id", key_id)?;
    Some(Signing::Kms { key_id, next_key_id, endpoint, take_up_new_key })
}

pub(super) fn mode(reader: &mut Reader<'_>, key: Option<&Signing>) -> Option<SigningMode> {
    let default = if matches!(key, Some(Signing::Kms { .. })) { "delegated" } else { "direct" };
    let mode = reader.word("signing.mode", &["direct", "delegated"], default)?;
    Some(if mode == "delegated" { SigningMode::Delegated } else { SigningMode::Direct })
}

pub(super) fn budget(reader: &mut Reader<'_>) -> SigningBudget {
    let per_second = reader.whole("signing.budget.per_second", 1..=1_000, 5);
    let burst = reader.whole("signing.budget.burst", 5..=10_000, 20);
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    SigningBudget { per_second: number(per_second), burst: number(burst) }
}

/// No client takes a delegation that lasts longer than an hour.
pub(super) fn delegation_lifetime(reader: &mut Reader<'_>) -> i64 {
    let most = decision::delegation::MAX_LIFETIME_SECONDS;
    reader.whole("signing.delegation_lifetime_seconds", 10..=most, most)
}
