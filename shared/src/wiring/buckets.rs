//! Managed bytes in a bucket, for the service of one machine.

use std::{sync::Arc, time::Duration};

use super::WiringError;
use crate::{
    adapters::{
        aws::{AwsCredentials, AwsSettings, beyond_aws, sdk_config},
        objects::s3::S3Objects,
    },
    config::{Bucket, Config},
    ports::objects::Objects,
};

/// How long a copy may take for which nobody waits; less than the lease of the task that makes it.
const COPY_TIMEOUT: Duration = Duration::from_secs(780);

/// The same bucket twice: for who waits, and for the background, whose copies may take longer.
pub(super) async fn open(
    config: &Config,
    bucket: &Bucket,
) -> Result<(Arc<dyn Objects>, Arc<dyn Objects>), WiringError> {
    let wrong = |rule| WiringError::Bucket { name: bucket.name.clone(), rule };
    let aws = config.aws.as_ref();
    let credentials = match (&bucket.credentials, aws) {
        (Some(text), _) => AwsCredentials::parse(text).ok_or_else(|| {
            wrong("its credentials are to be `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and `:SESSION_TOKEN` where there is one")
        })?,
        (None, Some(aws)) => AwsCredentials {
            access_key_id: aws.access_key_id.clone(),
            secret_access_key: aws.secret_access_key.clone(),
            session_token: aws.session_token.clone(),
        },
        (None, None) => return Err(WiringError::NotChosen("AWS_ACCESS_KEY_ID")),
    };
    let region = bucket.region.clone().or_else(|| aws.map(|aws| aws.region.clone()));
    let settings = AwsSettings {
        region: region.ok_or(WiringError::NotChosen("AWS_REGION"))?,
        endpoint_url: bucket.endpoint.clone(),
        credentials,
        ca_pem: bucket.ca_pem.clone().or_else(|| aws.and_then(|aws| aws.ca_pem.clone())),
    };
    let mut sdk = sdk_config(&settings);
    if bucket.endpoint.is_some() {
        sdk = beyond_aws(&sdk, settings.ca_pem.as_deref());
    }
    let credentials = sdk.credentials_provider().ok_or(WiringError::NotChosen("AWS_ACCESS_KEY_ID"))?;
    let mut objects = S3Objects::open(&sdk, bucket.name.clone(), credentials, bucket.endpoint.is_some());
    if bucket.endpoint.is_some() {
        objects = objects.compatible();
    }
    objects.look_at_bucket().await;
    let patient = objects.clone().with_copy_timeout(COPY_TIMEOUT);
    Ok((Arc::new(objects), Arc::new(patient)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Storage;

    #[tokio::test]
    async fn credentials_of_another_form_stop_the_start_and_are_not_repeated() {
        let text = "storage: { type: minio, minio: { bucket: b, endpoint: 'http://127.0.0.1:1', credentials: 'env:KEYS' } }";
        for wrong in ["wr0ng", "wr0ng:", ":wr0ng", "id:wr0ng:"] {
            let environment = [("KEYS".to_owned(), wrong.to_owned())].into();
            let config = Config::read(text, &environment, Path::new("/data")).unwrap();
            let Storage::S3(bucket) = &config.storage else { unreachable!() };
            let error = open(&config, bucket).await.unwrap_err().to_string();
            assert!(error.contains("ACCESS_KEY_ID") && !error.contains("wr0ng"), "{error}");
        }
    }
}
