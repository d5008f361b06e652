//! The question that a client asks, and what an answer to it must therefore say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::verify::Expected;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

use crate::ClientError;

/// The channel that is asked for where none is named.
const DEFAULT_CHANNEL: &str = "stable";
/// How many random bytes a nonce has: the fewest that the service takes. With more a token would outgrow its budget.
const NONCE_BYTES: usize = 16;

/// A question about 1 to 20 products.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The products, answered in this order.
    pub products: Vec<ProductQuestion>,
    /// What identifies this installation to rollouts; hashed by the service, never stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What the answers must echo, so that none of them can be an old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The question about one product, as it is installed on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductQuestion {
    /// The product's name.
    pub product_id: String,
    /// The installed version, `SemVer` 2.
    pub current_version: String,
    /// The channel; `stable` where none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The customer organisation whose policy applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// `windows`, `macos` or `linux`.
    pub platform: String,
    /// `x86_64`, `x86` or `arm64`.
    pub arch: String,
    /// The version of the operating system, dotted numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The installer types that the client can run, the preferred one first; empty means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub installer_types: Vec<String>,
}

impl ProductQuestion {
    /// A question with nothing but what every question needs.
    pub fn new(product_id: &str, current_version: &str, platform: &str, arch: &str) -> Self {
        Self {
            product_id: product_id.to_owned(),
            current_version: current_version.to_owned(),
            channel: None,
            tenant_id: None,
            platform: platform.to_owned(),
            arch: arch.to_owned(),
            os_version: None,
            installer_types: Vec::new(),
        }
    }
}

impl Question {
    /// A question about one product.
    pub fn about(product: ProductQuestion) -> Self {
        Self { products: vec![product], client_id: None, nonce: None }
    }

    /// The same question with a nonce that was never used before.
    ///
    /// # Errors
    /// [`ClientError::Randomness`] where the system gives no random bytes.
    pub fn with_fresh_nonce(mut self) -> Result<Self, ClientError> {
        self.nonce = Some(fresh_nonce()?);
        Ok(self)
    }

    /// What a decision of `issuer` about `product` must say to be believed at `now`.
    pub(crate) fn expected(
        &self,
        product: &ProductQuestion,
        issuer: &str,
        now: i64,
    ) -> Result<Expected, ClientError> {
        Ok(Expected {
            now,
            issuer: issuer.to_owned(),
            product_id: product.product_id.clone(),
            channel: product.channel.clone().unwrap_or_else(|| DEFAULT_CHANNEL.to_owned()),
            platform: product.platform.clone(),
            arch: product.arch.clone(),
            tenant_id: product.tenant_id.clone(),
            installed_version: product.current_version.parse().map_err(ClientError::Version)?,
            nonce: self.nonce.clone(),
            stored: None,
            max_artifact_bytes: decision::MAX_INTEGER,
            allow_loopback_http: false,
            installer_types: product.installer_types.clone(),
        })
    }
}

/// A new nonce: 16 random bytes in base64url, 22 characters.
///
/// # Errors
/// [`ClientError::Randomness`] where the system gives no random bytes.
pub fn fresh_nonce() -> Result<String, ClientError> {
    let mut bytes = [0_u8; NONCE_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ClientError::Randomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_is_not_sent() {
        let question = Question::about(ProductQuestion::new("editor", "1.4.0", "linux", "x86_64"));
        let sent = serde_json::to_value(&question).unwrap();
        let expected = serde_json::json!({"products": [
            {"product_id": "editor", "current_version": "1.4.0", "platform": "linux", "arch": "x86_64"}
        ]});
        assert_eq!(sent, expected);
    }

    #[test]
    fn nonces_are_22_characters_and_never_the_same() {
        let (one, other) = (fresh_nonce().unwrap(), fresh_nonce().unwrap());
        assert_eq!(one.len(), 22);
        assert_ne!(one, other);
    }
}
