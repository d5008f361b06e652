//! Delegations: a keyset key says that another key may sign decisions for a while.

use std::sync::Arc;

use serde::Serialize;

use crate::jwk::{Alg, Jwk, PublicKey};
use crate::jws;

/// The one scope that a delegation may have.
pub const SCOPE: &str = "update-decision";

/// The longest that a delegation may last, in seconds.
pub const MAX_LIFETIME_SECONDS: i64 = 3_600;

/// The payload of a delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delegation {
    v: u8,
    iss: Arc<str>,
    scope: &'static str,
    jwk: Jwk,
    nbf: i64,
    exp: i64,
}

/// A delegation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DelegationError {
    /// The window is empty or longer than an hour.
    #[error("a delegation from {nbf} to {exp} does not last 1 to {MAX_LIFETIME_SECONDS} seconds")]
    Lifetime {
        /// First second.
        nbf: i64,
        /// First second after it.
        exp: i64,
    },
    /// The payload could not be written.
    #[error("cannot write the delegation")]
    Json(#[source] serde_json::Error),
}

impl Delegation {
    /// A delegation by the deployment `iss` to `key`, from `nbf` until before `exp` (Unix seconds).
    ///
    /// # Errors
    /// [`DelegationError::Lifetime`] where the window is empty or longer than [`MAX_LIFETIME_SECONDS`].
    pub fn new(iss: Arc<str>, key: &PublicKey, nbf: i64, exp: i64) -> Result<Self, DelegationError> {
        if !(1..=MAX_LIFETIME_SECONDS).contains(&exp.saturating_sub(nbf)) {
            return Err(DelegationError::Lifetime { nbf, exp });
        }
        Ok(Self { v: 1, iss, scope: SCOPE, jwk: key.to_jwk(), nbf, exp })
    }

    /// What the keyset key `kid` of algorithm `alg` has to sign; [`jws::compact`] then makes the delegation of it.
    ///
    /// # Errors
    /// [`DelegationError::Json`] where the payload could not be written.
    pub fn signing_input(&self, alg: Alg, kid: &str) -> Result<String, DelegationError> {
        let payload = serde_json::to_vec(self).map_err(DelegationError::Json)?;
        Ok(jws::signing_input(&jws::encode_delegation_header(alg, kid), &payload))
    }

    /// First second of the delegation, Unix seconds.
    pub const fn nbf(&self) -> i64 {
        self.nbf
    }

    /// First second after the delegation, Unix seconds.
    pub const fn exp(&self) -> i64 {
        self.exp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_written_as_specified() {
        let key = PublicKey::from_ed25519([0; 32]);
        let delegation = Delegation::new("https://u.example".into(), &key, 100, 3_700).unwrap();
        let x = "A".repeat(43);
        let expected = format!(
            r#"{{"v":1,"iss":"https://u.example","scope":"update-decision","jwk":{{"crv":"Ed25519","kty":"OKP","x":"{x}","alg":"EdDSA"}},"nbf":100,"exp":3700}}"#
        );
        assert_eq!(serde_json::to_string(&delegation).unwrap(), expected);
    }

    #[test]
    fn a_delegation_lasts_one_second_to_one_hour() {
        let key = PublicKey::from_ed25519([0; 32]);
        for (nbf, exp) in [(0, 0), (5, 4), (0, 3_601), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            let refused = Delegation::new("i".into(), &key, nbf, exp).unwrap_err();
            assert!(matches!(refused, DelegationError::Lifetime { .. }), "{nbf} {exp}");
        }
        assert!(Delegation::new("i".into(), &key, 0, 1).is_ok());
    }
}
