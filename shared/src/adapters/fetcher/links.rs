//! Links that are signed for clients, where a repository has signed URLs.

use std::sync::Arc;

use super::Credentials;
use crate::{
    adapters::v4::{Key, Request},
    ports::links::{LinkError, LinkRequest, Links},
};

/// How long a link is good for, in seconds: it is looked at when a download begins.
const SECONDS: u32 = 900;

/// Signs links to objects of S3, `MinIO` and Google Cloud Storage.
#[derive(Debug)]
pub struct SignedLinks(Arc<Key>);

impl SignedLinks {
    /// Signs with these credentials; nothing where they are none that sign.
    pub fn new(credentials: &Credentials) -> Option<Self> {
        credentials.key().map(Self)
    }
}

impl Links for SignedLinks {
    fn link(&self, request: &LinkRequest<'_>) -> Result<String, LinkError> {
        let disposition = request.file_name.map(|name| format!("attachment; filename=\"{name}\""));
        let mut query = Vec::new();
        if let Some(disposition) = &disposition {
            query.push(("response-content-disposition", disposition.as_str()));
        }
        // What was proved is one generation: a link to whatever is there now would not be to it.
        let version = request.validators.and_then(|validators| validators.version.as_deref());
        let named = request.url.path_and_query().contains("generation=");
        if let (Key::Google { .. }, Some(version), false) = (self.0.as_ref(), version, named) {
            query.push(("generation", version));
        }
        let signed =
            Request { method: "GET", url: request.url, query: &query, headers: &[], now: request.now };
        let target = self.0.in_query(&signed, SECONDS).ok_or(LinkError)?;
        Ok(format!("{}://{}{target}", request.url.scheme(), request.url.authority()))
    }
}
