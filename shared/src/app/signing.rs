//! Who signs decisions: the key of the keyset itself, or a key of this process that it has delegated to.
//!
//! Nothing is opened at the start: a key that cannot be reached keeps no process from answering what needs no signature.

use std::{future::Future, sync::Arc, time::Duration};

use decision::{jws, keyset::Keyset};
use tokio::sync::OnceCell;

mod budget;
mod current_keyset;
mod delegates;
mod hand;
mod pause;

pub use self::budget::{Budget, Share};
pub(crate) use self::hand::Hand;
use self::{
    budget::Buckets, current_keyset::CurrentKeyset, delegates::Delegates, hand::HandKey, pause::Pause,
};
use super::{
    context::Context,
    error::AppError,
    keyset::{self, KeysetError, Unlisted},
};
use crate::ports::signer::{Keys, Signer, SignerError};

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
    keys: Arc<dyn Keys>,
    plan: Plan,
    open: OnceCell<Open>,
    opening_failed: Pause,
    keyset: CurrentKeyset,
    delegates: Delegates,
    budget: Option<Buckets>,
    sign_failed: Pause,
}

/// The signing key, once it was opened.
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
}

impl Ready {
    /// Which of this process's keys signs: what another one has signed is not served again.
    pub(crate) fn hand_number(&self) -> u64 {
        self.hand.number
    }
}

impl Signing {
    /// Signs with a key that is opened when the first decision needs it.
    pub fn new(context: Context, keys: Arc<dyn Keys>, plan: Plan) -> Self {
        let scarce = plan.budget.filter(|_| plan.mode == Mode::Direct);
        let budget = scarce.map(|budget| Buckets::new(budget, context.clock.now_ms()));
        Self {
            keys,
            plan,
            open: OnceCell::new(),
            opening_failed: Pause::none(),
            keyset: CurrentKeyset::new(context.clone()),
            delegates: Delegates::new(context.clone()),
            budget,
            sign_failed: Pause::none(),
            context,
        }
    }

    /// Opens the key, so that what is wrong with it is known at the start. Decisions do this by themselves.
    ///
    /// # Errors
    /// [`AppError::Signer`] where it cannot be used, and those of the store.
    pub async fn open(&self) -> Result<(), AppError> {
        self.opened().await.map(|_| ())
    }

    /// The newest keyset, at most as old as a catalogue may be.
    ///
    /// # Errors
    /// Those of the store, and of the key where there is no keyset yet.
    pub async fn keyset(&self) -> Result<Arc<Keyset>, AppError> {
        if let Some(keyset) = self.keyset.get().await? {
            return Ok(keyset);
        }
        self.opened().await?;
        self.keyset.get().await?.ok_or(AppError::Internal("the keyset is gone"))
    }

    /// What a decision of this moment is signed with. A key that the keyset does not list, or lists as revoked, is none.
    pub(crate) async fn ready(&self) -> Result<Ready, AppError> {
        let open = self.opened().await?;
        let keyset = self.keyset().await?;
        let now = self.context.clock.now();
        usable(&keyset, &open.kid, now)?;
        let (hand, now) = match self.plan.mode {
            Mode::Direct => (Arc::clone(&open.direct), now),
            Mode::Delegated => self.delegates.hand(open).await?,
        };
        Ok(Ready { now, epoch: keyset.epoch, hand })
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
            tracing::warn!(%error, "the signing key did not sign");
            self.sign_failed.begin(self.context.clock.now_ms());
        }
        Ok(signature)
    }

    async fn opened(&self) -> Result<&Open, AppError> {
        self.open
            .get_or_try_init(|| async {
                if self.opening_failed.holds(self.context.clock.now_ms(), PAUSE_MS) {
                    return Err(just_failed());
                }
                let opened = self.open_now().await;
                if opened.is_err() {
                    self.opening_failed.begin(self.context.clock.now_ms());
                }
                opened
            })
            .await
    }

    async fn open_now(&self) -> Result<Open, AppError> {
        let signer = in_time(self.keys.open()).await.map_err(AppError::Signer)?;
        let nonces = self.plan.mode == Mode::Delegated;
        let keyset = keyset::ensure(&self.context, signer.public_key(), self.plan.unlisted, nonces).await;
        self.keyset.remember(keyset.map_err(unusable)?);
        let direct = Arc::new(Hand::direct(Arc::clone(&signer)));
        Ok(Open { kid: signer.public_key().thumbprint(), signer, direct })
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

/// Says no where clients would refuse what the key signs now.
fn usable(keyset: &Keyset, kid: &str, now: i64) -> Result<(), AppError> {
    match keyset.get(kid) {
        None => Err(unusable(KeysetError::NotListed(kid.to_owned()))),
        Some(key) if key.revoked => Err(unusable(KeysetError::Revoked(kid.to_owned()))),
        Some(key) if now < key.nbf || key.exp <= now => {
            Err(AppError::Signer(SignerError::Unavailable("the keyset does not let it sign now".into())))
        }
        Some(_) => Ok(()),
    }
}
