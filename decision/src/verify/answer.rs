//! Steps 7 to 11: whether this is a trusted, fresh answer to the question that was asked.

use super::claims::Claims;
use super::refusal::{Refusal, shown};
use super::signer::{SKEW_SECONDS, Signer};
use super::{Expected, Stored};
use crate::keyset::Keyset;

/// The longest that a decision may last, in seconds.
const MAX_LIFETIME_SECONDS: i64 = 86_400;

/// Step 7: the keyset has not expired, and the key that is trusted may sign for this product now.
pub(super) fn step_7_trust(signer: &Signer<'_>, keyset: &Keyset, expected: &Expected) -> Result<(), Refusal> {
    let (key, now) = (signer.trusted, expected.now);
    let kid = || key.kid.clone();
    if now >= keyset.expires {
        return Err(Refusal::KeysetExpired { expires: keyset.expires, now });
    }
    if key.revoked {
        return Err(Refusal::KeyRevoked { kid: kid() });
    }
    if now < key.nbf {
        return Err(Refusal::KeyNotYetValid { kid: kid(), nbf: key.nbf, now });
    }
    if now >= key.exp {
        return Err(Refusal::KeyExpired { kid: kid(), exp: key.exp, now });
    }
    if !key.allows(&expected.product_id) {
        return Err(Refusal::KeyNotForProduct { kid: kid(), product: expected.product_id.clone() });
    }
    Ok(())
}

/// Step 8: the decision answers the very question that was asked. An absent tenant is equal only to none.
pub(super) fn step_8_question(claims: &Claims<'_>, expected: &Expected) -> Result<(), Refusal> {
    if claims.iss != expected.issuer {
        return Err(Refusal::Issuer { found: shown(claims.iss), expected: expected.issuer.clone() });
    }
    let pairs = [
        ("product_id", Some(claims.product_id), Some(expected.product_id.as_str())),
        ("channel", Some(claims.channel), Some(expected.channel.as_str())),
        ("platform", Some(claims.platform), Some(expected.platform.as_str())),
        ("arch", Some(claims.arch), Some(expected.arch.as_str())),
        ("tenant_id", claims.tenant_id, expected.tenant_id.as_deref()),
        ("from_version", Some(claims.from_version), Some(expected.installed_version.as_str())),
    ];
    let value =
        |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |text| format!("`{}`", shown(text)));
    match pairs.into_iter().find(|(_, found, asked)| found != asked) {
        None => Ok(()),
        Some((member, found, asked)) => {
            Err(Refusal::Question { member, found: value(found), expected: value(asked) })
        }
    }
}

/// Step 9: issued and not expired at `T`, for a day at most, and inside the delegation's window where there is one.
///
/// The decision may outlive the delegation: its own `exp` governs.
pub(super) fn step_9_times(
    claims: &Claims<'_>,
    signer: &Signer<'_>,
    expected: &Expected,
) -> Result<(), Refusal> {
    let (iat, exp, now) = (claims.iat, claims.exp, expected.now);
    if iat > now.saturating_add(SKEW_SECONDS) {
        return Err(Refusal::IssuedInFuture { iat, now });
    }
    if exp <= now {
        return Err(Refusal::Expired { exp, now });
    }
    let seconds = exp.saturating_sub(iat);
    if !(1..=MAX_LIFETIME_SECONDS).contains(&seconds) {
        return Err(Refusal::Lifetime { seconds });
    }
    match &signer.delegated {
        Some(window) if !(window.nbf..window.exp).contains(&iat) => {
            Err(Refusal::OutsideDelegation { iat, nbf: window.nbf, exp: window.exp })
        }
        Some(_) | None => Ok(()),
    }
}

/// Step 10: the nonce, if one was sent. A decision with a nonce answers the request that sent it and no other, so a
/// client that sent none refuses it.
pub(super) fn step_10_nonce(claims: &Claims<'_>, expected: &Expected) -> Result<(), Refusal> {
    match (&expected.nonce, claims.nonce) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::NonceUnasked),
        (Some(sent), found) if found == Some(sent.as_str()) => Ok(()),
        (Some(_), _) => Err(Refusal::Nonce),
    }
}

/// Step 11: the keyset's epoch, and nothing older than what was accepted before.
pub(super) fn step_11_order(
    claims: &Claims<'_>,
    keyset: &Keyset,
    expected: &Expected,
) -> Result<Stored, Refusal> {
    let order = Stored { epoch: positive("epoch", claims.epoch)?, seq: positive("seq", claims.seq)? };
    if order.epoch != keyset.epoch {
        return Err(Refusal::Epoch { found: order.epoch, expected: keyset.epoch });
    }
    match expected.stored {
        Some(stored) if order.epoch < stored.epoch => {
            Err(Refusal::EpochReplayed { found: order.epoch, stored: stored.epoch })
        }
        Some(stored) if order < stored => {
            Err(Refusal::Replayed { epoch: order.epoch, found: order.seq, stored: stored.seq })
        }
        Some(_) | None => Ok(order),
    }
}

fn positive(member: &'static str, found: i64) -> Result<u64, Refusal> {
    u64::try_from(found).ok().filter(|number| *number >= 1).ok_or(Refusal::NotPositive { member, found })
}
