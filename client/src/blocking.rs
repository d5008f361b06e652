//! The same updater for applications without an async runtime (feature `blocking`).
//!
//! ```
//! # mod deployment { include!("../tests/example/deployment.rs"); }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let deployment = deployment::start();
//! # let (base_url, shipped) = (deployment.base_url.as_str(), deployment.keyset.as_slice());
//! # let (state, folder) = (deployment.folder.join("state"), deployment.folder.clone());
//! let updater = client::Updater::builder(base_url, "editor", "1.4.0").keyset(shipped).state(&state);
//! # let updater = updater.platform("linux", "x86_64").allow_loopback_http(true);
//! let updater = client::blocking::Updater::new(updater.build()?)?;
//! if let Some(offer) = updater.check()?.offer() {
//!     updater.download(offer, &folder.join(offer.file_name()), |_| ())?;
//! }
//! # assert_eq!(std::fs::read(folder.join("editor.deb"))?, b"hello artifact\n");
//! # Ok(())
//! # }
//! ```
//!
//! For one that has a runtime there is [`crate::Updater`] itself.

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
    /// ```
    /// # mod deployment { include!("../tests/example/deployment.rs"); }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let deployment = deployment::start();
    /// # let (base_url, shipped) = (deployment.base_url.as_str(), deployment.keyset.as_slice());
    /// # let (state, folder) = (deployment.folder.join("state"), deployment.folder.clone());
    /// # let updater = client::Updater::builder(base_url, "editor", "1.4.0").keyset(shipped).state(&state);
    /// # let updater = updater.platform("linux", "x86_64").allow_loopback_http(true);
    /// # let updater = client::blocking::Updater::new(updater.build()?)?;
    /// use std::io::Read as _;
    ///
    /// use client::{ClientError, UpdateError};
    ///
    /// let checked = updater.check()?;
    /// let offer = checked.offer().ok_or("nothing to do")?;
    /// let mut shown = 0;
    /// let downloaded = updater.download(offer, &folder.join(offer.file_name()), |progress| {
    ///     shown = 100 * progress.bytes / progress.of;
    /// });
    /// match downloaded {
    ///     Ok(proved) => {
    ///         // Through this handle the bytes were proved: nobody can exchange them any more.
    ///         let mut bytes = Vec::new();
    ///         proved.into_file().read_to_end(&mut bytes)?;
    ///         assert_eq!((bytes.as_slice(), shown), (b"hello artifact\n".as_slice(), 100));
    ///     }
    ///     // What has arrived is kept, and the next call goes on from there.
    ///     Err(error) if error.retryable() => println!("later: {error}"),
    ///     Err(UpdateError::Client(ClientError::DiskSpace { needed, .. })) => println!("{needed} bytes, please"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # assert_eq!(std::fs::read(folder.join("editor.deb"))?, b"hello artifact\n");
    /// # Ok(())
    /// # }
    /// ```
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
