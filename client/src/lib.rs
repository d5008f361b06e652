//! What an updater embeds: ask for decisions, verify them, download what they name.
//!
//! ```
//! # mod deployment { include!("../tests/example/deployment.rs"); }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let deployment = deployment::start();
//! # let (base_url, shipped) = (deployment.base_url.as_str(), deployment.keyset.as_slice());
//! # let (state, folder) = (deployment.folder.join("state"), deployment.folder.clone());
//! let updater = client::Updater::builder(base_url, "editor", "1.4.0")
//!     .keyset(shipped) // the file `N.keyset` that the application was built with
//!     .state(&state)
//!     .client_id("installation-7")
//! #   .platform("linux", "x86_64")
//! #   .allow_loopback_http(true)
//!     .build()?;
//! let checked = updater.check().await?;
//! match checked.offer() {
//!     None => println!("nothing to do: {}", checked.reason()),
//!     Some(offer) => {
//!         let path = folder.join(offer.file_name());
//!         let proved = updater.download(offer, &path, |progress| {
//!             println!("{} of {} bytes", progress.bytes, progress.of);
//!         });
//!         println!("{} is {}", proved.await?.path().display(), offer.release().version);
//!     }
//! }
//! # assert_eq!(std::fs::read(folder.join("editor.deb"))?, b"hello artifact\n");
//! # Ok(())
//! # }
//! ```
//!
//! It knows the signed decision (crate `decision`) and nothing of the server's inside. It reads no environment and no
//! configuration, and the clock in one place: what it needs is passed in. It never reads the plain mirror of a decision.
//!
//! [`Updater`] is the whole of it; [`Client`] are its single steps, without memory.
//!
//! An application that embeds it compiles at most 110 crates for it, this one, `decision` and procedural macros
//! included. TLS is rustls with ring; there is no OpenSSL, no server and no cloud's library among them.

mod ask;
#[cfg(feature = "blocking")]
pub mod blocking;
mod clock;
mod download;
mod error;
mod poll;
mod question;
mod retry;
mod state;
mod updater;

use std::fmt;
use std::time::Duration;

use decision::verify::Expected;
use reqwest::{RequestBuilder, Url};

pub use ask::Answer;
pub use clock::{Clock, SystemClock};
pub use download::{Artifact, Downloaded, Limits, Progress};
pub use error::ClientError;
pub use poll::next_poll;
pub use question::{ProductQuestion, Question, fresh_nonce};
pub use state::StateError;
pub use updater::{Checked, Offer, UpdateError, Updater, UpdaterBuilder};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may say nothing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer that is no artifact may take in all: somebody who drips it must not hold the caller for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How many redirects a request follows.
const MAX_REDIRECTS: usize = 5;

/// A client of one deployment; cheap to clone, to be made once.
#[derive(Clone)]
pub struct Client {
    base_url: String,
    http: reqwest::Client,
    token: Option<String>,
    /// How long an answer may take from the question to its last byte.
    answer_within: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Client")
            .field("base_url", &self.base_url)
            .field("token", &token)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the deployment at `base_url` (`https://…`, or plain `http://` for development).
    ///
    /// TLS is rustls with the platform's trust store. Where the process has chosen no cryptography for rustls yet,
    /// ring becomes its choice.
    ///
    /// # Errors
    /// [`ClientError::BaseUrl`] where `base_url` is no such URL, [`ClientError::Tls`] where TLS cannot be set up.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        Self::over(base_url, http_client().map_err(ClientError::Tls)?)
    }

    /// A client over connections that were made elsewhere.
    pub(crate) fn over(base_url: &str, http: reqwest::Client) -> Result<Self, ClientError> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let bad = || ClientError::BaseUrl { url: base_url.clone() };
        let url = Url::parse(&base_url).map_err(|_| bad())?;
        let fits =
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        if !fits || !url.username().is_empty() || url.password().is_some() {
            return Err(bad());
        }
        Ok(Self { base_url, http, token: None, answer_within: ANSWER_TIMEOUT })
    }

    /// The deployment's `base_url`, without a slash at its end: the issuer of its decisions.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The same client with an API token, for restricted channels and for artifacts that want one.
    ///
    /// It is sent to the deployment alone, never to where a download is redirected or an external artifact lies.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.trim().to_owned());
        self
    }

    /// What a decision about `product` (one of `question`) must say to be believed at `now` (Unix seconds).
    ///
    /// The expectation is a fresh client's: it has no stored `(epoch, seq)`, takes artifacts of any size, and no
    /// plain http. Set `stored` and `max_artifact_bytes` where the updater knows better.
    ///
    /// # Errors
    /// [`ClientError::Version`] where the installed version is no `SemVer` version.
    pub fn expected(
        &self,
        question: &Question,
        product: &ProductQuestion,
        now: i64,
    ) -> Result<Expected, ClientError> {
        question.expected(product, &self.base_url, now)
    }

    /// Adds the token to a request that goes to the deployment itself.
    pub(crate) fn authorized(&self, url: &str, request: RequestBuilder) -> RequestBuilder {
        let own = url.strip_prefix(&self.base_url).is_some_and(|rest| rest.starts_with('/'));
        match &self.token {
            Some(token) if own => request.bearer_auth(token),
            _ => request,
        }
    }
}

/// An HTTP client with this crate's limits: those of [`http_builder`], and an end to silence.
fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    http_builder().read_timeout(SILENCE_TIMEOUT).build()
}

/// How this crate builds HTTP clients: rustls with ring and the platform's trust store, ten seconds to connect, few
/// redirects and none from https to http. Cookies, caches and decompression are not there, nor is an end to silence:
/// what uploads for long must not be cut off while the other side listens.
pub fn http_builder() -> reqwest::ClientBuilder {
    // An error means that somebody was quicker, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("bigpicture-client/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::custom(follow))
}

/// Follows a redirect unless it leaves TLS or there were too many.
fn follow(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let leaves_tls = attempt.url().scheme() != "https"
        && attempt.previous().last().is_some_and(|previous| previous.scheme() == "https");
    if leaves_tls {
        attempt.error("redirected from https to plain http")
    } else if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else {
        attempt.follow()
    }
}
