//! Where public managed artifacts are downloaded from instead.

use super::{SecretSource, reader::Reader};

/// A CDN before the bucket.
#[derive(Debug, Clone)]
pub struct Cdn {
    /// Its address, without a slash at the end.
    pub url: String,
    /// What signs its addresses; `None` where it asks for no signatures.
    pub key: Option<CdnKey>,
}

impl Cdn {
    /// Whether its key is read over the network.
    pub(super) fn is_kept(&self) -> bool {
        self.key.as_ref().is_some_and(|key| matches!(key.private_key, SecretSource::Kept(_)))
    }
}

/// A key that `CloudFront` trusts.
#[derive(Debug, Clone)]
pub struct CdnKey {
    /// What `CloudFront` calls it.
    pub key_pair_id: String,
    /// Where it comes from: P-256, PKCS#8 in PEM.
    pub private_key: SecretSource,
}

pub(super) fn cdn(reader: &mut Reader<'_>) -> Option<Cdn> {
    let url = reader.url("cdn_url");
    let id = reader.text("cdn.key_pair_id").filter(|id| !id.is_empty());
    let plain = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if id.as_ref().is_some_and(|id| !plain(id)) {
        reader.problem("cdn.key_pair_id", "expected letters and digits, as CloudFront gives them");
    }
    let (named, private_key) = reader.secret("cdn.private_key");
    if id.is_some() != named {
        reader.problem("cdn.key_pair_id, cdn.private_key", "both are needed, or neither");
    }
    if named && url.is_none() {
        reader.problem("cdn_url", "needed with `cdn.private_key`");
    }
    let key = id.zip(private_key).map(|(key_pair_id, private_key)| CdnKey { key_pair_id, private_key });
    url.map(|url| Cdn { url, key })
}
