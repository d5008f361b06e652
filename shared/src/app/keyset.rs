//! The keyset of the deployment: which keys sign its decisions, version by version.

use std::sync::Arc;

use decision::{
    jwk::PublicKey,
    keyset::{Keyset, KeysetKey},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

mod changes;
mod signed;

pub use self::{
    changes::{Change, NewKey, change, promote},
    signed::{Outage, publish_signed, signed_file},
};
use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, Stored, retrying},
};
use crate::ports::items::{Expect, Query};

const DAY: i64 = 86_400;
/// How long a keyset is good for.
const KEYSET_LIFETIME: i64 = 365 * DAY;
/// A keyset that ends sooner than this is renewed at start-up.
const RENEW_BEFORE: i64 = 60 * DAY;
/// How long a key may sign where nobody says otherwise.
const KEY_LIFETIME: i64 = 5 * 365 * DAY;

/// A version of the keyset as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What clients see.
    #[serde(flatten)]
    pub keyset: Keyset,
    /// The key that signs decisions, where one was chosen; `None`: the one that is configured first.
    #[serde(default)]
    pub active: Option<String>,
    /// Whether root keys have signed this version: then they sign each one after it, too.
    #[serde(default)]
    pub signed: bool,
    /// The keys whose end an operator has set: nobody prolongs them.
    #[serde(default)]
    pub fixed: Vec<String>,
}

/// What decides whether the keyset goes on as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing<'a> {
    /// The keyset.
    pub(crate) keyset: &'a Keyset,
    /// Whether root keys have signed it: what they have signed, they alone renew.
    pub(crate) signed: bool,
    /// The keys whose end an operator has set.
    pub(crate) fixed: &'a [String],
}

impl Record {
    fn standing(&self) -> Standing<'_> {
        Standing { keyset: &self.keyset, signed: self.signed, fixed: &self.fixed }
    }
}

impl Standing<'_> {
    /// Whether no new version is needed for a key to sign under it.
    pub(crate) fn suffices(&self, kid: &str, nonces: bool, now: i64) -> bool {
        let Some(listed) = self.keyset.get(kid).filter(|listed| !listed.revoked) else { return false };
        let lasts = |end: i64| end.saturating_sub(now) > RENEW_BEFORE;
        let key = lasts(listed.exp) || self.is_fixed(kid);
        self.signed || (lasts(self.keyset.expires) && self.keyset.nonces == nonces && key)
    }

    /// Whether nobody prolongs a key.
    pub(crate) fn is_fixed(&self, kid: &str) -> bool {
        self.signed || self.fixed.iter().any(|fixed| fixed == kid)
    }
}

/// What is done with a signing key that the keyset does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// It is refused: the key file is probably not the right one.
    Refuse,
    /// It is taken up, in a new version of the keyset: clients that have an older one will refuse its decisions.
    TakeUp,
}

/// Why there is no keyset to sign under.
#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    /// The signing key was revoked.
    #[error("the signing key `{0}` is revoked in the keyset: configure another one")]
    Revoked(String),
    /// The signing key is not one that clients have.
    #[error(
        "the signing key `{0}` is not in the keyset that clients have: put the right key file back, or, if it is lost, \
         set `signing.take_up_new_key: true` and hand the new keyset to every client"
    )]
    NotListed(String),
    /// The keyset cannot be read or written.
    #[error(transparent)]
    Store(#[from] AppError),
}

/// The newest keyset; a first or a renewed one is written where that is needed, with the signing key in it. `nonces` is
/// what it is to tell clients: a new version is published where that changes.
///
/// A key that clients do not have must not sign: once there is a keyset, a key that is not in it is refused, unless
/// the operator says that it is to be taken up.
///
/// # Errors
/// [`KeysetError`]
pub async fn ensure(
    context: &Context,
    key: &PublicKey,
    unlisted: Unlisted,
    nonces: bool,
) -> Result<Arc<Keyset>, KeysetError> {
    retrying(|| async {
        let newest = current(context).await?;
        let now = context.clock.now();
        let kid = key.thumbprint();
        if let Some(record) = newest.as_ref().map(|found| &found.value) {
            let listed = record.keyset.get(&kid);
            if listed.is_some_and(|listed| listed.revoked) {
                return Ok(Err(KeysetError::Revoked(kid)));
            }
            if record.standing().suffices(&kid, nonces, now) {
                return Ok(Ok(Arc::new(record.keyset.clone())));
            }
            if listed.is_none() && (record.signed || unlisted == Unlisted::Refuse) {
                return Ok(Err(KeysetError::NotListed(kid)));
            }
        }
        let mut batch = Batch::default();
        if let Some(found) = &newest {
            // A promotion meanwhile is not undone.
            batch.check(keys::keyset(found.value.keyset.version), found.unchanged());
        }
        let (newest, active, fixed) = match newest.map(|found| found.value) {
            Some(Record { keyset, active, fixed, .. }) => (Some(keyset), active, fixed),
            None => (None, None, Vec::new()),
        };
        let end = if fixed.contains(&kid) { None } else { Some(now.saturating_add(KEY_LIFETIME)) };
        let keyset = Keyset { nonces, ..renewed(newest, (*key, &kid), now, end) };
        let next = Record { keyset, active, signed: false, fixed };
        put(&mut batch, context, None, &next)?;
        context.store.commit(batch).await?;
        Ok(Ok(Arc::new(next.keyset)))
    })
    .await?
}

/// Stores a version of the keyset, and tells the audit log.
fn put(batch: &mut Batch, context: &Context, caller: Option<&Caller>, next: &Record) -> Result<(), AppError> {
    let keyset = &next.keyset;
    batch.put(keys::keyset(keyset.version), next, Expect::Absent)?;
    let kids = |revoked: bool| {
        let keys = keyset.keys.iter().filter(move |key| key.revoked == revoked);
        keys.map(|key| key.kid.clone()).collect::<Vec<_>>()
    };
    let after = json!({ "version": keyset.version, "epoch": keyset.epoch, "expires": keyset.expires,
        "nonces": keyset.nonces, "kids": kids(false), "revoked": kids(true), "active": next.active,
        "signed": next.signed });
    let subject = format!("keyset/{}", keyset.version);
    let entry = Entry { kind: "keyset.published", subject, before: None, after: Some(after) };
    audit::record(batch, context, caller, entry)
}

/// The next version, which lasts, with a key in it that lasts until `end`; `None`: as long as it did.
fn renewed(newest: Option<Keyset>, (key, kid): (PublicKey, &str), now: i64, end: Option<i64>) -> Keyset {
    let mut next =
        newest.unwrap_or(Keyset { v: 1, version: 0, epoch: 1, expires: 0, nonces: false, keys: Vec::new() });
    next.version = next.version.saturating_add(1);
    next.expires = now.saturating_add(KEYSET_LIFETIME);
    let listed = next.keys.iter_mut().find(|listed| listed.kid == kid);
    match (listed, end) {
        (Some(listed), Some(end)) => listed.exp = end,
        (Some(_), None) => {}
        // A little in the past, for clients whose clocks are behind.
        (None, end) => {
            let end = end.unwrap_or_else(|| now.saturating_add(KEY_LIFETIME));
            next.keys.push(KeysetKey::new(key, now.saturating_sub(300), end, vec!["*".into()]));
        }
    }
    next
}

/// Makes the transaction depend on this being the newest version still.
fn still_newest(batch: &mut Batch, version: u64) {
    batch.check(keys::keyset(version.saturating_add(1)), Expect::Absent);
}

/// The newest version of the keyset as it is stored; `None` before the first start.
///
/// # Errors
/// Those of the store.
pub async fn current(context: &Context) -> Result<Option<Stored<Record>>, AppError> {
    let query = Query {
        partition: keys::KEYSETS.into(),
        prefix: String::new(),
        after: None,
        limit: 1,
        descending: true,
    };
    let found = context.store.query::<Record>(&query).await?;
    Ok(found.into_iter().next().map(|(_, stored)| stored))
}

/// The newest version of the keyset; `None` before the first start.
///
/// # Errors
/// Those of the store.
pub async fn newest(context: &Context) -> Result<Option<Keyset>, AppError> {
    Ok(current(context).await?.map(|found| found.value.keyset))
}

/// A version of the keyset.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn version(context: &Context, version: u64) -> Result<Keyset, AppError> {
    let found: Option<Stored<Keyset>> = context.store.get(keys::keyset(version)).await?;
    Ok(found.ok_or(AppError::NotFound)?.value)
}
