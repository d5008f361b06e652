//! Step 4: which key signed, and whether a delegation says that it may.

use super::claims::not_understood;
use super::members::{MemberError, Members};
use super::refusal::{Refusal, shown};
use super::token::{Header, step_2_segments, step_3_header};
use crate::delegation::{MAX_LIFETIME_SECONDS, SCOPE};
use crate::json::{self, Object};
use crate::jwk::PublicKey;
use crate::jws::TYP_DELEGATION;
use crate::keyset::{Keyset, KeysetKey};

/// How far a clock may be behind the server's, in seconds.
pub(super) const SKEW_SECONDS: i64 = 300;

/// The members of a delegation, which are also the critical claims that are understood in one.
const DELEGATION_MEMBERS: [&str; 7] = ["v", "iss", "scope", "jwk", "nbf", "exp", "crit_claims"];

/// For which time the window of a delegation is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Window {
    /// It has to cover this time, Unix seconds.
    At(i64),
    /// For none: to find out when a token was issued, which says nothing about whether it is good now.
    Any,
}

/// Who signed a decision.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    /// The key of the keyset that signed it, or the delegation for the key that did.
    pub(super) trusted: &'a KeysetKey,
    /// The delegated key and its window.
    pub(super) delegated: Option<Delegated>,
}

/// A delegated key and the window in which it may sign.
#[derive(Debug)]
pub(super) struct Delegated {
    key: PublicKey,
    pub(super) nbf: i64,
    pub(super) exp: i64,
}

impl Signer<'_> {
    /// The key that the decision's own signature must be of.
    pub(super) fn public(&self) -> &PublicKey {
        self.delegated.as_ref().map_or(&self.trusted.key, |delegated| &delegated.key)
    }
}

/// Step 4: finds the key by the keyset alone, or by the keyset and a delegation.
pub(super) fn step_4_signer<'a>(
    header: &Header,
    keyset: &'a Keyset,
    issuer: &str,
    window: Window,
) -> Result<Signer<'a>, Refusal> {
    let Some(dlg) = &header.dlg else {
        return Ok(Signer { trusted: key_of_keyset(header, keyset)?, delegated: None });
    };
    let form = |refusal| Refusal::DelegationForm(Box::new(refusal));
    let parts = step_2_segments(dlg).map_err(form)?;
    let own = step_3_header(&parts.header, TYP_DELEGATION).map_err(form)?;
    let trusted = key_of_keyset(&own, keyset)?;
    let payload = parts
        .signed_by(&trusted.key)
        .map_err(|source| Refusal::DelegationSignature { kid: trusted.kid.clone(), source })?;
    let delegated = delegated_key(&payload, header, issuer, window)?;
    Ok(Signer { trusted, delegated: Some(delegated) })
}

/// The keyset key that the header names. The algorithm is the key's: the header can only agree.
fn key_of_keyset<'a>(header: &Header, keyset: &'a Keyset) -> Result<&'a KeysetKey, Refusal> {
    let key = keyset.get(&header.kid).ok_or_else(|| Refusal::UnknownKid { kid: shown(&header.kid) })?;
    let expected = key.key.alg().as_str();
    if header.alg != expected {
        return Err(Refusal::AlgMismatch { found: shown(&header.alg), expected });
    }
    Ok(key)
}

fn delegated_key(
    payload: &[u8],
    header: &Header,
    issuer: &str,
    window: Window,
) -> Result<Delegated, Refusal> {
    let object = json::parse_object(payload).map_err(Refusal::DelegationJson)?;
    let claims = DelegationClaims::read(&Members::of(&object)).map_err(Refusal::DelegationMember)?;
    claims.check_grant(issuer)?;
    claims.check_window(window)?;
    let key = PublicKey::from_json(claims.jwk).map_err(Refusal::DelegationKey)?;
    let alg = key.alg().as_str();
    if header.alg != alg {
        return Err(Refusal::DelegationAlg { found: shown(&header.alg), expected: alg });
    }
    let thumbprint = key.thumbprint();
    if header.kid != thumbprint {
        return Err(Refusal::DelegationThumbprint { found: shown(&header.kid), expected: thumbprint });
    }
    Ok(Delegated { key, nbf: claims.nbf, exp: claims.exp })
}

#[derive(Debug)]
struct DelegationClaims<'a> {
    v: i64,
    iss: &'a str,
    scope: &'a str,
    jwk: &'a Object,
    nbf: i64,
    exp: i64,
    crit_claims: Vec<&'a str>,
}

impl<'a> DelegationClaims<'a> {
    fn read(members: &Members<'a>) -> Result<Self, MemberError> {
        Ok(Self {
            v: members.integer("v")?,
            iss: members.text("iss")?,
            scope: members.text("scope")?,
            jwk: members.object("jwk")?,
            nbf: members.integer("nbf")?,
            exp: members.integer("exp")?,
            crit_claims: members.texts("crit_claims")?,
        })
    }

    fn check_grant(&self, issuer: &str) -> Result<(), Refusal> {
        if self.v != 1 {
            return Err(Refusal::DelegationVersion { found: self.v });
        }
        if self.iss != issuer {
            return Err(Refusal::DelegationIssuer { found: shown(self.iss), expected: issuer.to_owned() });
        }
        if self.scope != SCOPE {
            return Err(Refusal::DelegationScope { found: shown(self.scope) });
        }
        // A limit that a later format may add must not be overlooked.
        match not_understood(&self.crit_claims, &DELEGATION_MEMBERS) {
            None => Ok(()),
            Some(claim) => Err(Refusal::DelegationCriticalClaim { claim: shown(claim) }),
        }
    }

    fn check_window(&self, window: Window) -> Result<(), Refusal> {
        let (nbf, exp) = (self.nbf, self.exp);
        let seconds = exp.saturating_sub(nbf);
        if !(1..=MAX_LIFETIME_SECONDS).contains(&seconds) {
            return Err(Refusal::DelegationLifetime { seconds });
        }
        let Window::At(now) = window else { return Ok(()) };
        if nbf > now.saturating_add(SKEW_SECONDS) {
            return Err(Refusal::DelegationNotYetValid { nbf, now });
        }
        if exp <= now {
            return Err(Refusal::DelegationExpired { exp, now });
        }
        Ok(())
    }
}
