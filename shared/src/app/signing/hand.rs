//! What signs decisions at a moment: the key of the keyset itself, or a key of this process that it has delegated to.

use std::sync::Arc;

use decision::{
    delegation::Delegation,
    jws,
    sign::{LocalKey, SignError},
};

use super::{super::error::AppError, Open, in_time};
use crate::ports::signer::{Signer, SignerError};

/// How far a clock may be set back, in seconds, without a delegation being made anew: decisions then bear its beginning.
const SET_BACK: i64 = 60;

/// What signs decisions.
#[derive(Debug)]
pub(crate) struct Hand {
    /// The header of its decisions.
    pub(super) header: String,
    pub(super) key: HandKey,
    /// The id of the keyset's key that answers for it: itself, or the one that delegated to it.
    pub(crate) kid: Arc<str>,
    /// Which hand of this process it is: a token that is remembered belongs to the hand that signed it.
    pub(super) number: u64,
    /// First second in which it may sign.
    nbf: i64,
    /// First second in which it may no longer sign.
    pub(crate) end: i64,
}

#[derive(Debug)]
pub(super) enum HandKey {
    /// The key that the keyset lists.
    Keyset(Arc<dyn Signer>),
    /// A key in the memory of this process alone.
    Own(LocalKey),
}

impl Hand {
    /// The keyset's own key.
    pub(super) fn direct(signer: Arc<dyn Signer>, number: u64) -> Self {
        let public = signer.public_key();
        let kid: Arc<str> = public.thumbprint().into();
        let header = jws::encode_header(public.alg(), &kid, None);
        Self { header, key: HandKey::Keyset(signer), kid, number, nbf: i64::MIN, end: i64::MAX }
    }

    /// A new key of this process, for which the keyset's key signs a delegation from `now` until before `end`.
    ///
    /// A faulty signature, or a key whose halves do not belong together, never comes to be used.
    pub(super) async fn delegated(
        open: &Open,
        issuer: Arc<str>,
        (now, end): (i64, i64),
        number: u64,
    ) -> Result<Self, AppError> {
        let public = *open.signer.public_key();
        let key = fresh_key(public.alg()).map_err(|error| SignerError::Unavailable(error.into()));
        let key = key.map_err(AppError::Signer)?;
        let unwritable = |_| AppError::Internal("a delegation cannot be written");
        let delegation = Delegation::new(issuer, key.public(), now, end).map_err(unwritable)?;
        let input = delegation.signing_input(public.alg(), &open.kid).map_err(unwritable)?;
        let signature = in_time(open.signer.sign(input.as_bytes())).await.map_err(AppError::Signer)?;
        let proved = public.verify(input.as_bytes(), &signature);
        proved.map_err(|_| AppError::Signer(SignerError::Unverified))?;
        let dlg = jws::compact(input, &signature);
        let header = jws::encode_header(public.alg(), key.kid(), Some(&dlg));
        let kid = open.kid.as_str().into();
        Ok(Self { header, key: HandKey::Own(key), kid, number, nbf: now, end })
    }

    /// The time that a decision of this hand bears where the clock shows `now`; `None` where it may not sign.
    pub(super) fn at(&self, now: i64) -> Option<i64> {
        let back = self.nbf.saturating_sub(now);
        let iat = if (1..=SET_BACK).contains(&back) { self.nbf } else { now };
        (self.nbf..self.end).contains(&iat).then_some(iat)
    }
}

fn fresh_key(alg: decision::jwk::Alg) -> Result<LocalKey, SignError> {
    let key = LocalKey::from_pkcs8_der(&LocalKey::generate(alg)?)?;
    let message = b"this key signs for the public half that its delegation names";
    let signature = key.sign(message)?;
    key.public().verify(message, &signature).map_err(|_| SignError::Failed)?;
    Ok(key)
}
