//! Answering questions with signed decisions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use decision::{
    jws,
    keyset::Keyset,
    payload::{Action, ArtifactRef, Payload, Reason, ReleaseRef},
};

use super::{
    catalogue::{Catalogues, Facts},
    context::Context,
    error::AppError,
};
use crate::{
    domain::{
        artifact::Access,
        catalogue::{CatalogueArtifact, CatalogueRelease},
        decide::{self, Answer, Explanation, Offer, Question, World},
        ids::{ArtifactId, ReleaseId},
        names::{Channel, ProductId, TenantId},
        platform::{Arch, InstallerType, Platform},
        release::Release,
        version::Version,
    },
    ports::signer::Signer,
};

/// How many signed tokens are remembered at most.
const MAX_REMEMBERED: usize = 20_000;

/// A signed answer.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The payload, JSON text, for people to read.
    pub payload_json: Arc<str>,
    /// The token: what clients verify and read.
    pub token: Arc<str>,
}

/// Everything that a payload without nonce is made from, but its id and times: one token serves a whole class.
///
/// A release never changes and `seq` rises with everything that moves, so ids stand for what they name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Class {
    product_id: ProductId,
    channel: Channel,
    platform: Platform,
    arch: Arch,
    from_version: Version,
    tenant_id: Option<TenantId>,
    seq: u64,
    action: Action,
    reason: Reason,
    /// One artifact may stand in several entries of a release, which differ in the last two.
    offer: Option<(ReleaseId, bool, ArtifactId, InstallerType, bool)>,
}

impl Class {
    fn of(question: &Question, answer: &Answer<'_>, seq: u64) -> Self {
        let offered = |offer: &Offer<'_>| {
            let (release, part) = (offer.release.release_id, offer.artifact);
            (release, offer.allow_downgrade, part.artifact_id, part.installer_type, part.requires_admin)
        };
        Self {
            product_id: question.product_id.clone(),
            channel: question.asked_channel().clone(),
            platform: question.platform,
            arch: question.arch,
            from_version: question.current_version.clone(),
            tenant_id: question.tenant_id.clone(),
            seq,
            action: answer.action,
            reason: answer.reason,
            offer: answer.offer.as_ref().map(offered),
        }
    }
}

#[derive(Debug)]
struct Remembered {
    signed: Signed,
    /// From then on (Unix seconds) a fresh one is signed.
    until: i64,
}

/// Makes signed decisions.
#[derive(Debug)]
pub struct Decider {
    context: Context,
    catalogues: Catalogues,
    signer: Arc<dyn Signer>,
    keyset: Arc<Keyset>,
    header: String,
    issuer: Arc<str>,
    remembered: Mutex<HashMap<Class, Remembered>>,
}

impl Decider {
    /// Decides from the context's store and signs with the signer's key, which the keyset lists.
    pub fn new(context: Context, signer: Arc<dyn Signer>, keyset: Arc<Keyset>) -> Self {
        let key = signer.public_key();
        let header = jws::encode_header(key.alg(), &key.thumbprint(), None);
        Self {
            catalogues: Catalogues::new(context.clone()),
            header,
            issuer: context.settings.base_url.as_str().into(),
            signer,
            keyset,
            remembered: Mutex::default(),
            context,
        }
    }

    /// The keyset whose keys sign these decisions.
    pub fn keyset(&self) -> &Arc<Keyset> {
        &self.keyset
    }

    /// Answers a question; `may_see_restricted` opens channels that look empty to others.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Signer`]: there is no answer rather than an unsigned or outdated one.
    pub async fn answer(
        &self,
        question: &Question,
        nonce: Option<&str>,
        may_see_restricted: bool,
    ) -> Result<Signed, AppError> {
        let facts = self.catalogues.facts(&question.product_id, question.tenant_id.as_ref()).await?;
        let now = self.context.clock.now();
        let answer = decide::decide(&world(&facts, question, may_see_restricted), question, now);
        let class = nonce.is_none().then(|| Class::of(question, &answer, facts.seq));
        if let Some(signed) = class.as_ref().and_then(|class| self.recall(class, now)) {
            return Ok(signed);
        }
        let mut payload = self.payload(question, &answer, facts.seq);
        payload.nonce = nonce.map(Into::into);
        let lifetime = lifetime(&self.context, answer.offer.as_ref(), now);
        payload.iat = now;
        payload.exp = now.saturating_add(lifetime);
        payload.jti = self.context.ids.decision()?.to_string().into();
        let signed = self.sign(&payload).await?;
        if let Some(class) = class {
            self.remember(class, &signed, now.saturating_add(lifetime / 2));
        }
        Ok(signed)
    }

    async fn sign(&self, payload: &Payload) -> Result<Signed, AppError> {
        let payload_json = serde_json::to_string(payload).map_err(unwritable)?;
        if payload_json.len() > jws::MAX_PAYLOAD_BYTES {
            return Err(AppError::Internal("a decision is longer than can be signed"));
        }
        let input = jws::signing_input(&self.header, payload_json.as_bytes());
        let signature = self.signer.sign(input.as_bytes()).await.map_err(AppError::Signer)?;
        Ok(Signed { payload_json: payload_json.into(), token: jws::compact(input, &signature).into() })
    }

    fn recall(&self, class: &Class, now: i64) -> Option<Signed> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(class).filter(|known| now < known.until).map(|known| known.signed.clone())
    }

    fn remember(&self, class: Class, signed: &Signed, until: i64) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            // Anyone may ask invented questions: memory is bounded, and forgetting costs one signature.
            remembered.clear();
        }
        remembered.insert(class, Remembered { signed: signed.clone(), until });
    }

    /// The payload of an answer, without id, times and nonce.
    fn payload(&self, question: &Question, answer: &Answer<'_>, seq: u64) -> Payload {
        Payload {
            v: 1,
            iss: Arc::clone(&self.issuer),
            jti: "".into(),
            iat: 0,
            exp: 0,
            nonce: None,
            product_id: question.product_id.as_str().into(),
            channel: question.asked_channel().as_str().into(),
            platform: question.platform.as_str().into(),
            arch: question.arch.as_str().into(),
            from_version: question.current_version.clone(),
            tenant_id: question.tenant_id.as_ref().map(|tenant| tenant.as_str().into()),
            epoch: self.keyset.epoch,
            seq,
            action: answer.action,
            reason: answer.reason,
            release: answer.offer.as_ref().map(|offer| release_ref(&self.context, offer)),
            artifact: answer.offer.as_ref().map(|offer| artifact_ref(&self.context, offer.artifact)),
            crit_claims: None,
        }
    }

    /// Answers a question and says how, unsigned.
    ///
    /// # Errors
    /// [`AppError::Items`]
    pub async fn explain<T>(
        &self,
        question: &Question,
        may_see_restricted: bool,
        show: impl FnOnce(&Explanation<'_>) -> T + Send,
    ) -> Result<T, AppError> {
        let facts = self.catalogues.facts(&question.product_id, question.tenant_id.as_ref()).await?;
        let explanation =
            decide::explain(&world(&facts, question, may_see_restricted), question, self.context.clock.now());
        Ok(show(&explanation))
    }

    /// Answers a question for people and tools that install by themselves: unsigned, with what is withheld from clients.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for an unknown product, [`AppError::Items`]
    pub async fn available<T>(
        &self,
        question: &Question,
        may_see_restricted: bool,
        show: impl FnOnce(&Answer<'_>) -> T + Send,
    ) -> Result<T, AppError> {
        let facts = self.catalogues.facts(&question.product_id, question.tenant_id.as_ref()).await?;
        if facts.product.is_none() {
            return Err(AppError::NotFound);
        }
        Ok(show(&decide::decide(
            &world(&facts, question, may_see_restricted),
            question,
            self.context.clock.now(),
        )))
    }

    /// A release as a decision names it.
    pub fn release_ref(&self, offer: &Offer<'_>) -> ReleaseRef {
        release_ref(&self.context, offer)
    }

    /// An artifact as a decision names it.
    pub fn artifact_ref(&self, artifact: &CatalogueArtifact) -> ArtifactRef {
        artifact_ref(&self.context, artifact)
    }

    /// Where clients download an artifact.
    pub fn artifact_url(&self, artifact: &CatalogueArtifact) -> String {
        artifact_url(&self.context, artifact)
    }
}

fn unwritable(source: serde_json::Error) -> AppError {
    AppError::Corrupt { key: "decision".into(), source }
}

fn world<'a>(facts: &'a Facts, question: &Question, may_see_restricted: bool) -> World<'a> {
    let product = facts.product.as_deref();
    let hidden: &[Channel] = match product {
        Some(product) if !may_see_restricted => &product.restricted_channels,
        Some(_) | None => &[],
    };
    World {
        catalogue: product.map(|product| &product.catalogue),
        policies: facts.policies(&question.product_id),
        unavailable: &facts.unavailable,
        hidden_channels: hidden,
    }
}

/// How long a decision lives; none outlives the URL it names.
fn lifetime(context: &Context, offer: Option<&Offer<'_>>, now: i64) -> i64 {
    let url_left = offer.and_then(|offer| offer.artifact.url_expires_at).map(|end| end.saturating_sub(now));
    let asked = context.settings.decision_lifetime;
    url_left.map_or(asked, |left| left.min(asked)).max(1)
}

fn artifact_url(context: &Context, artifact: &CatalogueArtifact) -> String {
    artifact.url.clone().unwrap_or_else(|| {
        format!("{}/v1/artifacts/{}/download", context.settings.base_url, artifact.artifact_id)
    })
}

fn release_ref(context: &Context, offer: &Offer<'_>) -> ReleaseRef {
    let release = offer.release;
    let notes = || format!("{}/v1/releases/{}/notes", context.settings.base_url, release.release_id);
    ReleaseRef {
        release_id: release.release_id.to_string().into(),
        version: release.version.clone(),
        channel: Some(release.channel.as_str().into()),
        floor: release.floor.clone(),
        allow_downgrade: offer.allow_downgrade,
        critical: release.critical,
        notes_url: release.has_notes.then(|| notes().into()),
    }
}

fn artifact_ref(context: &Context, artifact: &CatalogueArtifact) -> ArtifactRef {
    ArtifactRef {
        artifact_id: artifact.artifact_id.to_string().into(),
        sha256: artifact.sha256.to_string().into(),
        size_bytes: artifact.size_bytes,
        url: artifact_url(context, artifact).into(),
        installer_type: artifact.installer_type.as_str().into(),
        requires_admin: artifact.requires_admin.then_some(true),
        file_name: artifact.file_name.as_deref().map(Into::into),
        access: (artifact.access != Access::Public).then(|| artifact.access.as_str().into()),
        verification: artifact.declared.then(|| "DECLARED".into()),
    }
}

/// The longest payload, in bytes, of any decision that offers a release: with the longest of everything a client sends.
pub fn longest_payload(context: &Context, release: &Release, entry: &CatalogueRelease) -> usize {
    let longest_name: Arc<str> = "x".repeat(64).into();
    let payload = |artifact: &CatalogueArtifact| Payload {
        v: 1,
        iss: context.settings.base_url.as_str().into(),
        jti: "dec_00000000000000000000000000".into(),
        iat: i64::from(u32::MAX),
        exp: i64::from(u32::MAX),
        nonce: Some("x".repeat(86).into()),
        product_id: release.product_id.as_str().into(),
        channel: Arc::clone(&longest_name),
        platform: artifact.platform.as_str().into(),
        arch: artifact.arch.as_str().into(),
        from_version: entry.version.clone(),
        tenant_id: Some(Arc::clone(&longest_name)),
        epoch: (1 << 53) - 1,
        seq: (1 << 53) - 1,
        action: Action::Download,
        reason: Reason::StepRequired,
        release: Some(release_ref(context, &Offer { release: entry, artifact, allow_downgrade: true })),
        artifact: Some(artifact_ref(context, artifact)),
        crit_claims: None,
    };
    let length = |artifact| serde_json::to_vec(&payload(artifact)).map_or(usize::MAX, |text| text.len());
    let version_left = 64_usize.saturating_sub(entry.version.as_str().len());
    entry.artifacts.iter().map(length).max().unwrap_or(0).saturating_add(version_left)
}
