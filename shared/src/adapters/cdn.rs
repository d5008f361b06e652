//! Addresses of a CDN: plain ones, and those that `CloudFront` asks for.
//!
//! A CDN that takes plain addresses shows whatever its origin lets it read, proved or not, to whoever knows the key.
//! `CloudFront` with a trusted key group shows what was signed here, and that is done after the artifact was looked at, for
//! each download. Nothing that it has cached is shown without a signature either.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use decision::{jwk::Alg, pem::from_pem, sign::LocalKey};
use tokio::sync::Mutex;
use url::form_urlencoded::byte_serialize;

use crate::{
    domain::{
        secret::{Secret, SecretReference},
        upload::ObjectKey,
    },
    ports::{
        cdn::{Cdn, CdnError},
        fetcher::Cause,
        secrets::Secrets,
    },
};

/// How long an address lives; a download that has begun may take longer.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long a key that is kept elsewhere is used before it is read again, in milliseconds.
const FRESH_MS: i64 = 300_000;

/// The address of a key, and of a version of it, without a signature.
fn plain(base: &str, key: &ObjectKey, version: Option<&str>) -> String {
    let version: Option<String> = version.map(|version| byte_serialize(version.as_bytes()).collect());
    version.map_or_else(|| format!("{base}/{key}"), |version| format!("{base}/{key}?versionId={version}"))
}

/// A CDN that asks for no signatures.
#[derive(Debug)]
pub struct OpenCdn {
    base: String,
}

impl OpenCdn {
    /// The CDN at that URL, without a slash at its end.
    pub fn new(base: String) -> Self {
        Self { base }
    }
}

#[async_trait]
impl Cdn for OpenCdn {
    async fn url(&self, key: &ObjectKey, version: Option<&str>, _: i64) -> Result<String, CdnError> {
        Ok(plain(&self.base, key, version))
    }
}

/// `CloudFront`, whose behaviour for the bucket trusts a key group with our key in it.
#[derive(Debug)]
pub struct CloudFront {
    base: String,
    key_pair_id: String,
    key: CdnKey,
}

/// The text holds no key that signs addresses.
#[derive(Debug, thiserror::Error)]
#[error("it holds no P-256 key in PKCS#8 and PEM (`-----BEGIN PRIVATE KEY-----`)")]
pub struct CdnKeyError;

/// What signs.
pub struct CdnKey(Source);

enum Source {
    Given(Arc<LocalKey>),
    Kept {
        secrets: Arc<dyn Secrets>,
        reference: SecretReference,
        /// Locked while it is read: of many who need it, one reads.
        held: Mutex<Option<(Arc<LocalKey>, i64)>>,
    },
}

impl fmt::Debug for CdnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CdnKey(…)")
    }
}

fn key(text: &Secret) -> Result<Arc<LocalKey>, CdnKeyError> {
    let key = from_pem(text.reveal()).map_err(|_| CdnKeyError)?;
    if key.public().alg() == Alg::Es256 { Ok(Arc::new(key)) } else { Err(CdnKeyError) }
}

impl CdnKey {
    /// A key that was read at the start.
    ///
    /// # Errors
    /// [`CdnKeyError`]
    pub fn given(text: &Secret) -> Result<Self, CdnKeyError> {
        key(text).map(|key| Self(Source::Given(key)))
    }

    /// A key that is read when it is needed, and again after some minutes.
    pub fn kept(secrets: Arc<dyn Secrets>, reference: SecretReference) -> Self {
        Self(Source::Kept { secrets, reference, held: Mutex::new(None) })
    }

    async fn at(&self, now: i64) -> Result<Arc<LocalKey>, Cause> {
        let (secrets, reference, held) = match &self.0 {
            Source::Given(key) => return Ok(Arc::clone(key)),
            Source::Kept { secrets, reference, held } => (secrets, reference, held),
        };
        let mut held = held.lock().await;
        let fresh = |read_at: i64| (0..FRESH_MS).contains(&now.saturating_sub(read_at));
        if let Some((key, _)) = held.as_ref().filter(|(_, read_at)| fresh(*read_at)) {
            return Ok(Arc::clone(key));
        }
        let read = key(&secrets.read(reference, now).await?)?;
        Ok(Arc::clone(&held.insert((read, now)).0))
    }
}

impl CloudFront {
    /// The distribution at that URL, without a slash at its end, with the id that it has for the key.
    pub fn new(base: String, key_pair_id: String, key: CdnKey) -> Self {
        Self { base, key_pair_id, key }
    }
}

#[async_trait]
impl Cdn for CloudFront {
    /// As in AWS's documentation of signed URLs with a canned policy.
    async fn url(&self, key: &ObjectKey, version: Option<&str>, now: i64) -> Result<String, CdnError> {
        let signer = self.key.at(now).await.map_err(CdnError)?;
        let url = plain(&self.base, key, version);
        let ends = now.div_euclid(1_000).saturating_add_unsigned(LIFETIME.as_secs());
        let signature = signer.sign(policy(&url, ends).as_bytes()).map_err(|error| CdnError(error.into()))?;
        let signature = in_a_query(&der(&signature));
        let (sign, id) = (if version.is_some() { '&' } else { '?' }, &self.key_pair_id);
        Ok(format!("{url}{sign}Expires={ends}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256"))
    }
}

/// What is signed: without a blank, and with the address as it is asked for.
fn policy(url: &str, ends: i64) -> String {
    format!(
        "{{\"Statement\":[{{\"Resource\":\"{url}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{ends}}}}}}}]}}"
    )
}

/// Base64 with other signs for those that mean something in a query.
fn in_a_query(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

/// A signature `r || s` as ASN.1: `SEQUENCE { INTEGER r, INTEGER s }`, each as short as can be and never negative.
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let mut numbers = Vec::with_capacity(70);
    for number in [r, s] {
        let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let padded = digits.first().is_none_or(|first| *first >= 0x80);
        let length = digits.len().saturating_add(usize::from(padded));
        numbers.extend([0x02, u8::try_from(length).unwrap_or(u8::MAX)]);
        numbers.extend(padded.then_some(0));
        numbers.extend(digits);
    }
    // At most 2 * 35 bytes: the short form of a length goes up to 127.
    let mut whole = vec![0x30, u8::try_from(numbers.len()).unwrap_or(u8::MAX)];
    whole.extend(numbers);
    whole
}

#[cfg(test)]
mod tests;
