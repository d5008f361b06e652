//! Making an updater.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use decision::keyset::Keyset;
use decision::root::TrustedKeyset;
use reqwest::{Certificate, Url};

use super::connect::{http, may_speak_to};
use super::{Trust, UpdateError, Updater};
use crate::state::StateFolder;
use crate::{Client, ClientError, Clock, Limits, ProductQuestion, SystemClock, fresh_nonce};

/// Makes an [`Updater`]; see [`Updater::builder`].
#[must_use]
pub struct UpdaterBuilder {
    base_url: String,
    issuer: Option<String>,
    product: ProductQuestion,
    client_id: Option<String>,
    keyset: Option<(bool, Vec<u8>)>,
    state: Option<PathBuf>,
    token: Option<String>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    allow_loopback_http: bool,
    roots: Vec<Vec<u8>>,
}

impl fmt::Debug for UpdaterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdaterBuilder")
            .field("base_url", &self.base_url)
            .field("product", &self.product)
            .finish_non_exhaustive()
    }
}

impl UpdaterBuilder {
    pub(super) fn new(base_url: &str, product: &str, version: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            issuer: None,
            product: ProductQuestion::new(product, version, this_platform(), this_arch()),
            client_id: None,
            keyset: None,
            state: None,
            token: None,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            allow_loopback_http: false,
            roots: Vec::new(),
        }
    }

    /// The signed keyset (`N.keyset`) that the application ships with, byte for byte.
    pub fn keyset(mut self, file: &[u8]) -> Self {
        self.keyset = Some((true, file.to_owned()));
        self
    }

    /// A keyset without signatures, pinned by hand: it is never replaced from the network.
    pub fn pinned_keyset(mut self, file: &[u8]) -> Self {
        self.keyset = Some((false, file.to_owned()));
        self
    }

    /// The folder of the state; made where it is missing. Nobody else should be able to write to it.
    pub fn state(mut self, folder: &Path) -> Self {
        self.state = Some(folder.to_owned());
        self
    }

    /// The channel; `stable` where none is named.
    pub fn channel(mut self, channel: &str) -> Self {
        self.product.channel = Some(channel.to_owned());
        self
    }

    /// The customer organisation whose policy applies.
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.product.tenant_id = Some(tenant.to_owned());
        self
    }

    /// `windows`, `macos` or `linux`, and `x86_64`, `x86` or `arm64`; what this program was built for by default.
    pub fn platform(mut self, platform: &str, arch: &str) -> Self {
        (self.product.platform, self.product.arch) = (platform.to_owned(), arch.to_owned());
        self
    }

    /// The version of the operating system, dotted numbers.
    pub fn os_version(mut self, version: &str) -> Self {
        self.product.os_version = Some(version.to_owned());
        self
    }

    /// The installer types that can be run here, the preferred one first; any by default.
    pub fn installer_types<'a>(mut self, types: impl IntoIterator<Item = &'a str>) -> Self {
        self.product.installer_types = types.into_iter().map(str::to_owned).collect();
        self
    }

    /// What identifies this installation to rollouts.
    pub fn client_id(mut self, id: &str) -> Self {
        self.client_id = Some(id.to_owned());
        self
    }

    /// An API token, for restricted channels and for artifacts that want one. It goes to the deployment alone.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The issuer that decisions must have; the base URL by default.
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// What a download may take.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Development switch: whether plain `http` to a loopback host will do. Off by default.
    pub const fn allow_loopback_http(mut self, allow: bool) -> Self {
        self.allow_loopback_http = allow;
        self
    }

    /// A certificate authority (PEM) to trust beside those of the system.
    pub fn root_certificate(mut self, pem: &[u8]) -> Self {
        self.roots.push(pem.to_owned());
        self
    }

    /// Makes the updater. Asks nobody and reads nothing.
    ///
    /// # Errors
    /// [`UpdateError::Setup`] where something is missing or contradicts itself, [`UpdateError::Keyset`] and
    /// [`UpdateError::Root`] for the keyset, [`UpdateError::Client`] for the base URL, the version or TLS.
    pub fn build(self) -> Result<Updater, UpdateError> {
        let setup = |what: &str| UpdateError::Setup(what.to_owned());
        let base_url = Url::parse(&self.base_url).map_err(|_| self.no_base_url())?;
        if !may_speak_to(&base_url, self.allow_loopback_http) {
            return Err(self.no_base_url().into());
        }
        let certificate = |pem: &Vec<u8>| Certificate::from_pem(pem).map_err(ClientError::Tls);
        let roots = self.roots.iter().map(certificate).collect::<Result<_, _>>()?;
        let mut client = Client::over(&self.base_url, http(self.allow_loopback_http, roots)?)?;
        if let Some(token) = &self.token {
            client = client.with_token(token);
        }
        let issuer = self.issuer.unwrap_or_else(|| client.base_url().to_owned());
        let shipped = match self.keyset.ok_or_else(|| setup("it has no keyset"))? {
            (false, file) => Trust::Pinned(Keyset::parse(&file).map_err(UpdateError::Keyset)?),
            (true, file) => Trust::Signed(Box::new(TrustedKeyset::pin(&file)?)),
        };
        if let Trust::Signed(signed) = &shipped
            && signed.issuer() != issuer
        {
            return Err(setup("its keyset is another deployment's"));
        }
        self.product.current_version.parse::<decision::Version>().map_err(ClientError::Version)?;
        Ok(Updater {
            client,
            issuer,
            product: self.product,
            client_id: self.client_id,
            shipped,
            state: StateFolder::at(self.state.ok_or_else(|| setup("it has no state folder"))?),
            limits: self.limits,
            clock: self.clock,
            allow_loopback_http: self.allow_loopback_http,
            make_nonce: fresh_nonce,
        })
    }

    fn no_base_url(&self) -> ClientError {
        ClientError::BaseUrl { url: self.base_url.clone() }
    }
}

const fn this_platform() -> &'static str {
    if cfg!(target_os = "windows") {
        "windows"
    } else if cfg!(target_os = "macos") {
        "macos"
    } else {
        "linux"
    }
}

const fn this_arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "x86") {
        "x86"
    } else {
        "x86_64"
    }
}
