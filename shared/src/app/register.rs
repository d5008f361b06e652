//! Registering an artifact whose bytes live elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    access,
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    external,
    idempotency::{Claim, Made},
    keys,
    store::{Batch, Store, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Access, Artifact, ArtifactState, Attempts, Location, Verification, Warning, WarningCode},
        digest::Sha256,
        external_url::{Expiry, ExternalUrl, admit, expiry},
        ids::ArtifactId,
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
}

/// Registers an artifact; `false` beside it where the same was registered before.
///
/// # Errors
/// [`AppError::Url`], [`AppError::Invalid`], [`AppError::ArtifactExists`], [`AppError::ArtifactRevoked`], and those of the store.
pub async fn register(
    context: &Context,
    caller: &Caller,
    registration: &Registration,
    claim: Option<&Claim>,
) -> Result<(Artifact, bool), AppError> {
    let settings = &context.settings;
    let (url, repository) = admit(&registration.external_url, &settings.url_rules, &settings.repositories)?;
    let shut = repository
        .filter(|entry| entry.has_credentials && registration.access != Access::ClientAuthenticates);
    if shut.is_some_and(|entry| entry.links.is_none()) {
        let rule = "the repository needs credentials, which clients do not have: set `client_authenticates`";
        return Err(AppError::invalid("access", rule));
    }
    let declared = registration.access == Access::ClientAuthenticates
        && context.settings.allow_declared
        && repository.is_none_or(|entry| !entry.has_credentials);
    let kind = External { url: &url, declared, private: shut.is_some() };
    retrying(|| register_once(context, caller, registration, &kind, claim)).await
}

/// What a registration is, by its repository.
struct External<'a> {
    url: &'a ExternalUrl,
    /// Taken on the registrant's word.
    declared: bool,
    /// Read by clients through links that are signed for them.
    private: bool,
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
        return again(context, caller, compare(existing.value, registration)?, claim).await;
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
    let External { url, declared, private } = *kind;
    let now = context.clock.now_ms();
    let expires_at = readable_end(url, now)?;
    let warning = |_| Warning {
        code: WarningCode::UrlExpires,
        message: "the URL carries an expiry: decisions stop naming this artifact then".into(),
    };
    Ok(Artifact {
        artifact_id: context.ids.artifact()?,
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
        warnings: expires_at.map(warning).into_iter().collect(),
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
    artifact: Artifact,
    claim: Option<&Claim>,
) -> Result<(Artifact, bool), AppError> {
    let id = artifact.artifact_id;
    let mut batch = Batch::default();
    access::note_registrant(&mut batch, caller.product_id.as_ref(), id)?;
    if let Some(claim) = claim {
        claim.made(&mut batch, context, Made::KnownArtifact(id))?;
    }
    if !batch.is_empty() {
        context.store.commit(batch).await?;
    }
    Ok((artifact, false))
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
fn compare(existing: Artifact, registration: &Registration) -> Result<Artifact, AppError> {
    let id = existing.artifact_id;
    let differs = |difference| Err(AppError::ArtifactExists { id, difference });
    if existing.size_bytes != registration.size_bytes {
        return differs("another size");
    }
    if existing.file_name != registration.file_name || existing.content_type != registration.content_type {
        return differs("another file name or content type");
    }
    if existing.labels != registration.labels {
        return differs("other labels");
    }
    Ok(existing)
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
