//! Who we are to Google: a service account with its key file, or the one that the metadata server of the machine names,
//! whose signatures IAM makes.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use google_cloud_auth::credentials::{CacheableResource, Credentials, mds, service_account};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    adapters::v4::{Key, KeyError, Request, Unsigned},
    domain::secret::Secret,
};

/// Where a machine of Google's cloud asks who it is.
const METADATA: &str = "http://metadata.google.internal";
/// Where IAM signs.
const IAM: &str = "https://iamcredentials.googleapis.com";
/// The longest life that Google gives a URL, in seconds: a week.
const LONGEST: u64 = 7 * 24 * 3600;
/// The longest life of what IAM signs with the keys that Google keeps, in seconds: they are changed.
const LONGEST_OF_IAM: u64 = 12 * 3600;

/// What opens a bucket and signs URLs; `Debug` hides it.
#[derive(Debug, Clone)]
pub enum GcsCredentials {
    /// The JSON key file of a service account.
    KeyFile(Secret),
    /// The service account of the machine, as its metadata server names it.
    Machine {
        /// Another metadata server than Google's.
        metadata: Option<String>,
        /// Another IAM than Google's.
        iam: Option<String>,
    },
}

/// Why a store cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum GcsError {
    /// The text is no key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No client could be made.
    #[error("no client of Google Cloud Storage could be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(super) type SigningError = Box<dyn std::error::Error + Send + Sync>;

/// What opens requests and signs URLs.
#[derive(Debug, Clone)]
pub(super) struct Access {
    credentials: Credentials,
    signer: Arc<Signer>,
}

#[derive(Debug)]
enum Signer {
    Key(Key),
    Iam(Machine),
}

/// A machine of Google's cloud.
struct Machine {
    http: reqwest::Client,
    metadata: String,
    iam: String,
    email: OnceCell<String>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Signed {
    #[serde(rename = "signedBlob")]
    signed_blob: String,
}

impl Access {
    pub(super) fn new(credentials: &GcsCredentials, http: reqwest::Client) -> Result<Self, GcsError> {
        let failed = |error: google_cloud_auth::build_errors::Error| GcsError::Client(error.into());
        let (credentials, signer) = match credentials {
            GcsCredentials::KeyFile(text) => {
                let key = Key::google(text)?;
                let file = serde_json::from_str(text.reveal()).map_err(|_| KeyError::ServiceAccount)?;
                (service_account::Builder::new(file).build().map_err(failed)?, Signer::Key(key))
            }
            GcsCredentials::Machine { metadata, iam } => {
                let metadata = metadata.clone().unwrap_or_else(|| METADATA.to_owned());
                let iam = iam.clone().unwrap_or_else(|| IAM.to_owned());
                let machine = mds::Builder::default().with_endpoint(&metadata).build().map_err(failed)?;
                (machine, Signer::Iam(Machine { http, metadata, iam, email: OnceCell::new() }))
            }
        };
        Ok(Self { credentials, signer: Arc::new(signer) })
    }

    pub(super) fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// The headers that open a request.
    pub(super) async fn headers(&self) -> Result<HeaderMap, SigningError> {
        match self.credentials.headers(http::Extensions::new()).await? {
            CacheableResource::New { data, .. } => Ok(data),
            CacheableResource::NotModified => Err("the credentials of the object store gave no token".into()),
        }
    }

    /// The longest that what is signed holds, in seconds.
    pub(super) fn longest(&self) -> u64 {
        match self.signer.as_ref() {
            Signer::Key(_) => LONGEST,
            Signer::Iam(_) => LONGEST_OF_IAM,
        }
    }

    /// The path and query of a URL, with its signature.
    pub(super) async fn sign(&self, request: &Request<'_>, seconds: u32) -> Result<String, SigningError> {
        let signed = match self.signer.as_ref() {
            Signer::Key(key) => key.in_query(request, seconds),
            Signer::Iam(machine) => match Unsigned::google(machine.email().await?, request, seconds) {
                Some(unsigned) => {
                    let signature = machine.sign(unsigned.text(), &self.headers().await?).await?;
                    Some(unsigned.signed(&signature))
                }
                None => None,
            },
        };
        signed.ok_or_else(|| "a URL could not be signed".into())
    }
}

impl Machine {
    /// The service account of the machine, asked for once.
    async fn email(&self) -> Result<&str, SigningError> {
        let ask = || async {
            let url = format!("{}/computeMetadata/v1/instance/service-accounts/default/email", self.metadata);
            let answer = self.http.get(url).header("Metadata-Flavor", "Google").send().await?;
            Ok::<_, reqwest::Error>(answer.error_for_status()?.text().await?.trim().to_owned())
        };
        Ok(self.email.get_or_try_init(ask).await?)
    }

    /// IAM's signature with the account's own key, which stays there.
    async fn sign(&self, text: &str, headers: &HeaderMap) -> Result<Vec<u8>, SigningError> {
        let url = format!("{}/v1/projects/-/serviceAccounts/{}:signBlob", self.iam, self.email().await?);
        let body = json!({ "payload": STANDARD.encode(text) }).to_string();
        let request = self.http.post(url).headers(headers.clone()).header("content-type", "application/json");
        let answer = request.body(body).send().await?.error_for_status()?.bytes().await?;
        let signed: Signed = serde_json::from_slice(&answer)?;
        Ok(STANDARD.decode(signed.signed_blob)?)
    }
}
