//! The CDN of the configuration, with what signs its addresses.

use std::sync::Arc;

use super::{WiringError, opened};
use crate::{
    adapters::cdn::{CdnKey, CloudFront, OpenCdn},
    config::{Config, SecretSource},
    ports::cdn::Cdn,
};

/// Asks nothing: a key that is kept elsewhere is read when it is needed.
///
/// # Errors
/// [`WiringError::Cdn`]
pub(super) fn open(config: &Config) -> Result<Option<Arc<dyn Cdn>>, WiringError> {
    let Some(cdn) = &config.cdn else { return Ok(None) };
    let Some(key) = &cdn.key else { return Ok(Some(Arc::new(OpenCdn::new(cdn.url.clone())))) };
    let signs = match &key.private_key {
        SecretSource::Read(text) => CdnKey::given(text).map_err(|error| WiringError::Cdn(error.into()))?,
        SecretSource::Kept(reference) => {
            let aws = config.aws.as_ref().ok_or(WiringError::NotChosen("AWS_REGION"))?;
            let secrets = opened::aws_secrets(config, aws);
            CdnKey::kept(secrets.map_err(|error| WiringError::Cdn(error.into()))?, reference.clone())
        }
    };
    Ok(Some(Arc::new(CloudFront::new(cdn.url.clone(), key.key_pair_id.clone(), signs))))
}
