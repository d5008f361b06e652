//! Links that are signed for clients, where a repository has signed URLs.

use async_trait::async_trait;

use super::{Credentials, credentials::Opener};
use crate::{
    adapters::v4::{Key, Request},
    ports::links::{LinkError, LinkRequest, Links},
};

/// How long a link is good for, in seconds: it is looked at when a download begins.
const SECONDS: u32 = 900;

/// Signs links to objects of S3, `MinIO` and Google Cloud Storage.
#[derive(Debug)]
pub struct SignedLinks(Credentials);

impl SignedLinks {
    /// Signs with these credentials; nothing where they are none that sign.
    pub fn new(credentials: &Credentials) -> Option<Self> {
        credentials.sign().then(|| Self(credentials.clone()))
    }
}

#[async_trait]
impl Links for SignedLinks {
    async fn link(&self, request: &LinkRequest<'_>) -> Result<String, LinkError> {
        let opener = self.0.opener(request.now).await;
        let opener = opener.map_err(|cause| LinkError::Unavailable { retry_after: None, cause })?;
        let Opener::Key(key) = opener else { return Err(LinkError::Unsigned) };
        let disposition = request.file_name.map(|name| format!("attachment; filename=\"{name}\""));
        let mut query = Vec::new();
        if let Some(disposition) = &disposition {
            query.push(("response-content-disposition", disposition.as_str()));
        }
        // What was proved is one generation: a link to whatever is there now would not be to it.
        let version = request.validators.and_then(|validators| validators.version.as_deref());
        let named = request.url.has_query("generation");
        if let (Key::Google { .. }, Some(version), false) = (key.as_ref(), version, named) {
            query.push(("generation", version));
        }
        let signed =
            Request { method: "GET", url: request.url, query: &query, headers: &[], now: request.now };
        let target = key.in_query(&signed, SECONDS).ok_or(LinkError::Unsigned)?;
        Ok(format!("{}://{}{target}", request.url.scheme(), request.url.authority()))
    }
}
