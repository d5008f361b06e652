//! An updater: it asks, believes only what is signed for it, remembers what it has seen, and downloads.

mod builder;
mod check;
mod connect;
mod error;
mod keysets;
mod offer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use decision::keyset::Keyset;
use decision::root::TrustedKeyset;

pub use self::builder::UpdaterBuilder;
pub use self::error::UpdateError;
pub use self::offer::{Checked, Offer};
use crate::download::Transfer;
use crate::state::{Scope, StateFolder};
use crate::{Client, ClientError, Clock, Downloaded, Limits, ProductQuestion, Progress};

/// Looks for updates of one installed product.
///
/// It never installs anything: it says what is signed, and puts the signed bytes where it is told.
#[derive(Debug)]
pub struct Updater {
    client: Client,
    issuer: String,
    product: ProductQuestion,
    client_id: Option<String>,
    shipped: Trust,
    state: StateFolder,
    limits: Limits,
    clock: Arc<dyn Clock>,
    allow_loopback_http: bool,
    make_nonce: fn() -> Result<String, ClientError>,
}

/// What decisions are held against.
#[derive(Debug, Clone)]
enum Trust {
    /// A keyset without signatures: pinned by hand, never replaced from the network.
    Pinned(Keyset),
    /// A signed keyset, from which the client walks to newer ones.
    Signed(Box<TrustedKeyset>),
}

impl Trust {
    fn keyset(&self) -> &Keyset {
        match self {
            Self::Pinned(keyset) => keyset,
            Self::Signed(signed) => signed.keyset(),
        }
    }
}

impl Updater {
    /// Begins an updater of `product` in `version`, for the deployment at `base_url` (`https://…`).
    ///
    /// A keyset and a state folder have to follow.
    pub fn builder(base_url: &str, product: &str, version: &str) -> UpdaterBuilder {
        UpdaterBuilder::new(base_url, product, version)
    }

    /// Asks what to do, and believes nothing that is not signed for this question.
    ///
    /// Asks with a nonce where the keyset says so, and checks the answer in the order of the format's description. An
    /// answer that may be an older server's, with a lower epoch or `seq`, is asked for again after 30 seconds, twice at
    /// most. An unknown key, a
    /// higher epoch or an expired keyset lead to the signed keyset, once. What is believed is remembered on disk before
    /// this returns; after a failure the state is as it was, but for a newer keyset.
    ///
    /// Each request is tried four times at most, and each try takes a minute at most. Between tries it waits up to 1, 2
    /// and 4 seconds; where the service is busy (429 or 503) as long as `Retry-After` says, half a minute where it says
    /// nothing, and up to ten seconds more; it does not wait where `Retry-After` is above a minute. A service that stays
    /// busy and says nothing is thus given up after some two minutes. Whoever has less time drops the future.
    ///
    /// # Errors
    /// [`UpdateError`]. None of them ever means "no update".
    pub async fn check(&self) -> Result<Checked, UpdateError> {
        check::run(self).await
    }

    /// Downloads what was offered to `path`, which changes only once the file beside it was found to be the signed one.
    ///
    /// Goes on where an earlier call stopped, in this process or another: the bytes wait in a hidden file beside
    /// `path`. `progress` is told after each piece. The caller chooses a folder that only it, or whoever it trusts, can
    /// write to.
    ///
    /// # Errors
    /// - [`UpdateError::OfferExpired`]: ask again first.
    /// - [`UpdateError::Client`]: the transfer, the bytes or the disk; see [`ClientError`].
    pub async fn download(
        &self,
        offer: &Offer,
        path: &Path,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Downloaded, UpdateError> {
        let now = self.clock.now();
        if now >= offer.expires() {
            return Err(UpdateError::OfferExpired { expired: offer.expires(), now });
        }
        let artifact = offer.wanted();
        let transfer = Transfer {
            client: &self.client,
            artifact: &artifact,
            limits: self.limits,
            clock: &*self.clock,
            resume: true,
        };
        transfer.run(path, &mut progress).await.map_err(|error| UpdateError::of_client(error, now))
    }

    /// Looks for a newer signed keyset and trusts it where its root of trust says so; answers the version trusted now.
    ///
    /// [`check`](Self::check) does so by itself where it has to. Called once a day, a revoked key is forgotten within a
    /// day also by a client to which its decisions are still shown.
    ///
    /// # Errors
    /// [`UpdateError`]; what was trusted before stays.
    pub async fn refresh_keyset(&self) -> Result<u64, UpdateError> {
        let trust = self.trust(&self.state.load()?)?;
        let Trust::Signed(signed) = &trust else { return Ok(trust.keyset().version) };
        let walk = self.walk(signed).await?;
        let trusted = walk.finish(self.clock.now())?;
        self.remember_keyset(&trusted).await?;
        Ok(trusted.keyset().version)
    }

    /// The question's scope in the state.
    fn scope(&self) -> Scope {
        Scope {
            issuer: self.issuer.clone(),
            product_id: self.product.product_id.clone(),
            tenant_id: self.product.tenant_id.clone(),
        }
    }
}
