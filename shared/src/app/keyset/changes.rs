//! Changing the keyset: the next key, the one that signs, and those that are to sign no more.
//!
//! Each change is a new version of the keyset, but for [`promote`], which clients do not see.

use decision::{
    jwk::PublicKey,
    keyset::{Keyset, KeysetKey},
};
use serde_json::json;

use super::{KEY_LIFETIME, Record, current, put, still_newest};
use crate::app::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, retrying},
};
use crate::domain::names::ProductId;

/// How long after its last decision a key that retires is still listed, in seconds: clients whose clocks are behind
/// need it as long.
const LATE: i64 = 300;
/// The most keys of a keyset.
const MAX_KEYS: usize = 32;

/// A key that is to be listed.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its public half.
    pub key: PublicKey,
    /// First second in which it may be used; `None`: now, and a little before for clients whose clocks are behind.
    pub nbf: Option<i64>,
    /// First second in which it may no longer be used, which stands; `None`: in five years, and later while it signs.
    pub exp: Option<i64>,
    /// The products that it may sign for; none: all.
    pub products: Vec<ProductId>,
}

/// What is changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// Clients are to know a key before it signs.
    Add(NewKey),
    /// A key that signs no more is to be listed until its last decision has ended.
    Retire(String),
    /// Nothing that a key has signed is to be believed any more: the next epoch begins.
    Revoke(String),
    /// The next epoch begins, and nothing else: clients count `seq` anew, as they have to after records were restored.
    RaiseEpoch,
}

/// Publishes the next version of the keyset.
///
/// # Errors
/// [`AppError::NotFound`] for a key that is not listed, [`AppError::Key`] for what cannot be, and those of the store.
pub async fn change(context: &Context, caller: &Caller, change: &Change) -> Result<Record, AppError> {
    caller.need_no_product_limit()?;
    retrying(|| async {
        let found = current(context).await?.ok_or(AppError::NotFound)?;
        let (unchanged, record) = (found.unchanged(), found.value);
        if record.signed {
            return Err(AppError::Key(
                "root keys sign this keyset: make its next version with `bp root sign` and publish that",
            ));
        }
        let before = record.keyset.version;
        let mut next = apply(context, record, change)?;
        next.keyset.version = before.saturating_add(1);
        let mut batch = Batch::default();
        batch.check(keys::keyset(before), unchanged);
        put(&mut batch, context, Some(caller), &next)?;
        context.store.commit(batch).await?;
        Ok(next)
    })
    .await
}

fn apply(context: &Context, mut record: Record, change: &Change) -> Result<Record, AppError> {
    let now = context.clock.now();
    match change {
        Change::Add(new) => add(&mut record, new, now)?,
        Change::Retire(kid) => {
            not_active(&record, kid)?;
            // A process that cannot read the records may sign with it as long as it goes on from memory.
            let unseen = context.settings.catalogue_max_stale_ms / 1_000;
            let lasting = context.settings.decision_lifetime.saturating_add(unseen).saturating_add(LATE);
            let end = now.saturating_add(lasting);
            let key = listed(&mut record.keyset, kid)?;
            if key.revoked {
                return Err(AppError::Key("the key is revoked"));
            }
            key.exp = key.exp.min(end);
            fix(&mut record, kid.clone());
        }
        Change::Revoke(kid) => {
            not_active(&record, kid)?;
            let key = listed(&mut record.keyset, kid)?;
            if key.revoked {
                return Err(AppError::Key("the key is revoked already"));
            }
            key.revoked = true;
            record.keyset.epoch = record.keyset.epoch.saturating_add(1);
        }
        Change::RaiseEpoch => record.keyset.epoch = record.keyset.epoch.saturating_add(1),
    }
    Ok(record)
}

/// Notes that the end of a key is an operator's, and of those that are no longer listed nothing.
fn fix(record: &mut Record, kid: String) {
    let keyset = &record.keyset;
    record.fixed.retain(|fixed| *fixed != kid && keyset.get(fixed).is_some());
    record.fixed.push(kid);
}

fn add(record: &mut Record, new: &NewKey, now: i64) -> Result<(), AppError> {
    let (kid, keyset) = (new.key.thumbprint(), &mut record.keyset);
    if keyset.get(&kid).is_some() {
        return Err(AppError::Key("the key is listed already"));
    }
    // Those that are over are of no use to anybody; one that was revoked stays, so that it cannot come back.
    keyset.keys.retain(|key| key.revoked || key.exp > now);
    if keyset.keys.len() >= MAX_KEYS {
        return Err(AppError::Key("a keyset has at most 32 keys: retire others first"));
    }
    let products = if new.products.is_empty() {
        vec!["*".to_owned()]
    } else {
        new.products.iter().map(ToString::to_string).collect()
    };
    let nbf = new.nbf.unwrap_or_else(|| now.saturating_sub(LATE));
    let exp = new.exp.unwrap_or_else(|| now.max(nbf).saturating_add(KEY_LIFETIME));
    keyset.keys.push(KeysetKey::new(new.key, nbf, exp, products));
    if new.exp.is_some() {
        fix(record, kid);
    }
    Ok(())
}

fn listed<'a>(keyset: &'a mut Keyset, kid: &str) -> Result<&'a mut KeysetKey, AppError> {
    keyset.keys.iter_mut().find(|key| key.kid == kid).ok_or(AppError::NotFound)
}

/// The key that signs is neither retired nor revoked before another one signs, or nobody would be answered.
fn not_active(record: &Record, kid: &str) -> Result<(), AppError> {
    match &record.active {
        Some(active) if active != kid => Ok(()),
        Some(_) => Err(AppError::Key("the key signs decisions: promote another one first")),
        None => Err(AppError::Key(
            "no key was promoted yet, so this may be the one that signs: promote another one first",
        )),
    }
}

/// Has a key sign from now on: those processes that have it configured. Clients must know it already.
///
/// `configured` are the keys that the service has, where that is known and is to be looked at.
///
/// # Errors
/// [`AppError::NotFound`] for a key that is not listed, [`AppError::Key`] for one that may not sign now,
/// [`AppError::KeyNotConfigured`], and those of the store.
pub async fn promote(
    context: &Context,
    caller: &Caller,
    kid: &str,
    configured: Option<&[String]>,
) -> Result<Record, AppError> {
    caller.need_no_product_limit()?;
    retrying(|| async {
        let found = current(context).await?.ok_or(AppError::NotFound)?;
        let mut record = found.value.clone();
        let now = context.clock.now();
        let key = record.keyset.get(kid).ok_or(AppError::NotFound)?;
        if key.revoked || now < key.nbf || key.exp <= now {
            return Err(AppError::Key("the keyset does not let this key sign now"));
        }
        if record.active.as_deref() == Some(kid) {
            return Ok(record);
        }
        if configured.is_some_and(|configured| !configured.iter().any(|has| has == kid)) {
            return Err(AppError::KeyNotConfigured(kid.to_owned()));
        }
        let before = record.active.replace(kid.to_owned());
        let mut batch = Batch::default();
        batch.put(keys::keyset(record.keyset.version), &record, found.unchanged())?;
        still_newest(&mut batch, record.keyset.version);
        let (before, after) = (json!({ "active": before }), json!({ "active": kid }));
        let subject = format!("keyset/{}", record.keyset.version);
        let entry = Entry { kind: "key.promoted", subject, before: Some(before), after: Some(after) };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await?;
        Ok(record)
    })
    .await
}
