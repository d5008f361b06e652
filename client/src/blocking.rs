//! The same updater for applications without an async runtime (feature `blocking`).

use std::io;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use crate::{Checked, Downloaded, Offer, Progress, UpdateError};

/// An [`Updater`](crate::Updater) whose methods return when they are done.
///
/// Not for use inside an async runtime: there it panics, as every blocking call of a runtime inside another does.
#[derive(Debug)]
pub struct Updater {
    inner: crate::Updater,
    runtime: Runtime,
}

impl Updater {
    /// Wraps an updater.
    ///
    /// # Errors
    /// Those of the system, where it gives no event queue.
    pub fn new(inner: crate::Updater) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { inner, runtime })
    }

    /// As [`Updater::check`](crate::Updater::check).
    ///
    /// # Errors
    /// As there.
    pub fn check(&self) -> Result<Checked, UpdateError> {
        self.runtime.block_on(self.inner.check())
    }

    /// As [`Updater::download`](crate::Updater::download).
    ///
    /// # Errors
    /// As there.
    pub fn download(
        &self,
        offer: &Offer,
        path: &Path,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Downloaded, UpdateError> {
        self.runtime.block_on(self.inner.download(offer, path, progress))
    }

    /// As [`Updater::refresh_keyset`](crate::Updater::refresh_keyset).
    ///
    /// # Errors
    /// As there.
    pub fn refresh_keyset(&self) -> Result<u64, UpdateError> {
        self.runtime.block_on(self.inner.refresh_keyset())
    }
}
