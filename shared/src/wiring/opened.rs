//! The repositories of the configuration with what opens them: read, and linked to.

use std::{sync::Arc, time::Duration};

use super::WiringError;
use crate::{
    adapters::fetcher::{
        Credentials, Kind, SignedLinks,
        https::{AskedLinks, AwsAccess, AwsSecrets, FetchLimits, HttpsFetcher, HttpsRepository, TlsError},
    },
    app::context,
    config::{Aws, Config, Repository, RepositoryKind, SecretSource},
    ports::{links::Links, secrets::Secrets},
};

/// The region for which requests are signed where neither the configuration nor the host names one: what servers that
/// speak S3 take by default.
const REGION: &str = "us-east-1";

/// The repositories, in the order of the configuration.
#[derive(Debug)]
pub(super) struct OpenRepositories {
    repositories: Vec<HttpsRepository>,
    /// Made once it is needed: a function that sends nobody to a repository has no use for it.
    fetcher: Option<Arc<HttpsFetcher>>,
}

impl OpenRepositories {
    /// Asks nothing: what is kept elsewhere is read when it is needed.
    ///
    /// # Errors
    /// [`WiringError::Repository`]
    pub(super) fn new(config: &Config) -> Result<Self, WiringError> {
        let secrets = secrets(config)?;
        let repository = |entry: &Repository| {
            Ok(HttpsRepository {
                name: entry.name.clone(),
                kind: kind(entry),
                url_prefix: entry.url_prefix.clone(),
                credentials: credentials(entry, secrets.as_ref())?,
                allow_private: entry.allow_private,
                ca_file: entry.ca_pem.clone(),
                products: entry.products.iter().flatten().map(ToString::to_string).collect(),
            })
        };
        let repositories = config.repositories.iter().map(repository).collect::<Result<_, WiringError>>()?;
        Ok(Self { repositories, fetcher: None })
    }

    /// Says who gets links to private files.
    ///
    /// # Errors
    /// [`WiringError::Repository`]
    pub(super) fn link(
        &mut self,
        config: &Config,
        entries: &mut [context::Repository],
    ) -> Result<(), WiringError> {
        for (index, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| entry.gives_links) {
            let Some(HttpsRepository { kind, credentials: Some(credentials), .. }) =
                self.repositories.get(index)
            else {
                continue;
            };
            let links: Option<Arc<dyn Links>> = match kind {
                Kind::S3 | Kind::Gcs => SignedLinks::new(credentials).map(|links| Arc::new(links) as _),
                Kind::GitHub | Kind::Jfrog => Some(Arc::new(AskedLinks::new(self.fetcher(config)?))),
                Kind::Https => None,
            };
            entry.links = links;
        }
        Ok(())
    }

    /// What reads them.
    ///
    /// # Errors
    /// [`WiringError::Repository`]
    pub(super) fn fetcher(&mut self, config: &Config) -> Result<Arc<HttpsFetcher>, WiringError> {
        if let Some(fetcher) = &self.fetcher {
            return Ok(Arc::clone(fetcher));
        }
        let external = &config.external;
        let limits = FetchLimits {
            connect: Duration::from_secs(external.connect_timeout_seconds),
            silence: Duration::from_secs(external.silence_timeout_seconds),
            total_base: Duration::from_secs(external.total_timeout_seconds),
            min_rate: external.min_bytes_per_second,
            ..FetchLimits::default()
        };
        let fetcher = HttpsFetcher::new(self.repositories.clone(), external.url_rules.clone(), limits)
            .map_err(|error| WiringError::Repository { name: "ca_file".into(), source: error.into() })?;
        Ok(Arc::clone(self.fetcher.insert(Arc::new(fetcher))))
    }

    /// Reads what is kept elsewhere, to say what is wrong with it before anything is served.
    ///
    /// # Errors
    /// [`WiringError::Repository`]
    #[cfg(feature = "embedded")]
    pub(super) async fn check(&self, now: i64) -> Result<(), WiringError> {
        for repository in &self.repositories {
            if let Some(credentials) = &repository.credentials {
                let failed = |source| WiringError::Repository { name: repository.name.clone(), source };
                credentials.check(now).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn kind(entry: &Repository) -> Kind {
    match entry.kind {
        RepositoryKind::Https => Kind::Https,
        RepositoryKind::S3 => Kind::S3,
        RepositoryKind::Gcs => Kind::Gcs,
        RepositoryKind::Jfrog => Kind::Jfrog,
        RepositoryKind::GitHub => Kind::GitHub,
    }
}

/// Who reads credentials that are kept elsewhere, where there are such.
fn secrets(config: &Config) -> Result<Option<Arc<dyn Secrets>>, WiringError> {
    let kept =
        config.repositories.iter().find(|entry| matches!(entry.credentials, Some(SecretSource::Kept(_))));
    let (Some(entry), Some(aws)) = (kept, &config.aws) else { return Ok(None) };
    let secrets = aws_secrets(config, aws)
        .map_err(|error| WiringError::Repository { name: entry.name.clone(), source: error.into() })?;
    Ok(Some(secrets))
}

/// Who reads secrets of AWS.
///
/// # Errors
/// [`TlsError`]
pub(super) fn aws_secrets(config: &Config, aws: &Aws) -> Result<Arc<dyn Secrets>, TlsError> {
    let access = AwsAccess {
        region: aws.region.clone(),
        access_key_id: aws.access_key_id.clone(),
        secret_access_key: aws.secret_access_key.clone(),
        session_token: aws.session_token.clone(),
        endpoint: config.secrets_endpoint.clone(),
        ca_pem: aws.ca_pem.clone(),
    };
    Ok(Arc::new(AwsSecrets::new(access)?))
}

fn credentials(
    entry: &Repository,
    secrets: Option<&Arc<dyn Secrets>>,
) -> Result<Option<Credentials>, WiringError> {
    let Some(source) = &entry.credentials else { return Ok(None) };
    let region = entry.region.as_deref().or_else(|| region_of(entry.url_prefix.as_str())).unwrap_or(REGION);
    match source {
        SecretSource::Read(text) => Credentials::of(kind(entry), text, region)
            .map(Some)
            .map_err(|error| WiringError::Repository { name: entry.name.clone(), source: error.into() }),
        SecretSource::Kept(reference) => {
            let secrets = secrets.ok_or(WiringError::NotChosen("AWS_REGION"))?;
            Ok(Some(Credentials::kept(kind(entry), region, Arc::clone(secrets), reference.clone())))
        }
    }
}

/// The region in a host of AWS: `bucket.s3.eu-central-1.amazonaws.com`.
fn region_of(prefix: &str) -> Option<&str> {
    let host = prefix.strip_prefix("https://")?.split('/').next()?;
    let (_, region) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
    (region != "s3").then_some(region)
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn the_region_of_a_bucket_is_read_off_its_host() {
        for (prefix, region) in [
            ("https://releases.s3.eu-central-1.amazonaws.com/app", Some("eu-central-1")),
            ("https://s3.us-west-2.amazonaws.com/releases", Some("us-west-2")),
            ("https://releases.s3.amazonaws.com/", None),
            ("https://minio.example.com/releases", None),
            ("https://s3.eu-central-1.amazonaws.com.example.com/", None),
        ] {
            assert_eq!(region_of(prefix), region, "{prefix}");
        }
    }
}
