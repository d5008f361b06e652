//! Which keyset is trusted now, and the way to the next.

use decision::root::{TrustedKeyset, Walk};

use super::{Trust, UpdateError, Updater};
use crate::ClientError;
use crate::retry::Tries;
use crate::state::{State, StateError};

impl Updater {
    /// What the application ships with, or the newer keyset that an earlier run has come to.
    pub(super) fn trust(&self, state: &State) -> Result<Trust, UpdateError> {
        let Trust::Signed(shipped) = &self.shipped else { return Ok(self.shipped.clone()) };
        let Some(file) = state.keyset(&self.issuer) else { return Ok(self.shipped.clone()) };
        let damaged = |why: &str| UpdateError::State(self.state.damaged(why));
        let stored = TrustedKeyset::pin(file.as_bytes()).map_err(|error| damaged(&error.to_string()))?;
        if stored.issuer() != self.issuer {
            return Err(damaged("the keyset in it is another deployment's"));
        }
        let newer = stored.keyset().version > shipped.keyset().version;
        Ok(if newer { Trust::Signed(Box::new(stored)) } else { self.shipped.clone() })
    }

    /// Walks as far as the service has versions. Nothing is remembered yet.
    pub(super) async fn walk(&self, from: &TrustedKeyset) -> Result<Walk, UpdateError> {
        let mut walk = Walk::from(from.clone());
        while walk.may_go_on() {
            let version = walk.next_version();
            match self.fetch_keyset(version).await? {
                Some(file) => walk.step(&file)?,
                None => break,
            }
        }
        Ok(walk)
    }

    async fn fetch_keyset(&self, version: u64) -> Result<Option<Vec<u8>>, UpdateError> {
        let mut tries = Tries::default();
        loop {
            match self.client.signed_keyset(version).await {
                Ok(found) => return Ok(found),
                Err(error) => self.try_again(&mut tries, error).await?,
            }
        }
    }

    /// After a failed try: waits, unless the failure is final.
    pub(super) async fn try_again(&self, tries: &mut Tries, error: ClientError) -> Result<(), UpdateError> {
        let failed = tries.another(&*self.clock, error).await;
        failed.map_err(|error| UpdateError::of_client(error, self.clock.now()))
    }

    pub(super) async fn remember_keyset(&self, trusted: &TrustedKeyset) -> Result<(), UpdateError> {
        let (issuer, trusted) = (self.issuer.clone(), trusted.clone());
        self.change_state(move |state| {
            state.remember_keyset(&issuer, trusted.keyset().version, trusted.file());
        })
        .await
        .map(drop)
    }

    /// Changes the state on disk, away from the threads that others wait on.
    pub(super) async fn change_state(
        &self,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<State, UpdateError> {
        let folder = self.state.clone();
        let changed = tokio::task::spawn_blocking(move || folder.change(change)).await;
        let lost = |error| StateError::File { path: self.state.file(), source: std::io::Error::other(error) };
        Ok(changed.map_err(lost)??)
    }
}
