//! What a verifying client checks, in the order and with the numbers of the specification.
//!
//! Any failure ends it: the caller keeps its stored state as it was and reports the [`Refusal`]. Step 14, storing and
//! downloading, is the caller's.

mod answer;
mod claims;
mod clock;
mod location;
mod members;
mod offer;
mod refusal;
mod signer;
mod token;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::clock::accepted_when_issued;
pub use self::location::LocationError;
pub use self::members::MemberError;
pub use self::refusal::Refusal;
use self::signer::{Signer, Window};
use crate::json;
use crate::jws::TYP_DECISION;
use crate::keyset::Keyset;
use crate::payload::{Action, ArtifactRef, ReleaseRef};
use crate::version::Version;

/// What the client asked, remembers and allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The time `T` of the check, Unix seconds: noted once.
    pub now: i64,
    /// The deployment that was asked.
    pub issuer: String,
    /// The product asked for.
    pub product_id: String,
    /// The channel asked for, `stable` where none was.
    pub channel: String,
    /// The platform asked for.
    pub platform: String,
    /// The architecture asked for.
    pub arch: String,
    /// The tenant asked for, where there is one.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// The version that is installed, as it was asked with.
    pub installed_version: Version,
    /// The nonce of the request, where one was sent.
    #[serde(default)]
    pub nonce: Option<String>,
    /// The pair stored for this issuer, product and tenant (or none), where there is one.
    #[serde(default)]
    pub stored: Option<Stored>,
    /// The most bytes that the client is willing to download.
    pub max_artifact_bytes: u64,
    /// Development switch: whether plain `http` to a loopback host will do. Off by default.
    #[serde(default)]
    pub allow_loopback_http: bool,
    /// The installer types asked for; empty where none were.
    #[serde(default)]
    pub installer_types: Vec<String>,
}

/// The `(epoch, seq)` of the newest decision that the client has accepted. The order is theirs: first the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stored {
    /// The keyset epoch.
    pub epoch: u64,
    /// The counter within the epoch.
    pub seq: u64,
}

/// A decision that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The payload exactly as it was received and signed.
    pub payload_json: String,
    /// What it says.
    pub payload: Facts,
}

/// The facts of a verified decision that the client does not know already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The decision's id.
    pub jti: Arc<str>,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds.
    pub exp: i64,
    /// The epoch, to be stored.
    pub epoch: u64,
    /// The counter, to be stored.
    pub seq: u64,
    /// What to do.
    pub action: Action,
    /// Why: a word of [`Reason`](crate::payload::Reason), or a newer one that this client does not know.
    pub reason: Arc<str>,
    /// The release offered, where the action is not [`Action::None`].
    pub release: Option<ReleaseRef>,
    /// The artifact offered, where the action is not [`Action::None`].
    pub artifact: Option<ArtifactRef>,
}

impl Facts {
    /// The pair to store before anything is downloaded.
    pub const fn to_store(&self) -> Stored {
        Stored { epoch: self.epoch, seq: self.seq }
    }
}

/// Checks a token against the keyset that the client trusts and what it expects.
///
/// # Errors
/// [`Refusal`], for the first check that fails.
pub fn verify(token: &str, keyset: &Keyset, expected: &Expected) -> Result<Verified, Refusal> {
    let (signer, received) = steps_1_to_5(token, keyset, expected, Window::At(expected.now))?;
    let object = json::parse_object(&received).map_err(Refusal::PayloadJson)?;
    let claims = claims::step_6_payload(&object)?;
    answer::step_7_trust(&signer, keyset, expected)?;
    answer::step_8_question(&claims, expected)?;
    answer::step_9_times(&claims, &signer, expected)?;
    answer::step_10_nonce(&claims, expected)?;
    let order = answer::step_11_order(&claims, keyset, expected)?;
    let offer = offer::step_12_shape(&claims, expected)?;
    let (action, release, artifact) = offer::step_13_artifact(offer, expected)?;
    let payload = Facts {
        jti: claims.jti.into(),
        iat: claims.iat,
        exp: claims.exp,
        epoch: order.epoch,
        seq: order.seq,
        action,
        reason: claims.reason.into(),
        release,
        artifact,
    };
    let not_text = |_| Refusal::PayloadJson(json::JsonError::NotUtf8);
    Ok(Verified { payload_json: String::from_utf8(received).map_err(not_text)?, payload })
}

/// Steps 1 to 5: who signed the token, and its payload, of which nothing was read before its signature held.
fn steps_1_to_5<'a>(
    token: &str,
    keyset: &'a Keyset,
    expected: &Expected,
    window: Window,
) -> Result<(Signer<'a>, Vec<u8>), Refusal> {
    token::step_1_size(token)?;
    let parts = token::step_2_segments(token)?;
    let header = token::step_3_header(&parts.header, TYP_DECISION)?;
    let signer = signer::step_4_signer(&header, keyset, &expected.issuer, window)?;
    let payload = parts.signed_by(signer.public()).map_err(Refusal::Signature)?;
    Ok((signer, payload))
}
