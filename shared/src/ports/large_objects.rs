//! Uploads that come in parts.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::objects::{ObjectError, ObjectStat};
use crate::domain::{
    digest::Sha256,
    ids::UploadId,
    multipart::{Begun, Multipart},
    upload::ObjectKey,
};

/// An upload in parts that a store has begun: all that a store needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// The upload.
    pub upload_id: UploadId,
    /// The size of the whole, in bytes.
    pub size_bytes: u64,
    /// How it is cut.
    pub cut: Multipart,
    /// What the store began.
    pub begun: Begun,
}

/// A part that somebody wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedPart {
    /// Its number, from 1.
    pub part_number: u32,
    /// Its size in bytes: the URL takes exactly so many.
    pub size_bytes: u64,
    /// Its digest, where the URL is to take nothing else.
    pub sha256: Option<Sha256>,
}

/// Which parts may be put, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsGrant {
    /// The upload.
    pub large: Large,
    /// The parts.
    pub parts: Vec<WantedPart>,
    /// When the URLs are made, Unix milliseconds.
    pub now: i64,
    /// How long they are asked to live; a store may give less.
    pub expires_in: Duration,
}

/// Where parts are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDoors {
    /// One for each part, in the order asked.
    pub parts: Vec<PartDoor>,
    /// When the URLs end, Unix milliseconds.
    pub expires_at: i64,
}

/// Where one part is put. A URL is never handed out unless its signature covers what it promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDoor {
    /// The part.
    pub part_number: u32,
    /// The URL.
    pub url: String,
    /// Headers that must be sent as they are.
    pub headers: BTreeMap<String, String>,
}

/// What a store has of an upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// All of it, put together under the final key.
    Whole(ObjectStat),
    /// Every part, each of its size.
    AllParts,
    /// Not these parts, or in another size; in order and never empty.
    Lacks(Vec<u32>),
}

impl Held {
    /// What is held where these parts, by number and size, were found.
    pub fn of_parts(large: &Large, found: &BTreeMap<u32, u64>) -> Self {
        let lacks: Vec<u32> = (1..=large.cut.part_count)
            .filter(|number| found.get(number).copied() != large.cut.part_bytes(large.size_bytes, *number))
            .collect();
        if lacks.is_empty() { Self::AllParts } else { Self::Lacks(lacks) }
    }
}

/// Bytes as they are read.
pub type Bytestream = BoxStream<'static, Result<Bytes, io::Error>>;

/// Uploads that come in parts. Every sentence here has a test in `contract::large_objects`.
#[async_trait]
pub trait LargeObjects: fmt::Debug + Send + Sync {
    /// Begins an upload in parts and answers with the store's own name for it. With `checksums`, each part comes with
    /// its SHA-256; else none does.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn begin(&self, upload_id: UploadId, checksums: bool) -> Result<String, ObjectError>;

    /// Makes URLs for parts. Each takes exactly the part's length and, where one was told, its digest. A part may be put
    /// again until the whole is assembled: the last one counts.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: no URL could be signed.
    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError>;

    /// What the store has, by its own list; no bytes are read.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn held(&self, large: &Large) -> Result<Held, ObjectError>;

    /// Puts the parts together under [`ObjectKey::Whole`], which is written once: what is assembled already is looked
    /// at. Never answers with [`Held::AllParts`].
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError>;

    /// Ends an upload in parts and removes those that are there; ending nothing is no error. What was assembled stays.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn abort(&self, upload_id: UploadId, store_id: &str) -> Result<(), ObjectError>;

    /// Reads what is stored under a key from a byte that it has to its end, in chunks of bounded size.
    ///
    /// # Errors
    /// - [`ObjectError::NotFound`]: nothing is stored there.
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError>;
}
