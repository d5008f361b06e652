//! Step 6: the payload, now that its signature is known to be good.

use super::members::{MemberError, Members};
use super::refusal::{Refusal, shown};
use crate::json::Object;

/// The claims that this client understands, whether or not a token calls them critical.
const UNDERSTOOD: [&str; 19] = [
    "v",
    "iss",
    "jti",
    "iat",
    "exp",
    "nonce",
    "product_id",
    "channel",
    "platform",
    "arch",
    "from_version",
    "tenant_id",
    "epoch",
    "seq",
    "action",
    "reason",
    "release",
    "artifact",
    "crit_claims",
];

/// The claims of a decision: every known member that is there has its type, nothing more is known of it.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) jti: &'a str,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) nonce: Option<&'a str>,
    pub(super) product_id: &'a str,
    pub(super) channel: &'a str,
    pub(super) platform: &'a str,
    pub(super) arch: &'a str,
    pub(super) from_version: &'a str,
    pub(super) tenant_id: Option<&'a str>,
    pub(super) epoch: i64,
    pub(super) seq: i64,
    pub(super) action: &'a str,
    pub(super) reason: &'a str,
    pub(super) release: Option<ReleaseClaims<'a>>,
    pub(super) artifact: Option<ArtifactClaims<'a>>,
}

/// The members of `release`.
#[derive(Debug)]
pub(super) struct ReleaseClaims<'a> {
    pub(super) release_id: &'a str,
    pub(super) version: &'a str,
    pub(super) channel: Option<&'a str>,
    pub(super) floor: Option<&'a str>,
    pub(super) allow_downgrade: Option<bool>,
    pub(super) critical: Option<bool>,
    pub(super) notes_url: Option<&'a str>,
}

/// The members of `artifact`.
#[derive(Debug)]
pub(super) struct ArtifactClaims<'a> {
    pub(super) artifact_id: &'a str,
    pub(super) sha256: &'a str,
    pub(super) size_bytes: i64,
    pub(super) url: &'a str,
    pub(super) installer_type: &'a str,
    pub(super) requires_admin: Option<bool>,
    pub(super) file_name: Option<&'a str>,
    pub(super) access: Option<&'a str>,
    pub(super) verification: Option<&'a str>,
}

/// Step 6: format version, critical claims, and the type of every known member. Other members are let be.
pub(super) fn step_6_payload(object: &Object) -> Result<Claims<'_>, Refusal> {
    let members = Members::of(object);
    let version = members.integer("v").map_err(Refusal::PayloadMember)?;
    if version != 1 {
        return Err(Refusal::FormatVersion { found: version });
    }
    let critical = members.texts("crit_claims").map_err(Refusal::PayloadMember)?;
    if let Some(claim) = not_understood(&critical, &UNDERSTOOD) {
        return Err(Refusal::CriticalClaim { claim: shown(claim) });
    }
    Claims::read(&members).map_err(Refusal::PayloadMember)
}

/// A claim that is called critical and is not understood.
pub(super) fn not_understood<'a>(critical: &[&'a str], understood: &[&str]) -> Option<&'a str> {
    critical.iter().copied().find(|claim| !understood.contains(claim))
}

impl<'a> Claims<'a> {
    fn read(members: &Members<'a>) -> Result<Self, MemberError> {
        let release = members.members_if("release", "release.")?;
        let artifact = members.members_if("artifact", "artifact.")?;
        Ok(Self {
            iss: members.text("iss")?,
            jti: members.text("jti")?,
            iat: members.integer("iat")?,
            exp: members.integer("exp")?,
            nonce: members.text_if("nonce")?,
            product_id: members.text("product_id")?,
            channel: members.text("channel")?,
            platform: members.text("platform")?,
            arch: members.text("arch")?,
            from_version: members.text("from_version")?,
            tenant_id: members.text_if("tenant_id")?,
            epoch: members.integer("epoch")?,
            seq: members.integer("seq")?,
            action: members.text("action")?,
            reason: members.text("reason")?,
            release: release.as_ref().map(ReleaseClaims::read).transpose()?,
            artifact: artifact.as_ref().map(ArtifactClaims::read).transpose()?,
        })
    }
}

impl<'a> ReleaseClaims<'a> {
    fn read(members: &Members<'a>) -> Result<Self, MemberError> {
        Ok(Self {
            release_id: members.text("release_id")?,
            version: members.text("version")?,
            channel: members.text_if("channel")?,
            floor: members.text_if("floor")?,
            allow_downgrade: members.flag_if("allow_downgrade")?,
            critical: members.flag_if("critical")?,
            notes_url: members.text_if("notes_url")?,
        })
    }
}

impl<'a> ArtifactClaims<'a> {
    fn read(members: &Members<'a>) -> Result<Self, MemberError> {
        Ok(Self {
            artifact_id: members.text("artifact_id")?,
            sha256: members.text("sha256")?,
            size_bytes: members.integer("size_bytes")?,
            url: members.text("url")?,
            installer_type: members.text("installer_type")?,
            requires_admin: members.flag_if("requires_admin")?,
            file_name: members.text_if("file_name")?,
            access: members.text_if("access")?,
            verification: members.text_if("verification")?,
        })
    }
}
