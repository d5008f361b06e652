//! Answering questions with signed decisions.

use std::{collections::HashSet, sync::Arc};

use decision::{
    jws,
    keyset::Keyset,
    payload::{Action, ArtifactRef, Payload, Reason, ReleaseRef},
};

mod class;
mod memory;

use self::{
    class::Class,
    memory::{Memory, Remembered},
};
use super::{
    catalogue::{Catalogues, Facts},
    context::Context,
    error::AppError,
    signing::{Ready, Share, Signing},
    warm_up,
};
use crate::domain::{
    artifact::Access,
    catalogue::{CatalogueArtifact, CatalogueRelease},
    decide::{self, Answer, Explanation, Offer, Question, World, of_copy},
    names::Channel,
    release::Release,
};

/// A signed answer.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The payload, JSON text, for people to read.
    pub payload_json: Arc<str>,
    /// The token: what clients verify and read.
    pub token: Arc<str>,
}

/// Makes signed decisions.
#[derive(Debug)]
pub struct Decider {
    context: Context,
    catalogues: Catalogues,
    signing: Signing,
    issuer: Arc<str>,
    memory: Memory,
}

/// A question with everything that its answer is made from.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    question: &'a Question,
    answer: &'a Answer<'a>,
    seq: u64,
    share: Share,
    ready: &'a Ready,
}

impl Decider {
    /// Decides from the context's store and signs as planned.
    pub fn new(context: Context, signing: Signing) -> Self {
        Self {
            catalogues: Catalogues::new(context.clone()),
            issuer: context.settings.base_url.as_str().into(),
            signing,
            memory: Memory::default(),
            context,
        }
    }

    /// The newest keyset, whose keys sign these decisions; at most as old as a catalogue may be.
    ///
    /// # Errors
    /// [`AppError::Items`], and [`AppError::Signer`] where there is no keyset yet.
    pub async fn keyset(&self) -> Result<Arc<Keyset>, AppError> {
        self.signing.keyset().await
    }

    /// Sees to it that the keyset lasts; a process that runs long does it every day.
    ///
    /// # Errors
    /// Those of the store, and [`AppError::Signer`] where the key that signs cannot be used.
    pub async fn renew_keyset(&self) -> Result<(), AppError> {
        self.signing.renew().await
    }

    /// Makes the connections that the first answer needs, while a process starts. What fails here is not told: it fails
    /// again where it is needed.
    pub async fn warm_up(&self) {
        warm_up::bounded(async {
            let _ = self.signing.open().await;
            let _ = self.signing.keyset().await;
        })
        .await;
    }

    /// Answers a question; `may_see_restricted` opens channels that look empty to others.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Signer`], [`AppError::SigningBudget`]: there is no answer rather than an unsigned
    /// or outdated one.
    pub async fn answer(
        &self,
        question: &Question,
        nonce: Option<&str>,
        may_see_restricted: bool,
    ) -> Result<Signed, AppError> {
        let facts = self.catalogues.facts(&question.product_id, question.tenant_id.as_ref()).await?;
        let ready = self.signing.ready(&question.product_id).await?;
        let answer = decide::decide(&world(&facts, question, may_see_restricted), question, ready.now);
        let share = self.share(&facts, question, nonce);
        let case = Case { question, answer: &answer, seq: facts.seq, share, ready: &ready };
        match nonce {
            Some(_) => Ok(self.signed(case, nonce).await?.signed),
            None => self.of_class(case).await,
        }
    }

    /// Which part of the budget and of the memory a question draws on. Where signing is free, inventions cost so little that
    /// it is enough to keep those about products that there are not apart.
    fn share(&self, facts: &Facts, question: &Question, nonce: Option<&str>) -> Share {
        let known = match nonce {
            Some(_) => false,
            None if self.signing.is_scarce() => facts.know(question),
            None => facts.product.is_some(),
        };
        if known { Share::Known } else { Share::Other }
    }

    /// An answer that serves everybody with the same question: signed once, and again after half of its life. Until then
    /// clients are served what a key has signed that signs no more, if they believe it still.
    async fn of_class(&self, case: Case<'_>) -> Result<Signed, AppError> {
        let ready = (case.ready, self.signing.is_scarce());
        let class = Class::of(case.question, case.answer, case.seq, ready);
        let recall = |now: i64| {
            let believed = |known: &Remembered| case.ready.believed(&known.kid, &case.question.product_id);
            self.memory.recall(case.share, &class, |known| known.is_good(now) && believed(known))
        };
        let known = recall(case.ready.now);
        if let Some(fresh) = known.as_ref().filter(|known| known.is_fresh(case.ready.now)) {
            return Ok(fresh.signed.clone());
        }
        if !self.signing.is_scarce() {
            return self.signed_and_kept(case, class).await;
        }
        let flight = self.memory.flight(&class);
        let _flight = match (flight.try_lock(), known) {
            (Ok(flight), _) => flight,
            (Err(_), Some(good)) => return Ok(good.signed),
            (Err(_), None) => flight.lock().await,
        };
        // Whoever was waited for has signed it, or has found that it cannot be signed.
        let now = self.context.clock.now();
        match recall(now) {
            Some(known) if known.is_fresh(now) => Ok(known.signed),
            Some(good) => {
                let again = Case { share: case.share.again(), ..case };
                Ok(self.signed_and_kept(again, class).await.unwrap_or(good.signed))
            }
            None => self.signed_and_kept(case, class).await,
        }
    }

    async fn signed_and_kept(&self, case: Case<'_>, class: Class) -> Result<Signed, AppError> {
        let answer = self.signed(case, None).await?;
        let signed = answer.signed.clone();
        self.memory.remember(case.share, class, answer);
        Ok(signed)
    }

    async fn signed(&self, case: Case<'_>, nonce: Option<&str>) -> Result<Remembered, AppError> {
        let Case { ready, share, .. } = case;
        let iat = ready.now;
        let lifetime = lifetime(&self.context, case.answer.offer.as_ref(), iat);
        let mut payload = self.payload(case);
        payload.nonce = nonce.map(Into::into);
        payload.iat = iat;
        payload.exp = iat.saturating_add(lifetime);
        payload.jti = self.context.ids.decision()?.to_string().into();
        let payload_json = serde_json::to_string(&payload).map_err(unwritable)?;
        if payload_json.len() > jws::MAX_PAYLOAD_BYTES {
            return Err(AppError::Internal("a decision is longer than can be signed"));
        }
        let token = self.signing.sign(&ready.hand, share, &payload_json).await?;
        let signed = Signed { payload_json: payload_json.into(), token: token.into() };
        // A token outlives neither itself nor the delegation that it carries.
        let end = payload.exp.min(ready.hand.end);
        let kid = Arc::clone(&ready.hand.kid);
        Ok(Remembered { signed, kid, iat, fresh_until: iat.saturating_add(lifetime / 2).min(end), end })
    }

    /// The payload of an answer, without id, times and nonce.
    fn payload(&self, case: Case<'_>) -> Payload {
        let Case { question, answer, seq, ready, .. } = case;
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
            epoch: ready.epoch,
            seq,
            action: answer.action,
            reason: answer.reason,
            release: answer.offer.as_ref().map(|offer| release_ref(&self.context, offer)),
            artifact: answer.offer.as_ref().map(|offer| artifact_ref(&self.context, offer, offer.artifact)),
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
    pub fn artifact_ref(&self, offer: &Offer<'_>) -> ArtifactRef {
        artifact_ref(&self.context, offer, offer.artifact)
    }

    /// Where clients download an artifact.
    pub fn artifact_url(&self, offer: &Offer<'_>, artifact: &CatalogueArtifact) -> String {
        artifact_url(&self.context, offer, artifact)
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
    let original = offer.filter(|offer| !offer.is_from_copy(offer.artifact));
    let url_left =
        original.and_then(|offer| offer.artifact.url_expires_at).map(|end| end.saturating_sub(now));
    let asked = context.settings.decision_lifetime;
    url_left.map_or(asked, |left| left.min(asked)).max(1)
}

fn artifact_url(context: &Context, offer: &Offer<'_>, artifact: &CatalogueArtifact) -> String {
    let original = artifact.url.clone().filter(|_| !offer.is_from_copy(artifact));
    original.unwrap_or_else(|| {
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

fn artifact_ref(context: &Context, offer: &Offer<'_>, artifact: &CatalogueArtifact) -> ArtifactRef {
    ArtifactRef {
        artifact_id: artifact.artifact_id.to_string().into(),
        sha256: artifact.sha256.to_string().into(),
        size_bytes: artifact.size_bytes,
        url: artifact_url(context, offer, artifact).into(),
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
    // Whichever of its addresses is the longer one.
    let copies: HashSet<_> = entry.artifacts.iter().map(|artifact| of_copy(artifact.artifact_id)).collect();
    let originals = HashSet::new();
    let length = |artifact, unavailable| {
        let offer = Offer { release: entry, artifact, allow_downgrade: true, unavailable };
        let payload = longest_of(context, release, &offer, &longest_name);
        serde_json::to_vec(&payload).map_or(usize::MAX, |text| text.len())
    };
    let longest = |artifact| length(artifact, &originals).max(length(artifact, &copies));
    let version_left = 64_usize.saturating_sub(entry.version.as_str().len());
    entry.artifacts.iter().map(longest).max().unwrap_or(0).saturating_add(version_left)
}

fn longest_of(context: &Context, release: &Release, offer: &Offer<'_>, longest_name: &Arc<str>) -> Payload {
    let (entry, artifact) = (offer.release, offer.artifact);
    Payload {
        v: 1,
        iss: context.settings.base_url.as_str().into(),
        jti: "dec_00000000000000000000000000".into(),
        iat: i64::from(u32::MAX),
        exp: i64::from(u32::MAX),
        nonce: Some("x".repeat(86).into()),
        product_id: release.product_id.as_str().into(),
        channel: Arc::clone(longest_name),
        platform: artifact.platform.as_str().into(),
        arch: artifact.arch.as_str().into(),
        from_version: entry.version.clone(),
        tenant_id: Some(Arc::clone(longest_name)),
        epoch: (1 << 53) - 1,
        seq: (1 << 53) - 1,
        action: Action::Download,
        reason: Reason::StepRequired,
        release: Some(release_ref(context, offer)),
        artifact: Some(artifact_ref(context, offer, artifact)),
        crit_claims: None,
    }
}
