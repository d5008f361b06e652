//! The artifacts that no decision may name at the moment: one row each, and a head that tells which rows there are.
//!
//! A list need not be read from one state: rows of a transaction under way can be missing from it. So the head keeps a
//! digest of the rows, and whoever reads the list compares.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    context::Context,
    error::AppError,
    keys,
    store::{Batch, Store, Stored, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState},
        decide::of_copy,
        ids::ArtifactId,
    },
    ports::items::Expect,
};

/// What the head says of the rows. Its revision is a part of `seq`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The ids of all rows, one exclusive-or of their 128 bits: the high half and the low half.
    #[serde(default)]
    rows: (u64, u64),
}

impl Head {
    fn toggle(&mut self, id: ArtifactId) {
        let bits = id.to_bits();
        self.rows.0 ^= u64::try_from(bits >> 64).unwrap_or_default();
        self.rows.1 ^= u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these are all the rows that this head knows, and no others.
    pub fn is_of(&self, rows: &HashSet<ArtifactId>) -> bool {
        let mut found = Self::default();
        for id in rows {
            found.toggle(*id);
        }
        found == *self
    }
}

/// The rows that an artifact has: itself where no decision may name it, and where they are to name our copy and not the
/// original, what stands for that. One without bytes is in no release that could be offered.
fn rows(artifact: &Artifact) -> [Option<ArtifactId>; 2] {
    let id = artifact.artifact_id;
    let withheld = matches!(artifact.state, ArtifactState::Quarantined | ArtifactState::Revoked);
    let lost = artifact.copy().is_some_and(|copy| copy.original.is_some());
    [Some(id).filter(|_| withheld && artifact.removed_at.is_none()), Some(of_copy(id)).filter(|_| lost)]
}

/// Brings the rows in step with an artifact that changes, or that goes: a few small writes, however many releases use it.
///
/// # Errors
/// Those of the store.
pub async fn change(
    context: &Context,
    batch: &mut Batch,
    before: &Artifact,
    after: Option<&Artifact>,
) -> Result<(), AppError> {
    let after = after.map_or([None; 2], rows);
    let changed: Vec<_> =
        rows(before).into_iter().zip(after).filter(|(before, after)| before != after).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let found: Option<Stored<Head>> = context.store.get(keys::unavailable_head()).await?;
    let expect = unchanged(found.as_ref());
    let mut head = found.map(|found| found.value).unwrap_or_default();
    for (before, after) in changed {
        if let Some(id) = before {
            batch.delete(keys::unavailable(id), Expect::Revision(1));
            head.toggle(id);
        }
        if let Some(id) = after {
            batch.put(keys::unavailable(id), &json!({}), Expect::Absent)?;
            head.toggle(id);
        }
    }
    batch.put(keys::unavailable_head(), &head, expect)
}

/// The rows, as far as one look shows them.
///
/// # Errors
/// Those of the store.
pub async fn list(store: &Store) -> Result<HashSet<ArtifactId>, AppError> {
    let listed = store.query_all::<serde_json::Value>(keys::UNAVAILABLE, "").await?;
    Ok(listed.iter().filter_map(|(sort, _)| sort.parse().ok()).collect())
}
