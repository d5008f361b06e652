//! Where things are kept and who is told: one machine, or AWS.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{bucket::Bucket, gcs::GcsBucket, reader::Reader};
use crate::domain::secret::Secret;

/// Where managed bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In a folder of this machine.
    Filesystem {
        /// The folder.
        root: PathBuf,
    },
    /// In a bucket of S3, or of another store that speaks it.
    S3(Bucket),
    /// In a bucket of Google Cloud Storage.
    Gcs(GcsBucket),
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// In a SQLite file of this machine.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// In a DynamoDB table.
    DynamoDb {
        /// The table.
        table: String,
        /// Another server than AWS's own.
        endpoint: Option<String>,
    },
}

/// Who does work in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// The process itself.
    Process,
    /// Whoever reads an SQS queue.
    Sqs {
        /// The address of the queue.
        url: String,
        /// Another server than AWS's own.
        endpoint: Option<String>,
    },
}

/// How AWS is reached: what every function finds in its environment.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// The public half of the credentials.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// What a role's credentials have besides.
    pub session_token: Option<Secret>,
    /// Certificates (PEM) that are trusted beside Amazon's own.
    pub ca_pem: Option<Vec<u8>>,
}

pub(super) fn storage(reader: &mut Reader<'_>, data: &Path) -> Option<Storage> {
    const SECTIONS: [&str; 4] = ["filesystem", "s3", "minio", "gcs"];
    let kind = reader.word("storage.type", &SECTIONS, "filesystem");
    let storage = match kind.as_deref()? {
        "s3" => Bucket::of_s3(reader).map(Storage::S3),
        "minio" => Bucket::of_minio(reader).map(Storage::S3),
        "gcs" => GcsBucket::read(reader).map(Storage::Gcs),
        _ => {
            let root = reader.path("storage.filesystem.root");
            Some(Storage::Filesystem { root: root.unwrap_or_else(|| data.join("objects")) })
        }
    };
    // What another choice would need may stand in the file, right or wrong.
    SECTIONS.iter().filter(|section| Some(**section) != kind.as_deref()).for_each(|section| {
        reader.ignore(&[&format!("storage.{section}")]);
    });
    storage
}

pub(super) fn metadata(reader: &mut Reader<'_>, data: &Path) -> Option<Metadata> {
    let path = reader.path("metadata.sqlite.path").unwrap_or_else(|| data.join("bigpicture.db"));
    let (table, endpoint) =
        (reader.text("metadata.dynamodb.table"), reader.url("metadata.dynamodb.endpoint"));
    if reader.word("metadata.type", &["sqlite", "dynamodb"], "sqlite")? == "sqlite" {
        return Some(Metadata::Sqlite { path });
    }
    let table = reader.needed("metadata.dynamodb.table", table)?;
    Some(Metadata::DynamoDb { table, endpoint })
}

pub(super) fn queue(reader: &mut Reader<'_>) -> Option<Queue> {
    let (url, endpoint) = (reader.url("queue.sqs.url"), reader.url("queue.sqs.endpoint"));
    if reader.word("queue.type", &["process", "sqs"], "process")? == "process" {
        return Some(Queue::Process);
    }
    let url = reader.needed("queue.sqs.url", url)?;
    Some(Queue::Sqs { url, endpoint })
}

/// Reads what every program that uses AWS finds under these names.
pub(super) fn aws(reader: &mut Reader<'_>) -> Option<Aws> {
    let region = reader.variable("AWS_REGION");
    let access_key_id = reader.variable("AWS_ACCESS_KEY_ID");
    let secret_access_key = reader.variable("AWS_SECRET_ACCESS_KEY");
    let ca_pem = reader.file_of_variable("AWS_CA_BUNDLE");
    let optional = |environment: &BTreeMap<String, String>| environment.get("AWS_SESSION_TOKEN").cloned();
    let session_token = optional(reader.environment()).filter(|token| !token.is_empty());
    Some(Aws {
        region: region?,
        access_key_id: access_key_id?,
        secret_access_key: Secret::new(secret_access_key?),
        session_token: session_token.map(Secret::new),
        ca_pem,
    })
}
