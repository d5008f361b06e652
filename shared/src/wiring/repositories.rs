//! The repositories of the configuration, for use cases and for the fetcher.

use std::sync::Arc;

use super::WiringError;
use crate::{
    adapters::fetcher::{Credentials, Kind, SignedLinks},
    app::context,
    config::{Config, Repository, RepositoryKind},
    ports::links::Links,
};

/// The region for which requests are signed where neither the configuration nor the host names one: what servers that
/// speak S3 take by default.
const REGION: &str = "us-east-1";

fn kind(entry: &Repository) -> Kind {
    match entry.kind {
        RepositoryKind::Https => Kind::Https,
        RepositoryKind::S3 => Kind::S3,
        RepositoryKind::Gcs => Kind::Gcs,
        RepositoryKind::Jfrog => Kind::Jfrog,
        RepositoryKind::GitHub => Kind::GitHub,
    }
}

fn credentials(entry: &Repository) -> Result<Option<Credentials>, WiringError> {
    let Some(text) = &entry.credentials else { return Ok(None) };
    let region = entry.region.as_deref().or_else(|| region_of(entry.url_prefix.as_str())).unwrap_or(REGION);
    Credentials::of(kind(entry), text, region)
        .map(Some)
        .map_err(|error| WiringError::Repository { name: entry.name.clone(), source: error.into() })
}

/// The region in a host of AWS: `bucket.s3.eu-central-1.amazonaws.com`.
fn region_of(prefix: &str) -> Option<&str> {
    let host = prefix.strip_prefix("https://")?.split('/').next()?;
    let (_, region) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
    (region != "s3").then_some(region)
}

/// What use cases need to know of them.
pub(super) fn for_use_cases(config: &Config) -> Result<Vec<context::Repository>, WiringError> {
    let repository = |entry: &Repository| {
        let links = credentials(entry)?.as_ref().and_then(SignedLinks::new);
        Ok(context::Repository {
            name: entry.name.clone(),
            prefix: entry.url_prefix.clone(),
            has_credentials: entry.credentials.is_some(),
            allow_private: entry.allow_private,
            products: entry.products.clone(),
            links: links.map(|links| Arc::new(links) as Arc<dyn Links>),
        })
    };
    config.repositories.iter().map(repository).collect()
}

/// What reads them.
#[cfg(feature = "fetcher-https")]
pub(super) fn for_the_fetcher(
    config: &Config,
) -> Result<Vec<crate::adapters::fetcher::https::HttpsRepository>, WiringError> {
    let repository = |entry: &Repository| {
        Ok(crate::adapters::fetcher::https::HttpsRepository {
            name: entry.name.clone(),
            kind: kind(entry),
            url_prefix: entry.url_prefix.clone(),
            credentials: credentials(entry)?,
            allow_private: entry.allow_private,
            ca_file: entry.ca_pem.clone(),
            products: entry.products.iter().flatten().map(ToString::to_string).collect(),
        })
    };
    config.repositories.iter().map(repository).collect()
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
