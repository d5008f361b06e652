//! Records as callers see them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    app::{
        audit::{Event, SYSTEM},
        external::{Check, UnderWay},
        products::Product,
    },
    domain::{
        artifact::{Access, Artifact, ArtifactState, SourceType, Verification, Warning},
        digest::Sha256,
        ids::{ArtifactId, UploadId},
        release::{Release, ReleaseArtifact},
        token::Token,
        upload::{Upload, UploadState},
    },
    ports::{
        large_objects::{PartDoor, PartDoors},
        objects::UploadDoors,
    },
};

/// A time in RFC 3339, UTC, to the millisecond.
pub fn time(unix_ms: i64) -> String {
    let nanos = i128::from(unix_ms).saturating_mul(1_000_000);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// Reads a time in RFC 3339; Unix milliseconds.
pub fn read_time(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// An artifact as callers see it.
#[derive(Debug, Serialize)]
pub struct ArtifactView {
    artifact_id: ArtifactId,
    source_type: SourceType,
    state: ArtifactState,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    sha256: Sha256,
    size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    access: Access,
    labels: BTreeMap<String, String>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    warnings: Vec<Warning>,
}

impl From<Artifact> for ArtifactView {
    fn from(artifact: Artifact) -> Self {
        let escrow = artifact.escrow.as_ref().map(|escrow| {
            let kept_at = artifact.copy().and(escrow.kept_at).map(time);
            json!({ "kept_at": kept_at, "served": artifact.served_copy().is_some(), "original": escrow.original })
        });
        Self {
            artifact_id: artifact.artifact_id,
            source_type: artifact.source_type(),
            state: artifact.state,
            verification: artifact.verification,
            sha256: artifact.sha256,
            size_bytes: artifact.size_bytes,
            external_url: shown_url(&artifact),
            file_name: artifact.file_name,
            content_type: artifact.content_type,
            access: artifact.access,
            labels: artifact.labels,
            created_at: time(artifact.created_at),
            verified_at: artifact.verified_at.map(time),
            escrow,
            removed_at: artifact.removed_at.map(time),
            reason: artifact.reason,
            warnings: artifact.warnings,
        }
    }
}

/// The external URL; of an artifact that not everybody may download without its query, which may open it.
fn shown_url(artifact: &Artifact) -> Option<String> {
    let url = artifact.external_url()?;
    let open = artifact.access == Access::Public;
    Some(if open { url } else { url.split('?').next().unwrap_or(url) }.to_owned())
}

/// An upload as callers see it, with fresh URLs while it takes bytes.
#[derive(Debug, Serialize)]
pub struct UploadView {
    upload_id: UploadId,
    state: UploadState,
    sha256: Sha256,
    size_bytes: u64,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_id: Option<ArtifactId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_bytes: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    doors: Option<DoorsView>,
}

impl UploadView {
    /// An upload, and the doors that are open.
    pub fn new(upload: &Upload, doors: Option<DoorsView>) -> Self {
        let reading = upload.state == UploadState::Completing && upload.multipart.is_some();
        Self {
            verified_bytes: reading.then(|| upload.hashed.as_ref().map_or(0, |hashed| hashed.saved.bytes)),
            upload_id: upload.upload_id,
            state: upload.state,
            sha256: upload.sha256,
            size_bytes: upload.size_bytes,
            created_at: time(upload.created_at),
            expires_at: time(upload.expires_at),
            artifact_id: upload.artifact_id,
            reason: upload.failure.as_ref().map(|failure| format!("{}: {}", failure.code, failure.message)),
            doors,
        }
    }
}

/// The doors of an upload as callers see them.
#[derive(Debug, Serialize)]
pub struct DoorsView {
    upload_url: Option<String>,
    checksum_locked: Option<LockedView>,
    multipart: Option<Value>,
    url_expires_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct LockedView {
    url: String,
    headers: BTreeMap<String, String>,
}

impl DoorsView {
    /// The doors of an upload; one whose bytes come in parts has none, but says how it is cut.
    pub fn new(upload: &Upload, doors: Option<UploadDoors>) -> Self {
        let cut = upload.multipart.as_ref();
        let (upload_url, locked, expires_at) = match doors {
            Some(doors) => (Some(doors.upload_url), doors.checksum_locked, Some(doors.expires_at)),
            None => (None, None, None),
        };
        Self {
            upload_url,
            checksum_locked: locked.map(|door| LockedView { url: door.url, headers: door.headers }),
            multipart: cut
                .map(|cut| json!({ "part_size_bytes": cut.part_size_bytes, "part_count": cut.part_count })),
            url_expires_at: expires_at.map(time),
        }
    }
}

/// Where parts of an upload are put.
pub fn parts(doors: PartDoors) -> Value {
    let part =
        |door: PartDoor| json!({ "part_number": door.part_number, "url": door.url, "headers": door.headers });
    let parts: Vec<Value> = doors.parts.into_iter().map(part).collect();
    json!({ "parts": parts, "url_expires_at": time(doors.expires_at) })
}

/// A product as callers see it.
pub fn product(product: &Product) -> Value {
    json!({
        "product_id": product.product_id, "name": product.name,
        "restricted_channels": product.restricted_channels, "created_at": time(product.created_at),
    })
}

/// A release as callers see it.
pub fn release(release: &Release) -> Value {
    let mut view = json!({
        "release_id": release.release_id, "product_id": release.product_id, "version": release.version,
        "channel": release.channel, "status": release.status,
        "artifacts": release.artifacts.iter().map(release_artifact).collect::<Vec<_>>(),
        "rollout": { "percentage": release.rollout.percentage, "paused": release.rollout.paused },
        "critical": release.critical, "created_at": time(release.created_at),
    });
    let revocation = release.revocation.as_ref();
    let optional = [
        ("release_notes", release.release_notes.as_ref().map(|notes| json!(notes))),
        ("min_from_version", release.min_from_version.as_ref().map(|version| json!(version))),
        ("floor", release.floor.as_ref().map(|version| json!(version))),
        ("published_at", release.published_at.map(|at| json!(time(at)))),
        ("rejected_reason", release.rejected_reason.as_ref().map(|reason| json!(reason))),
        ("promoted_from", release.promoted_from.as_ref().map(|channel| json!(channel))),
        ("revoked_at", revocation.map(|revocation| json!(time(revocation.at)))),
        ("revoked_by", revocation.map(|revocation| json!(revocation.by))),
        ("reason", revocation.map(|revocation| json!(revocation.reason))),
        ("allow_downgrade", revocation.map(|revocation| json!(revocation.allow_downgrade))),
    ];
    add(&mut view, optional);
    view
}

fn add<const N: usize>(view: &mut Value, optional: [(&str, Option<Value>); N]) {
    if let Some(view) = view.as_object_mut() {
        let present = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        view.extend(present);
    }
}

fn release_artifact(part: &ReleaseArtifact) -> Value {
    let mut view = json!({
        "artifact_id": part.artifact_id, "platform": part.platform, "arch": part.arch,
        "installer_type": part.installer_type, "requires_admin": part.requires_admin,
    });
    add(&mut view, [("min_os_version", part.min_os_version.as_ref().map(|version| json!(version)))]);
    view
}

/// A token as callers see it: never its text.
pub fn token(token: &Token) -> Value {
    json!({
        "token_id": token.token_id, "name": token.name, "scopes": token.scopes, "tenant_id": token.tenant_id,
        "product_id": token.product_id, "created_at": time(token.created_at), "expires_at": token.expires_at.map(time),
    })
}

/// An audit entry as callers see it.
pub fn event(event: &Event) -> Value {
    json!({
        "event_id": event.event_id, "at": time(event.at), "actor": event.actor.map_or_else(|| SYSTEM.to_owned(), |id| id.to_string()), "type": event.kind,
        "subject": event.subject, "before": event.before, "after": event.after, "source_ip": event.source_ip,
        "request_id": event.request_id,
    })
}

/// How far a check came, as callers see it.
pub fn under_way(check: &UnderWay) -> Value {
    json!({ "bytes_read": check.bytes_read, "size_bytes": check.size_bytes })
}

/// A check as callers see it.
pub fn check(check: &Check) -> Value {
    let mut view =
        json!({ "checked_at": time(check.checked_at), "means": check.means, "result": check.result });
    let optional = [
        ("code", check.code.as_ref().map(|code| json!(code))),
        ("message", check.message.as_ref().map(|m| json!(m))),
    ];
    add(&mut view, optional);
    view
}
