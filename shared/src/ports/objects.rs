//! Where artifact bytes live.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::large_objects::LargeObjects;
use crate::domain::{digest::Sha256, ids::UploadId, upload::ObjectKey};

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStat {
    /// Size in bytes.
    pub size_bytes: u64,
    /// The SHA-256 that the store itself computed over exactly these bytes; `None` where it has none.
    pub sha256: Option<Sha256>,
    /// The store's version of the key, where it has versions.
    pub version: Option<String>,
}

/// What an upload may put, and where: both doors of one upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadGrant {
    /// The upload.
    pub upload_id: crate::domain::ids::UploadId,
    /// Exactly this many bytes.
    pub size_bytes: u64,
    /// With this digest (the checksum-locked door only).
    pub sha256: Sha256,
    /// With this media type (the bare door only), where one was declared.
    pub content_type: Option<String>,
    /// When the URLs are made, Unix milliseconds.
    pub now: i64,
    /// How long they are asked to live; a store may give less.
    pub expires_in: Duration,
}

/// The two doors of one upload. A URL is never handed out unless its signature covers what it promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadDoors {
    /// Bare PUT to staging: length, media type and write-once hold; the digest is proved later.
    pub upload_url: String,
    /// PUT that the store refuses unless the bytes have the digest; `None` where a store cannot enforce that.
    pub checksum_locked: Option<LockedDoor>,
    /// When the URLs end, Unix milliseconds.
    pub expires_at: i64,
}

/// A PUT that takes nothing but the declared bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedDoor {
    /// The URL.
    pub url: String,
    /// Headers that must be sent as they are.
    pub headers: BTreeMap<String, String>,
}

/// How a download is presented; fixed in the signed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRequest {
    /// The key.
    pub key: ObjectKey,
    /// The version that was proved, where the store has versions.
    pub version: Option<String>,
    /// Name of the attachment.
    pub file_name: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
    /// When the URL is made, Unix milliseconds.
    pub now: i64,
    /// The part that is wanted, where the store streams: first byte and last byte, both inclusive and both inside the
    /// object.
    pub range: Option<(u64, u64)>,
}

/// How a store hands out bytes: this difference between stores is a type, not a flag.
pub enum Download {
    /// Go there; the URL is signed and short-lived.
    Redirect(String),
    /// Read here: the requested range, in chunks of bounded size.
    Stream(BoxStream<'static, Result<Bytes, std::io::Error>>),
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect(_) => "Redirect(…)",
            Self::Stream(_) => "Stream(…)",
        })
    }
}

/// A part of a store that can be looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// What came through bare doors.
    Staging,
    /// What is served, or may come to be.
    Objects,
    /// Parts of uploads that were not put together.
    Parts,
    /// What says whose the store is.
    Deployment,
}

/// What is stored in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// An object under a key of ours.
    Object(ObjectKey),
    /// The parts of an upload, all together.
    Parts {
        /// The upload.
        upload_id: UploadId,
        /// What the store calls it.
        store_id: String,
    },
    /// What was written of an object of ours that nobody has published or discarded.
    Draft {
        /// Its key.
        key: ObjectKey,
        /// What the store calls it.
        store_id: String,
    },
    /// Something under a key that nobody here makes.
    Foreign,
}

/// Something that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub thing: Thing,
    /// The key, as the store spells it.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was written last, Unix milliseconds; `None` where that is not known.
    pub at: Option<i64>,
}

/// A page of what a store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// In an order that does not change.
    pub found: Vec<Listed>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Nothing complete is stored under the key.
    #[error("nothing is stored under `{0}`")]
    NotFound(ObjectKey),
    /// The store did not answer, or answered nonsense; trying again may help.
    #[error("the object store could not be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where artifact bytes live. Every sentence here has a test in `contract::objects`.
#[async_trait]
pub trait Objects: fmt::Debug + Send + Sync {
    /// What is stored under `key`: one metadata request, no body is read, whatever the size.
    ///
    /// # Errors
    /// - [`ObjectError::NotFound`]: nothing complete is stored under `key`; a torn upload is nothing.
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError>;

    /// Makes the doors of an upload. Each takes bytes once: a second PUT is refused and changes nothing. A store that knows
    /// no such condition takes it in staging, from where nothing is served.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: no URL could be signed.
    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError>;

    /// Copies what is stored under staging to the key that may be served, and has the store prove its digest:
    /// the answer's `sha256` is that of the copy, or `None` where the store computes none and the copy has to be read. A
    /// copy that is there already is looked at, never overwritten.
    ///
    /// # Errors
    /// - [`ObjectError::NotFound`]: nothing complete is in staging and no copy was made before.
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn promote(&self, upload_id: crate::domain::ids::UploadId) -> Result<ObjectStat, ObjectError>;

    /// Hands out what is stored under a key.
    ///
    /// # Errors
    /// - [`ObjectError::NotFound`]: nothing is stored there (a store that redirects may not know).
    /// - [`ObjectError::Unavailable`]: the store did not answer, or the range does not lie inside the object.
    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError>;

    /// Removes what is stored under a key; removing nothing is no error.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError>;

    /// Removes what is stored under a key with every version of it, past getting back; removing nothing is no error.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer, or has removed a part of it.
    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.delete(key).await
    }

    /// What is in an area, at most so many at once, from where the page before has ended. Whatever was there before the
    /// first page and is there after the last is on one of them.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError>;

    /// Begins an object that we write ourselves, of so many bytes. Nothing is seen under the key before it is published.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer, or takes nothing from us.
    async fn keep(&self, key: &ObjectKey, size_bytes: u64) -> Result<Box<dyn Draft>, ObjectError> {
        let _ = (key, size_bytes);
        Err(ObjectError::Unavailable("this store takes nothing from the service itself".into()))
    }

    /// Removes a draft that was left, by what the store calls it; removing nothing is no error. A store that lists no drafts
    /// leaves none.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: the store did not answer.
    async fn discard(&self, key: &ObjectKey, store_id: &str) -> Result<(), ObjectError> {
        let _ = (key, store_id);
        Ok(())
    }

    /// Uploads in parts, where the store takes such.
    fn large(&self) -> Option<&dyn LargeObjects> {
        None
    }
}

/// An object that we are writing.
#[async_trait]
pub trait Draft: fmt::Debug + Send {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// They could not be written; then the draft is good for nothing any more.
    async fn write(&mut self, piece: Bytes) -> std::io::Result<()>;

    /// Puts what was written under its key, which is written once: what is there already stays, and is the answer.
    ///
    /// # Errors
    /// - [`ObjectError::Unavailable`]: it was not done, as far as is known.
    async fn publish(self: Box<Self>, now: i64) -> Result<ObjectStat, ObjectError>;

    /// Removes what was written.
    async fn discard(self: Box<Self>);
}

/// Why a PUT through a signed URL was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The URL was changed, is not ours, or has ended; or a signed header is missing or another.
    #[error("{0}")]
    AccessDenied(&'static str),
    /// The key holds bytes already, which stay as they are.
    #[error("the object is there already and is not overwritten")]
    AlreadyThere,
    /// More or fewer bytes than were declared.
    #[error("{found} bytes were sent where {declared} were declared")]
    WrongSize {
        /// What the URL was signed for.
        declared: u64,
        /// What came (one more than declared means: at least that).
        found: u64,
    },
    /// Bytes with another digest than the locked door takes.
    #[error("the bytes sent have SHA-256 `{found}`, the URL takes only `{declared}`")]
    WrongDigest {
        /// What the URL was signed for.
        declared: Sha256,
        /// What came.
        found: Sha256,
    },
    /// The sender stopped in the middle.
    #[error("the connection ended before all bytes had come")]
    Interrupted,
    /// The bytes could not be kept; trying again may help.
    #[error("the object store could not be used")]
    Unavailable(#[source] std::io::Error),
}

/// The receiving side of a store that has no server of its own: what answers the URLs of [`Objects::presign_upload`].
#[async_trait]
pub trait Receiver: fmt::Debug + Send + Sync {
    /// Takes the body of a PUT: checks the signature, time, length and headers before reading, hashes while writing,
    /// and keeps all or nothing, durably, before it returns.
    ///
    /// # Errors
    /// [`ReceiveError`], and nothing is kept.
    async fn receive(
        &self,
        put: SignedPut<'_>,
        body: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<(), ReceiveError>;
}

/// A PUT as it came in.
#[derive(Debug, Clone, Copy)]
pub struct SignedPut<'a> {
    /// The key in the path.
    pub key: ObjectKey,
    /// The raw query string.
    pub query: &'a str,
    /// The `Content-Length` header.
    pub content_length: Option<u64>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The `x-amz-checksum-sha256` header, as it came.
    pub checksum: Option<&'a str>,
    /// The time it is judged by, Unix milliseconds.
    pub now: i64,
}
