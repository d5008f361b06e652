//! A bucket of S3, or of another store that speaks it.

use super::reader::Reader;
use crate::domain::secret::Secret;

/// The region for which requests are signed where nobody names one: what servers that speak S3 take by default.
const REGION: &str = "us-east-1";

/// Which bucket, where it is, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its region; `None`: the one of the environment.
    pub region: Option<String>,
    /// Another server than AWS's own; keys are then in the path.
    pub endpoint: Option<String>,
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`; `None`: those of the environment.
    pub credentials: Option<Secret>,
    /// Certificates (PEM) that are trusted for its server, beside those that are anyway.
    pub ca_pem: Option<Vec<u8>>,
}

impl Bucket {
    /// A bucket of S3, as AWS has it by default.
    pub(super) fn of_s3(reader: &mut Reader<'_>) -> Option<Self> {
        let mut said = Said::read(reader, "storage.s3");
        if said.has_credentials && said.region.is_none() {
            said.region = Some(reader.variable("AWS_REGION")?);
        }
        said.bucket()
    }

    /// A bucket of `MinIO`, or of another server that only speaks S3: where it is has to be said, and what opens it, here or
    /// in the variables that programs for S3 and `MinIO`'s own server take.
    pub(super) fn of_minio(reader: &mut Reader<'_>) -> Option<Self> {
        let mut said = Said::read(reader, "storage.minio");
        said.region = said.region.or_else(|| Some(REGION.to_owned()));
        let endpoint = reader.needed("storage.minio.endpoint", said.endpoint.take());
        if !said.has_credentials {
            said.credentials = of_environment(reader);
        }
        let bucket = said.bucket()?;
        bucket.credentials.as_ref()?;
        Some(Self { endpoint: Some(endpoint?), ..bucket })
    }
}

/// What a section says.
struct Said {
    name: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    has_credentials: bool,
    credentials: Option<Secret>,
    ca_pem: Option<Vec<u8>>,
}

impl Said {
    fn read(reader: &mut Reader<'_>, section: &str) -> Self {
        let key = |name: &str| format!("{section}.{name}");
        let name = reader.text(&key("bucket"));
        let (has_credentials, credentials) = credentials(reader, &key("credentials"));
        Self {
            name: reader.needed(&key("bucket"), name),
            region: reader.text(&key("region")).filter(|region| !region.is_empty()),
            endpoint: reader.url(&key("endpoint")),
            has_credentials,
            credentials,
            ca_pem: reader.file(&key("ca_file")),
        }
    }

    fn bucket(self) -> Option<Bucket> {
        let Self { name, region, endpoint, has_credentials, credentials, ca_pem } = self;
        // A reference that leads nowhere is not as good as none.
        let readable = credentials.is_some() || !has_credentials;
        readable.then_some(Bucket { name: name?, region, endpoint, credentials, ca_pem })
    }
}

/// What opens a bucket where the configuration does not say it: the variables of programs for S3, then those of `MinIO`'s own
/// server. One of a pair alone is a mistake.
fn of_environment(reader: &mut Reader<'_>) -> Option<Secret> {
    const PATH: &str = "storage.minio.credentials";
    let of = |name: &str| reader.environment().get(name).filter(|text| !text.is_empty()).cloned();
    let token = of("AWS_SESSION_TOKEN");
    for ((id_in, secret_in), token) in [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), token),
        (("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"), None),
    ] {
        match (of(id_in), of(secret_in)) {
            (None, None) => {}
            // A colon is what parts them here.
            (Some(id), Some(secret)) if !id.contains(':') && !secret.contains(':') => {
                let parts: Vec<String> = [id, secret].into_iter().chain(token).collect();
                return Some(Secret::new(parts.join(":")));
            }
            (Some(_), Some(_)) => {
                reader.problem(PATH, format!("`{id_in}` and `{secret_in}` may have no colon"));
                return None;
            }
            (Some(_), None) => {
                reader.problem(PATH, format!("`{id_in}` is set, but `{secret_in}` is not"));
                return None;
            }
            (None, Some(_)) => {
                reader.problem(PATH, format!("`{secret_in}` is set, but `{id_in}` is not"));
                return None;
            }
        }
    }
    let rule = "say `env:NAME` or `file:PATH`, or set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or \
                `MINIO_ROOT_USER` and `MINIO_ROOT_PASSWORD`";
    reader.problem(PATH, rule);
    None
}

/// Whether a key refers to a secret, and the secret.
pub(super) fn credentials(reader: &mut Reader<'_>, path: &str) -> (bool, Option<Secret>) {
    let Some(reference) = reader.text(path) else { return (false, None) };
    let secret = if let Some(name) = reference.strip_prefix("env:") {
        let value = reader.environment().get(name).filter(|text| !text.is_empty()).cloned();
        value.ok_or_else(|| format!("the environment variable `{name}` is not set"))
    } else if let Some(file) = reference.strip_prefix("file:") {
        std::fs::read_to_string(file).map_err(|error| format!("`{file}` cannot be read: {error}"))
    } else {
        // The text itself may be a secret that was put here by mistake: it is not repeated.
        Err("expected a reference: `env:NAME` or `file:PATH`".to_owned())
    };
    let secret = secret.map_err(|rule| reader.problem(path, rule)).ok();
    (true, secret.map(|text| Secret::new(text.trim_end().to_owned())))
}
