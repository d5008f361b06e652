//! Asking until there is an answer to believe, or a reason to believe none.

use std::time::Duration;

use decision::verify::{Expected, Refusal, Stored, accepted_when_issued, verify};

use super::{Checked, Trust, UpdateError, Updater};
use crate::retry::Tries;
use crate::{ClientError, Question};

/// How long an older server is given to learn what a newer one knows.
const OLDER_SERVER_PAUSE: Duration = Duration::from_secs(30);
/// How often an older server is asked again.
const MAX_OLDER_SERVERS: u32 = 2;
/// How long ago an answer without a nonce may have been made, for all that anybody knows.
const LONGEST_LIFE_SECONDS: i64 = 86_400 + 300;

/// An answer, and what was expected of it.
struct Answered {
    token: String,
    expected: Expected,
}

pub(super) async fn run(updater: &Updater) -> Result<Checked, UpdateError> {
    let state = updater.state.load()?;
    let mut trust = updater.trust(&state)?;
    let stored = state.stored(&updater.scope());
    let (mut older_servers, mut refreshed) = (0, false);
    loop {
        let mut answered = ask(updater, &trust).await?;
        answered.expected.stored = stored;
        let Answered { token, expected } = &answered;
        let refusal = match verify(token, trust.keyset(), expected) {
            Ok(verified) => {
                remember(updater, verified.payload.to_store()).await?;
                return Ok(Checked::new(answered.token, verified));
            }
            Err(refusal) => refusal,
        };
        if let Some(service) = clock_is_wrong(token, &trust, expected) {
            return Err(UpdateError::Clock { local: expected.now, service });
        }
        if refusal.may_be_older_server() && older_servers < MAX_OLDER_SERVERS {
            older_servers += 1;
            updater.clock.wait(OLDER_SERVER_PAUSE).await;
        } else if wants_keyset(&refusal) && !refreshed {
            refreshed = true;
            trust = refresh(updater, &trust, &answered).await?.ok_or(refusal)?;
        } else {
            return Err(refusal.into());
        }
    }
}

/// Remembers what was accepted, unless another updater has accepted something newer meanwhile.
pub(super) async fn remember(updater: &Updater, pair: Stored) -> Result<(), UpdateError> {
    let (scope, about) = (updater.scope(), updater.scope());
    let state = updater.change_state(move |state| state.remember(&scope, pair)).await?;
    match state.stored(&about) {
        Some(newer) if newer.epoch > pair.epoch => {
            Err(Refusal::EpochReplayed { found: pair.epoch, stored: newer.epoch }.into())
        }
        Some(newer) if newer > pair => {
            Err(Refusal::Replayed { epoch: pair.epoch, found: pair.seq, stored: newer.seq }.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Asks, with a nonce where the keyset wants one, and notes the time once.
async fn ask(updater: &Updater, trust: &Trust) -> Result<Answered, UpdateError> {
    let mut question = Question::about(updater.product.clone());
    question.client_id.clone_from(&updater.client_id);
    if trust.keyset().nonces {
        question.nonce = Some((updater.make_nonce)()?);
    }
    let mut tries = Tries::default();
    let answer = loop {
        match updater.client.ask(&question).await {
            Ok(answer) => break answer,
            Err(error) => updater.try_again(&mut tries, error).await?,
        }
    };
    let token = answer.tokens.into_iter().next().ok_or_else(|| {
        let (url, what) = (updater.client.base_url().to_owned(), "it has no decision".to_owned());
        ClientError::NotUnderstood { url, what }
    })?;
    let mut expected = question.expected(&updater.product, &updater.issuer, updater.clock.now())?;
    expected.max_artifact_bytes = updater.limits.max_artifact_bytes;
    expected.allow_loopback_http = updater.allow_loopback_http;
    Ok(Answered { token, expected })
}

/// When the answer was made, where only this machine's clock is against it.
fn clock_is_wrong(token: &str, trust: &Trust, expected: &Expected) -> Option<i64> {
    let issued = accepted_when_issued(token, trust.keyset(), expected)?;
    // Without a nonce it may just be an old one.
    let made_now = expected.nonce.is_some();
    (made_now || expected.now.abs_diff(issued) > LONGEST_LIFE_SECONDS.unsigned_abs()).then_some(issued)
}

/// Whether a newer keyset could change the verdict: keys that are unknown, and what the present one says is over.
fn wants_keyset(refusal: &Refusal) -> bool {
    let over = matches!(refusal, Refusal::KeysetExpired { .. } | Refusal::KeyExpired { .. });
    over || refusal.wants_newer_keyset()
}

/// The next keyset, remembered; nothing where the service has none, or where it is pinned by hand.
async fn refresh(
    updater: &Updater,
    trust: &Trust,
    answered: &Answered,
) -> Result<Option<Trust>, UpdateError> {
    let Trust::Signed(signed) = trust else { return Ok(None) };
    let walk = updater.walk(signed).await?;
    if walk.steps() == 0 {
        return Ok(None);
    }
    let reached = Trust::Signed(Box::new(walk.at().clone()));
    match walk.finish(answered.expected.now) {
        Ok(trusted) => {
            updater.remember_keyset(&trusted).await?;
            Ok(Some(reached))
        }
        // A clock that is years ahead sees every keyset expired.
        Err(error) => match clock_is_wrong(&answered.token, &reached, &answered.expected) {
            Some(service) => Err(UpdateError::Clock { local: answered.expected.now, service }),
            None => Err(error.into()),
        },
    }
}
