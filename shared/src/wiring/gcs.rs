//! Managed bytes in a bucket of Google Cloud Storage, for the service of one machine.

use std::sync::Arc;

use super::WiringError;
use crate::{
    adapters::objects::gcs::{GcsCredentials, GcsObjects, GcsSettings},
    config::GcsBucket,
    ports::objects::Objects,
};

pub(super) async fn open(bucket: &GcsBucket) -> Result<Arc<dyn Objects>, WiringError> {
    let credentials = match &bucket.credentials {
        Some(text) => GcsCredentials::KeyFile(text.clone()),
        None => GcsCredentials::Machine { metadata: None, iam: None },
    };
    let settings =
        GcsSettings { bucket: bucket.name.clone(), endpoint: bucket.endpoint.clone(), credentials };
    let objects = GcsObjects::open(settings).await;
    let objects = objects.map_err(|source| WiringError::GcsBucket { name: bucket.name.clone(), source })?;
    Ok(Arc::new(objects))
}
