//! Keysets that root keys have signed: taken in order, kept and given out byte for byte.
//!
//! The service has no root key. It checks what every client checks, so that nothing is published that clients refuse.

use decision::{
    keyset::{Keyset, KeysetKey},
    root::{RootError, TrustedKeyset, Walk},
};
use serde::{Deserialize, Serialize};

use super::{Record, current, put, still_newest};
use crate::app::{
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, Stored, retrying},
};
use crate::ports::items::Expect;

/// A file as it came.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    text: String,
}

/// What is done with a file under which what signs now could sign no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It is refused: another key is to be promoted first.
    Refuse,
    /// It is published, for whoever knows that decisions are 503 until another key is promoted.
    Accept,
}

/// The signed keyset of a version, byte for byte.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn signed_file(context: &Context, version: u64) -> Result<String, AppError> {
    let found: Option<Stored<File>> = context.store.get(keys::signed_keyset(version)).await?;
    Ok(found.ok_or(AppError::NotFound)?.value.text)
}

/// Publishes a signed keyset. The first is taken as it is, for the version that the keyset has or the next; each later
/// one has to be the next, signed by a threshold of both roots. The same file again changes nothing. The key that signs has
/// to be able to go on, unless `outage` says otherwise.
///
/// # Errors
/// [`AppError::SignedKeyset`] for a file that clients would refuse, [`AppError::Key`] for one of another version, and
/// those of the store.
pub async fn publish_signed(
    context: &Context,
    caller: &Caller,
    (version, file): (u64, &[u8]),
    outage: Outage,
) -> Result<(Record, bool), AppError> {
    caller.need_no_product_limit()?;
    let pinned = checked(context, version, file)?;
    retrying(|| async {
        if let Some(known) = context.store.get::<File>(keys::signed_keyset(version)).await? {
            let found = current(context).await?.ok_or(AppError::NotFound)?;
            return if known.value.text.as_bytes() == file {
                Ok((found.value, false))
            } else {
                Err(AppError::Key("another file was published under this version, which is final"))
            };
        }
        let found = current(context).await?;
        let at = found.as_ref().map_or(0, |found| found.value.keyset.version);
        let rooted = found.as_ref().is_some_and(|found| found.value.signed);
        // The first one may say of the version that there is what it is, or be the next.
        let first = !rooted && version == at;
        if !first && version != at.saturating_add(1) {
            return Err(AppError::Key("keysets are published one after the other: this is not the next version"));
        }
        if rooted {
            let before = signed_file(context, at).await?;
            let trusted = TrustedKeyset::pin(before.as_bytes())?;
            let mut walk = Walk::from(trusted);
            walk.step(file)?;
        }
        Walk::from(pinned.clone()).finish(context.clock.now())?;
        if let (Some(found), Outage::Refuse) = (&found, outage) {
            signs_on(&found.value, pinned.keyset(), context.clock.now())?;
        }
        let text = File { text: pinned.file().to_owned() };
        let active = found.as_ref().and_then(|found| found.value.active.clone());
        let record = Record { keyset: pinned.keyset().clone(), active, signed: true, fixed: Vec::new() };
        let mut batch = Batch::default();
        batch.put(keys::signed_keyset(version), &text, Expect::Absent)?;
        match found {
            Some(found) if first => {
                if found.value.keyset != record.keyset {
                    return Err(AppError::Key("the file says something else of this version than what is published: sign the next version"));
                }
                batch.put(keys::keyset(version), &record, found.unchanged())?;
                still_newest(&mut batch, version);
            }
            Some(found) => {
                if record.keyset.epoch < found.value.keyset.epoch {
                    return Err(AppError::Key("the epoch may not fall"));
                }
                batch.check(keys::keyset(at), found.unchanged());
                put(&mut batch, context, Some(caller), &record)?;
            }
            None => put(&mut batch, context, Some(caller), &record)?,
        }
        context.store.commit(batch).await?;
        Ok((record, true))
    })
    .await
}

/// A file that is whole in itself, of this deployment and version.
fn checked(context: &Context, version: u64, file: &[u8]) -> Result<TrustedKeyset, AppError> {
    let pinned = TrustedKeyset::pin(file)?;
    if pinned.keyset().version != version {
        return Err(AppError::Key("the file is of another version than its name says"));
    }
    if pinned.issuer() != context.settings.base_url {
        let (found, expected) = (pinned.issuer().to_owned(), context.settings.base_url.clone());
        return Err(AppError::SignedKeyset(RootError::Issuer { found, expected }));
    }
    Ok(pinned)
}

/// What may sign under the present keyset may under the next one too, and as long: as with every other change, a key that
/// signs is neither taken off nor revoked nor retired before another one signs, or nobody would be answered.
fn signs_on(before: &Record, next: &Keyset, now: i64) -> Result<(), AppError> {
    let usable = |key: &KeysetKey| !key.revoked && (key.nbf..key.exp).contains(&now);
    let signs = |key: &&KeysetKey| before.active.as_ref().is_none_or(|active| *active == key.kid);
    let goes_on =
        |key: &KeysetKey| next.get(&key.kid).is_some_and(|listed| usable(listed) && listed.exp >= key.exp);
    if before.keyset.keys.iter().filter(|key| usable(key)).filter(signs).all(goes_on) {
        return Ok(());
    }
    Err(AppError::Key(match before.active {
        Some(_) => {
            "under this keyset the key that signs decisions could not go on (it is missing, revoked, not yet or no longer \
             valid, or ends sooner than it did): promote another one first, or say `force=true`"
        }
        None => {
            "no key was promoted yet, and one that may be the one that signs could not go on under this keyset (it is \
             missing, revoked, not yet or no longer valid, or ends sooner than it did): promote another one first, or say \
             `force=true`"
        }
    }))
}
