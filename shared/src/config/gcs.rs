//! A bucket of Google Cloud Storage.

use super::{bucket::credentials, reader::Reader};
use crate::domain::secret::Secret;

/// Which bucket, where it is, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsBucket {
    /// Its name.
    pub name: String,
    /// Another server than Google's own.
    pub endpoint: Option<String>,
    /// The JSON key file of a service account; `None`: the account that the metadata server of the machine names.
    pub credentials: Option<Secret>,
}

impl GcsBucket {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        // Names of buckets are the whole world's: the project is for whoever reads the file.
        reader.text("storage.gcs.project");
        let name = reader.text("storage.gcs.bucket");
        let name = reader.needed("storage.gcs.bucket", name);
        let endpoint = reader.url("storage.gcs.endpoint");
        let (has_credentials, credentials) = credentials(reader, "storage.gcs.credentials");
        // A reference that leads nowhere is not as good as none.
        let readable = credentials.is_some() || !has_credentials;
        readable.then_some(Self { name: name?, endpoint, credentials })
    }
}
