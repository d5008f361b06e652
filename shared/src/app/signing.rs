//! Who signs decisions: the key of the keyset itself, or a key of this process that it has delegated to.
//!
//! Nothing is opened at the start: a key that cannot be reached keeps no process from answering what needs no signature.

use std::{future::Future, sync::Arc, time::Duration};

use decision::{
    jws,
    keyset::{Keyset, KeysetKey},
};

mod budget;
mod current_keyset;
mod delegates;
mod hand;
mod pause;
mod slot;
mod watch;

pub use self::budget::{Budget, Share};
pub(crate) use self::hand::Hand;
use self::{
    budget::Buckets,
    current_keyset::{Current, CurrentKeyset},
    hand::HandKey,
    pause::Pause,
    slot::Slot,
    watch::Watch,
};
use super::{
    context::Context,
    error::AppError,
    keyset::{KeysetError, Unlisted},
};
use crate::{
    domain::names::ProductId,
    ports::signer::{Keys, Signer, SignerError},
};

/// How long the key may take to open or to sign.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after a failure the key is left alone, in milliseconds.
const PAUSE_MS: i64 = 1_000;

/// Which key signs decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The key that the keyset lists.
    Direct,
    /// A key in the memory of each process, for which the key that the keyset lists signs a delegation.
    Delegated,
}

/// How decisions are signed.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Which key signs.
    pub mode: Mode,
    /// What is done with a key that the keyset does not list.
    pub unlisted: Unlisted,
    /// The budget of a remote key in direct mode; `None` for a key that signs freely.
    pub budget: Option<Budget>,
}

/// Signs decisions, as planned.
#[derive(Debug)]
pub struct Signing {
    context: Context,
    plan: Plan,
    /// The keys that are configured; the first signs where none was promoted.
    slots: Vec<Slot>,
    keyset: CurrentKeyset,
    budget: Option<Buckets>,
    sign_failed: Pause,
    renewed: Pause,
    watch: Watch,
}

/// A signing key, once it was opened.
#[derive(Debug)]
pub(crate) struct Open {
    signer: Arc<dyn Signer>,
    kid: String,
    direct: Arc<Hand>,
}

/// Everything that a decision needs from its signer.
#[derive(Debug)]
pub(crate) struct Ready {
    /// When the decision is made, Unix seconds.
    pub(crate) now: i64,
    /// The epoch of the keyset.
    pub(crate) epoch: u64,
    /// What signs.
    pub(crate) hand: Arc<Hand>,
    keyset: Arc<Keyset>,
}

impl Ready {
    /// Which of this process's keys signs.
    pub(crate) fn hand_number(&self) -> u64 {
        self.hand.number
    }

    /// Whether clients believe now what a key of the keyset has signed about a product.
    pub(crate) fn believed(&self, kid: &Arc<str>, product: &ProductId) -> bool {
        // The key that signs was looked at already.
        Arc::ptr_eq(kid, &self.hand.kid)
            || usable(&self.keyset, kid, self.now).is_ok_and(|key| key.allows(product.as_str()))
    }
}

impl Signing {
    /// Signs with keys that are opened when a decision needs them: the one that was promoted in the keyset, or the first
    /// where none was.
    pub fn new(context: Context, keys: Vec<Arc<dyn Keys>>, plan: Plan) -> Self {
        let scarce = plan.budget.filter(|_| plan.mode == Mode::Direct);
        let budget = scarce.map(|budget| Buckets::new(budget, context.clock.now_ms()));
        let slots = (1..).zip(keys).map(|(number, keys)| Slot::new(context.clone(), keys, number)).collect();
        let keyset = CurrentKeyset::new(context.clone());
        let (sign_failed, renewed, watch) = (Pause::none(), Pause::none(), Watch::new(budget.is_some()));
        Self { context, plan, slots, keyset, budget, sign_failed, renewed, watch }
    }

    /// Opens the key that signs, so that what is wrong with it is known at the start. Decisions do this by themselves.
    ///
    /// # Errors
    /// [`AppError::Signer`] where it cannot be used, and those of the store.
    pub async fn open(&self) -> Result<(), AppError> {
        // Both may be far away, and the first key is asked in any case: so they are asked at once.
        let first = async {
            match self.slots.first() {
                Some(slot) => slot.opened().await.map(|_| ()),
                None => Ok(()),
            }
        };
        let (current, opened) = tokio::join!(self.keyset.get(), first);
        let current = current?;
        if current.as_ref().is_none_or(|current| current.active.is_none()) {
            opened?;
        }
        self.slot(current.as_ref()).await.map(|_| ())
    }

    /// The newest keyset, at most as old as a catalogue may be.
    ///
    /// # Errors
    /// Those of the store, and of the key where there is no keyset yet.
    pub async fn keyset(&self) -> Result<Arc<Keyset>, AppError> {
        Ok(self.current().await?.keyset)
    }

    async fn current(&self) -> Result<Current, AppError> {
        let known = self.keyset.get().await?;
        if known.is_none() {
            self.slot(None).await?;
        }
        let current = match known {
            Some(current) => current,
            None => self.keyset.get().await?.ok_or(AppError::Internal("the keyset is gone"))?,
        };
        let first = || self.slots.first().and_then(Slot::ready).map(|open| open.kid.as_str());
        let signs = current.active.as_deref().or_else(first);
        self.watch.tell(&current, signs, self.context.clock.now());
        Ok(current)
    }

    /// Sees to it again that the keyset lasts, as opening the key did: for processes that run longer than that holds.
    ///
    /// # Errors
    /// As for [`Signing::open`].
    pub async fn renew(&self) -> Result<(), AppError> {
        let current = self.keyset.get().await?;
        let (slot, _) = self.slot(current.as_ref()).await?;
        slot.ensure_again(self.plan.unlisted, self.plan.mode == Mode::Delegated).await?;
        self.keyset.forget();
        self.current().await.map(|_| ())
    }

    /// The keyset, unless it is over: no client accepts what is signed under it then. One that the service renews by itself is
    /// renewed by the request that finds it so, where nobody has for long.
    async fn lasting(&self) -> Result<Current, AppError> {
        let current = self.current().await?;
        let now_ms = self.context.clock.now_ms();
        if !current.is_over(self.context.clock.now()) {
            return Ok(current);
        }
        if !current.standing().signed && !self.renewed.holds(now_ms, PAUSE_MS) {
            self.renewed.begin(now_ms);
            self.renew().await?;
            let renewed = self.current().await?;
            if !renewed.is_over(self.context.clock.now()) {
                return Ok(renewed);
            }
        }
        let what =
            format!("version {} of the keyset is over, so no client accepts it", current.keyset.version);
        Err(AppError::Signer(SignerError::Unavailable(what.into())))
    }

    /// What a decision of this moment about a product is signed with. A key that the keyset does not list, or lists as
    /// revoked, is none; one that is limited to other products leaves this one to another key that is configured.
    pub(crate) async fn ready(&self, product: &ProductId) -> Result<Ready, AppError> {
        let current = self.current().await?;
        let (mut slot, mut open) = self.slot(Some(&current)).await?;
        // Opening may have published another keyset.
        let keyset = self.lasting().await?.keyset;
        let now = self.context.clock.now();
        if !usable(&keyset, &open.kid, now)?.allows(product.as_str()) {
            (slot, open) = self.slot_for(&keyset, product, now).await?;
        }
        let (hand, now) = match self.plan.mode {
            Mode::Direct => (Arc::clone(&open.direct), now),
            Mode::Delegated => slot.delegates.hand(open).await?,
        };
        Ok(Ready { now, epoch: keyset.epoch, hand, keyset })
    }

    /// The key that signs, opened, and listed in the keyset.
    async fn slot(&self, current: Option<&Current>) -> Result<(&Slot, &Open), AppError> {
        let active = current.and_then(|current| current.active.as_deref());
        // A key that cannot be opened keeps nobody waiting while the one that signs is open.
        let signs = |open: &&Open| active == Some(open.kid.as_str());
        let open_already = |slot| Slot::ready(slot).filter(signs).map(|open| (slot, open));
        if let Some(found) = self.slots.iter().find_map(open_already) {
            return Ok(found);
        }
        let mut failure = AppError::Signer(SignerError::Unavailable("no signing key is configured".into()));
        for slot in &self.slots {
            let open = match slot.opened().await {
                Ok(open) => open,
                // Without a promotion the first key signs, or none.
                Err(error) if active.is_none() => return Err(error),
                Err(error) => {
                    failure = error;
                    continue;
                }
            };
            match active {
                Some(active) if active != open.kid => {
                    let what = format!("the key `{active}` that signs was not configured here");
                    failure = AppError::Signer(SignerError::Unavailable(what.into()));
                }
                Some(_) | None => {
                    let nonces = self.plan.mode == Mode::Delegated;
                    if slot.ensure(current, self.plan.unlisted, nonces).await? {
                        self.keyset.forget();
                    }
                    return Ok((slot, open));
                }
            }
        }
        Err(failure)
    }

    /// Another key that may sign about a product, in the order of the configuration.
    async fn slot_for(
        &self,
        keyset: &Keyset,
        product: &ProductId,
        now: i64,
    ) -> Result<(&Slot, &Open), AppError> {
        for slot in &self.slots {
            if let Ok(open) = slot.opened().await
                && usable(keyset, &open.kid, now).is_ok_and(|key| key.allows(product.as_str()))
            {
                return Ok((slot, open));
            }
        }
        let what = format!("no key that is configured here may sign for the product `{product}`");
        Err(AppError::Signer(SignerError::Unavailable(what.into())))
    }

    /// Whether each signature draws on a budget, so that none is made twice or without need.
    pub(crate) fn is_scarce(&self) -> bool {
        self.budget.is_some()
    }

    /// The token of a payload.
    pub(crate) async fn sign(
        &self,
        hand: &Hand,
        share: Share,
        payload_json: &str,
    ) -> Result<String, AppError> {
        let input = jws::signing_input(&hand.header, payload_json.as_bytes());
        let signature = match &hand.key {
            HandKey::Own(key) => {
                key.sign(input.as_bytes()).map_err(|error| SignerError::Unavailable(error.into()))
            }
            HandKey::Keyset(signer) => match &self.budget {
                None => signer.sign(input.as_bytes()).await,
                Some(budget) => self.sign_within(budget, share, signer.as_ref(), &input).await?,
            },
        };
        Ok(jws::compact(input, &signature.map_err(AppError::Signer)?))
    }

    async fn sign_within(
        &self,
        budget: &Buckets,
        share: Share,
        signer: &dyn Signer,
        input: &str,
    ) -> Result<Result<[u8; 64], SignerError>, AppError> {
        let now_ms = self.context.clock.now_ms();
        if self.sign_failed.holds(now_ms, PAUSE_MS) {
            return Err(just_failed());
        }
        if !budget.take(share, now_ms) {
            return Err(AppError::SigningBudget);
        }
        let signature = in_time(signer.sign(input.as_bytes())).await;
        if let Err(error) = &signature {
            tracing::warn!(event = "signer_failed", %error, "the signing key did not sign");
            self.sign_failed.begin(self.context.clock.now_ms());
        }
        Ok(signature)
    }
}

/// What the signer says, unless that takes too long.
async fn in_time<T>(work: impl Future<Output = Result<T, SignerError>> + Send) -> Result<T, SignerError> {
    let late = || SignerError::Unavailable("it did not answer in time".into());
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
}

fn just_failed() -> AppError {
    AppError::Signer(SignerError::Unavailable("it could not be used a moment ago".into()))
}

fn unusable(error: KeysetError) -> AppError {
    match error {
        KeysetError::Store(error) => error,
        error @ (KeysetError::Revoked(_) | KeysetError::NotListed(_)) => {
            AppError::Signer(SignerError::Unavailable(error.into()))
        }
    }
}

/// A key as the keyset lists it; says no where clients would refuse whatever it signs now.
fn usable<'a>(keyset: &'a Keyset, kid: &str, now: i64) -> Result<&'a KeysetKey, AppError> {
    match keyset.get(kid) {
        None => Err(unusable(KeysetError::NotListed(kid.to_owned()))),
        Some(key) if key.revoked => Err(unusable(KeysetError::Revoked(kid.to_owned()))),
        Some(key) if now < key.nbf || key.exp <= now => {
            Err(AppError::Signer(SignerError::Unavailable("the keyset does not let it sign now".into())))
        }
        Some(key) => Ok(key),
    }
}
