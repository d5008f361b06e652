//! Registering an artifact whose bytes live elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    access,
    artifacts::REMOVED,
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    external,
    idempotency::{Claim, Made},
    keys,
    store::{Batch, Store, Stored, retrying, unchanged},
    unavailable,
};
use crate::{
    domain::{
        artifact::{
            Access, Artifact, ArtifactState, Attempts, Escrow, Location, Verification, Warning, WarningCode,
        },
        digest::Sha256,
        external_url::{Expiry, ExternalUrl, admit, expiry},
        ids::ArtifactId,
        upload::ObjectKey,
    },
    ports::{items::Expect, tasks::Task},
};

const ACCESS: &str = "another `access`";

/// Who may download some bytes, and the artifact that said so last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessOfBytes {
    /// Who may download.
    pub access: Access,
    /// An artifact with these bytes.
    pub artifact_id: ArtifactId,
}

/// What a registrant says.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// Their size.
    pub size_bytes: u64,
    /// Where they are.
    pub external_url: String,
    /// The name a download gets.
    pub file_name: Option<String>,
    /// The media type a download gets.
    pub content_type: Option<String>,
    /// The registrant's own notes.
    pub labels: BTreeMap<String, String>,
    /// Who may download.
    pub access: Access,
    /// Whether a copy is to be kept in managed storage.
    pub escrow: bool,
}

/// Registers an artifact; `false` beside it where the same was registered before.
///
/// # Errors
/// [`AppError::Url`], [`AppError::BeyondLimit`], [`AppError::Invalid`], [`AppError::ArtifactExists`], [`AppError::ArtifactRevoked`], and those of the store.
pub async fn register(
    context: &Context,
    caller: &Caller,
    registration: &Registration,
    claim: Option<&Claim>,
) -> Result<(Artifact, bool), AppError> {
    let settings = &context.settings;
    let rules = settings.url_rules.clone().plain_http(registration.escrow);
    let (url, repository) = admit(&registration.external_url, &rules, &settings.repositories)?;
    // Before anything is looked at, so that the answer tells nothing of what is there.
    if repository.is_some_and(|entry| !entry.serves(caller.product_id.as_ref())) {
        return Err(AppError::BeyondLimit("one product"));
    }
    if registration.escrow {
        check_escrow(context, registration)?;
    }
    let shut = repository
        .filter(|entry| entry.has_credentials && registration.access != Access::ClientAuthenticates);
    let unreadable = shut.is_some_and(|entry| !entry.gives_links);
    if unreadable && !registration.escrow {
        let rule = "the repository needs credentials, which clients do not have: set `client_authenticates`, or `escrow`";
        return Err(AppError::invalid("access", rule));
    }
    let declared = registration.access == Access::ClientAuthenticates
        && context.settings.allow_declared
        && repository.is_none_or(|entry| !entry.has_credentials);
    let always = unreadable || url.scheme() == "http" || expiry(&url) != Expiry::Never;
    let kind = External {
        url: &url,
        declared,
        private: shut.is_some(),
        copied: registration.escrow.then_some(always),
    };
    retrying(|| register_once(context, caller, registration, &kind, claim)).await
}

fn check_escrow(context: &Context, registration: &Registration) -> Result<(), AppError> {
    if registration.access == Access::ClientAuthenticates {
        let rule = "with `client_authenticates` clients read the original, and no copy is kept";
        return Err(AppError::invalid("escrow", rule));
    }
    let most = context.settings.escrow_max_size_bytes;
    if registration.size_bytes > most {
        let rule = format!(
            "with `escrow` an artifact has at most {most} bytes here (`external.escrow_max_size_bytes`)"
        );
        return Err(AppError::invalid("size_bytes", rule));
    }
    Ok(())
}

/// What a registration is, by its repository.
struct External<'a> {
    url: &'a ExternalUrl,
    /// Taken on the registrant's word.
    declared: bool,
    /// Read by clients through links that are signed for them.
    private: bool,
    /// Copied, and whether clients are given the copy from the beginning.
    copied: Option<bool>,
}

async fn register_once(
    context: &Context,
    caller: &Caller,
    registration: &Registration,
    kind: &External<'_>,
    claim: Option<&Claim>,
) -> Result<(Artifact, bool), AppError> {
    let External { url, declared, .. } = *kind;
    if let Some(existing) =
        same_bytes(context, &registration.sha256, registration.access, Some(url.as_str())).await?
    {
        compare(&existing.value, registration)?;
        return again(context, caller, existing, claim).await;
    }
    let artifact = make(context, caller, registration, kind)?;
    let mut batch = Batch::default();
    batch.put(keys::artifact(artifact.artifact_id), &artifact, Expect::Absent)?;
    let bytes = keys::external_bytes(&artifact.sha256, url.as_str());
    batch.put(bytes, &artifact.artifact_id, Expect::Absent)?;
    batch.check(keys::revoked_bytes(&artifact.sha256), Expect::Absent);
    claim_access(context, &mut batch, &artifact).await?;
    if !declared {
        external::schedule(&mut batch, artifact.artifact_id, Expect::Absent)?;
    }
    let after = json!({ "source_type": "EXTERNAL", "sha256": artifact.sha256, "size_bytes": artifact.size_bytes,
        "external_url": url.without_query(), "access": artifact.access, "state": artifact.state });
    let subject = artifact.artifact_id.to_string();
    let entry = Entry { kind: "artifact.registered", subject, before: None, after: Some(after) };
    audit::record(&mut batch, context, Some(caller), entry)?;
    if let Some(claim) = claim {
        claim.made(&mut batch, context, Made::Artifact(artifact.artifact_id))?;
    }
    context.store.commit(batch).await?;
    if !declared {
        context.start(&Task::Check { artifact_id: artifact.artifact_id }).await;
    }
    Ok((artifact, true))
}

fn make(
    context: &Context,
    caller: &Caller,
    registration: &Registration,
    kind: &External<'_>,
) -> Result<Artifact, AppError> {
    let External { url, declared, private, copied } = *kind;
    let now = context.clock.now_ms();
    let artifact_id = context.ids.artifact()?;
    let escrow = copied.map(|always| Escrow {
        key: ObjectKey::escrow(artifact_id, 1),
        version: None,
        kept_at: None,
        always,
        original: None,
    });
    let expires_at = readable_end(url, now)?;
    let warning = |_| Warning {
        code: WarningCode::UrlExpires,
        message: "the URL carries an expiry: decisions stop naming this artifact then".into(),
    };
    Ok(Artifact {
        artifact_id,
        state: if declared { ArtifactState::Available } else { ArtifactState::Verifying },
        verification: declared.then_some(Verification::Declared),
        sha256: registration.sha256,
        size_bytes: registration.size_bytes,
        location: Location::External { url: url.as_str().to_owned(), expires_at, private },
        file_name: registration.file_name.clone(),
        content_type: registration.content_type.clone(),
        access: registration.access,
        labels: registration.labels.clone(),
        registered_by: caller.token_id,
        registered_for: caller.product_id.clone(),
        created_at: now,
        verified_at: None,
        reason: None,
        revoked_at: None,
        wanted_at: None,
        removed_at: None,
        escrow,
        warnings: expires_at.filter(|_| copied.is_none()).map(warning).into_iter().collect(),
        attempts: Attempts { made: 0, since: now, next_at: now },
        validators: None,
    })
}

/// When the URL ends by its own word (Unix seconds): decisions must end with it, so it has to be readable and to come.
fn readable_end(url: &ExternalUrl, now: i64) -> Result<Option<i64>, AppError> {
    match expiry(url) {
        Expiry::Never => Ok(None),
        Expiry::At(end) if end > now.div_euclid(1_000) => Ok(Some(end)),
        Expiry::At(_) => {
            Err(AppError::invalid("external_url", "it has ended by its own expiry: sign a new one"))
        }
        Expiry::Unreadable => Err(AppError::invalid(
            "external_url",
            "it carries an expiry that cannot be read, so no decision could be kept from outliving it",
        )),
    }
}

/// Answers a second registration of the same, and remembers that it was asked for.
async fn again(
    context: &Context,
    caller: &Caller,
    found: Stored<Artifact>,
    claim: Option<&Claim>,
) -> Result<(Artifact, bool), AppError> {
    let id = found.value.artifact_id;
    let mut batch = Batch::default();
    let before = found.value.state;
    let artifact = want(context, &mut batch, found).await?;
    access::note_registrant(&mut batch, caller.product_id.as_ref(), id)?;
    if let Some(claim) = claim {
        claim.made(&mut batch, context, Made::KnownArtifact(id))?;
    }
    if !batch.is_empty() {
        context.store.commit(batch).await?;
    }
    if artifact.state != before {
        context.start(&Task::Check { artifact_id: id }).await;
    }
    Ok((artifact, false))
}

/// Notes that an artifact with a copy is still wanted; one whose copy was removed is fetched again.
async fn want(context: &Context, batch: &mut Batch, found: Stored<Artifact>) -> Result<Artifact, AppError> {
    let (now, mut artifact) = (context.clock.now_ms(), found.value.clone());
    let Some(escrow) = &mut artifact.escrow else { return Ok(artifact) };
    let removed = artifact.removed_at.take().is_some();
    if removed {
        let key = escrow.key.next_escrow();
        *escrow = Escrow { key, version: None, kept_at: None, always: escrow.always, original: None };
        artifact.attempts = Attempts { made: 0, since: now, next_at: now };
        external::schedule(batch, artifact.artifact_id, Expect::Anything)?;
    }
    if removed && artifact.reason.as_ref().is_some_and(|reason| reason.starts_with(REMOVED)) {
        artifact.state = ArtifactState::Verifying;
        artifact.reason = None;
    }
    artifact.wanted_at = Some(now);
    batch.put(keys::artifact(artifact.artifact_id), &artifact, found.unchanged())?;
    unavailable::change(context, batch, &found.value, Some(&artifact)).await?;
    Ok(artifact)
}

/// Makes the transaction depend on there being one `access` for these bytes, this artifact's.
///
/// # Errors
/// [`AppError::ArtifactExists`], and those of the store.
pub async fn claim_access(context: &Context, batch: &mut Batch, artifact: &Artifact) -> Result<(), AppError> {
    let key = keys::access_of_bytes(&artifact.sha256);
    let found: Option<Stored<AccessOfBytes>> = context.store.get(key.clone()).await?;
    if let Some(other) = found.as_ref().filter(|found| found.value.access != artifact.access) {
        return Err(AppError::ArtifactExists { id: other.value.artifact_id, difference: ACCESS });
    }
    let expect = unchanged(found.as_ref());
    let claim = AccessOfBytes { access: artifact.access, artifact_id: artifact.artifact_id };
    batch.put(key, &claim, expect)
}

/// The same fields again are the same artifact; other fields are a conflict, since an artifact does not change.
fn compare(existing: &Artifact, registration: &Registration) -> Result<(), AppError> {
    let id = existing.artifact_id;
    let differs = |difference| Err(AppError::ArtifactExists { id, difference });
    if existing.size_bytes != registration.size_bytes {
        return differs("another size");
    }
    if existing.file_name != registration.file_name || existing.content_type != registration.content_type {
        return differs("another file name or content type");
    }
    if existing.escrow.is_some() != registration.escrow {
        return differs("another `escrow`");
    }
    if existing.labels != registration.labels {
        return differs("other labels");
    }
    Ok(())
}

/// The artifact that has these bytes already: at this URL, or (without one) in managed storage.
///
/// # Errors
/// [`AppError::ArtifactRevoked`] where they were revoked, [`AppError::ArtifactExists`] where they are registered with
/// another `access`, and those of the store.
pub async fn same_bytes(
    context: &Context,
    sha256: &Sha256,
    access: Access,
    url: Option<&str>,
) -> Result<Option<Stored<Artifact>>, AppError> {
    let wanted = url.map_or_else(|| keys::managed_bytes(sha256), |url| keys::external_bytes(sha256, url));
    let keys = [keys::revoked_bytes(sha256), keys::access_of_bytes(sha256), wanted];
    let found = context.store.get_raw(&keys).await?;
    let mut found = found.iter().map(Option::as_ref);
    let mut next = || found.next().flatten();
    if let Some(revoked) = Store::record::<ArtifactId>(next())? {
        return Err(AppError::ArtifactRevoked(revoked.value));
    }
    if let Some(claimed) =
        Store::record::<AccessOfBytes>(next())?.filter(|claimed| claimed.value.access != access)
    {
        return Err(AppError::ArtifactExists { id: claimed.value.artifact_id, difference: ACCESS });
    }
    match Store::record::<ArtifactId>(next())? {
        None => Ok(None),
        Some(id) => context.store.get(keys::artifact(id.value)).await,
    }
}
