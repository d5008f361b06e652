//! What every object store promises, one function per promise; [`objects_contract!`](crate::objects_contract) runs
//! them all over an adapter.

mod bytes;
mod doors;
mod keeping;
mod listing;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use ::bytes::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use sha2::Digest as _;

pub use self::{bytes::*, doors::*, keeping::*, listing::*};
use crate::{
    domain::{digest::Sha256, ids::UploadId, upload::ObjectKey},
    ports::objects::{
        Download, DownloadRequest, ObjectError, Objects, ReceiveError, Receiver, SignedPut, UploadDoors,
        UploadGrant,
    },
};

/// The time of every test, Unix milliseconds.
pub const NOW: i64 = 1_700_000_000_000;
/// How long the URLs of a test live.
pub const LIFETIME: Duration = Duration::from_secs(900);
/// The content that most tests store.
pub const CONTENT: &[u8] = b"the bytes of an installer";

/// Makes the store that a promise is tested on.
pub trait Fixture: Sync {
    /// An empty store of its own, which lives as long as the fixture: both sides of it.
    fn fresh(&self) -> (Arc<dyn Objects>, Arc<dyn Receiver>);
}

/// A store under test, with what an HTTP server in front of it would do.
#[derive(Debug)]
pub struct Store {
    /// The side of the use cases.
    pub objects: Arc<dyn Objects>,
    /// The side of the URLs.
    pub receiver: Arc<dyn Receiver>,
}

/// A PUT that a test sends, to be changed in any part.
#[derive(Debug, Clone)]
pub struct Put {
    /// The key in the path of the URL.
    pub key: ObjectKey,
    /// The query of the URL.
    pub query: String,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `x-amz-checksum-sha256`.
    pub checksum: Option<String>,
    /// When it comes.
    pub now: i64,
}

impl Put {
    pub(super) fn to(url: &str, headers: &BTreeMap<String, String>, content_length: u64) -> Self {
        let (path, query) = url.split_once('?').expect("a signed URL has a query");
        let (_, key) = path.split_once("/v1/objects/").expect("the path of every URL is /v1/objects/{key}");
        Self {
            key: key.parse().expect("the path ends in a key"),
            query: query.to_owned(),
            content_length: Some(content_length),
            content_type: Some("application/octet-stream".to_owned()),
            checksum: headers.get("x-amz-checksum-sha256").cloned(),
            now: NOW,
        }
    }

    /// The documented bare PUT of these doors, with that many bytes announced.
    pub fn bare(doors: &UploadDoors, content_length: usize) -> Self {
        Self::to(&doors.upload_url, &BTreeMap::new(), content_length as u64)
    }

    /// A PUT through each door that there is.
    pub fn each(doors: &UploadDoors, content_length: usize) -> Vec<Self> {
        let locked = doors.checksum_locked.as_ref().map(|_| Self::locked(doors, content_length));
        std::iter::once(Self::bare(doors, content_length)).chain(locked).collect()
    }

    /// The PUT through the checksum-locked door, with the headers that came with it.
    pub fn locked(doors: &UploadDoors, content_length: usize) -> Self {
        let door = doors.checksum_locked.as_ref().expect("our own stores have a locked door");
        Self::to(&door.url, &door.headers, content_length as u64)
    }
}

impl Store {
    /// A fresh store.
    pub fn of(fixture: &impl Fixture) -> Self {
        let (objects, receiver) = fixture.fresh();
        Self { objects, receiver }
    }

    /// The doors of an upload that takes exactly this content, whatever its media type.
    pub async fn doors(&self, upload_id: UploadId, content: &[u8]) -> UploadDoors {
        self.objects.presign_upload(&grant(upload_id, content)).await.unwrap()
    }

    /// Sends a PUT with any body.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn send(&self, put: &Put, body: Body) -> Result<(), ReceiveError> {
        let signed = SignedPut {
            key: put.key,
            query: &put.query,
            content_length: put.content_length,
            content_type: put.content_type.as_deref(),
            checksum: put.checksum.as_deref(),
            now: put.now,
        };
        self.receiver.receive(signed, body).await
    }

    /// Stores this content through the bare door.
    pub async fn stage(&self, upload_id: UploadId, content: &[u8]) {
        let doors = self.doors(upload_id, content).await;
        self.send(&Put::bare(&doors, content.len()), body(content)).await.unwrap();
    }

    /// Stores this content through the locked door.
    pub async fn lock(&self, upload_id: UploadId, content: &[u8]) {
        let doors = self.doors(upload_id, content).await;
        self.send(&Put::locked(&doors, content.len()), body(content)).await.unwrap();
    }

    /// Stores this content through the locked door, or the bare one where there is no other; answers with its key.
    pub async fn keep(&self, upload_id: UploadId, content: &[u8]) -> ObjectKey {
        let doors = self.doors(upload_id, content).await;
        let put = Put::each(&doors, content.len()).pop().expect("there is a door");
        self.send(&put, body(content)).await.unwrap();
        put.key
    }

    /// All bytes under a key, or a range of them.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn read(&self, key: ObjectKey, range: Option<(u64, u64)>) -> Result<Vec<u8>, ObjectError> {
        Ok(self.chunks(key, range).await?.try_collect::<Vec<_>>().await.unwrap().concat())
    }

    /// The bytes under a key, or a range of them, as they come.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn chunks(&self, key: ObjectKey, range: Option<(u64, u64)>) -> Result<Body, ObjectError> {
        let request =
            DownloadRequest { key, version: None, file_name: None, content_type: None, now: NOW, range };
        match self.objects.download(&request).await? {
            Download::Stream(chunks) => Ok(chunks),
            Download::Redirect(_) => panic!("a store with a receiver streams its downloads"),
        }
    }

    /// Fails the test if anything is stored under any key of the upload.
    pub async fn assert_nothing_of(&self, upload_id: UploadId) {
        for key in [
            ObjectKey::Staging(upload_id),
            ObjectKey::Locked(upload_id),
            ObjectKey::Copied(upload_id),
            ObjectKey::Whole(upload_id),
        ] {
            let found = self.objects.stat(&key).await;
            assert!(
                matches!(found, Err(ObjectError::NotFound(missing)) if missing == key),
                "{key}: {found:?}"
            );
        }
    }
}

/// The body of a PUT.
pub type Body = BoxStream<'static, Result<Bytes, io::Error>>;

/// A body of this content, in pieces of a few bytes.
pub fn body(content: &[u8]) -> Body {
    let pieces: Vec<_> =
        content.chunks(1 + content.len() / 3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

/// A body that breaks off after this content.
pub fn torn(content: &[u8]) -> Body {
    body(content).chain(stream::once(async { Err(io::ErrorKind::ConnectionReset.into()) })).boxed()
}

/// The upload with this number.
pub const fn upload(number: u128) -> UploadId {
    UploadId::from_parts(1_700_000_000_000, number)
}

/// A grant for exactly this content, whatever its media type.
pub fn grant(upload_id: UploadId, content: &[u8]) -> UploadGrant {
    UploadGrant {
        upload_id,
        size_bytes: content.len() as u64,
        sha256: digest(content),
        content_type: None,
        now: NOW,
        expires_in: LIFETIME,
    }
}

/// The digest of this content.
pub fn digest(content: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(content).into())
}

/// The digest of this content, as `x-amz-checksum-sha256` has it.
pub fn checksum(content: &[u8]) -> String {
    STANDARD.encode(digest(content).as_bytes())
}

/// Runs every promise of [`contract::objects`](crate::contract::objects) over one adapter, each as its own test:
/// `objects_contract!(memory, InMemory::new());` makes the tests `memory::…`. Needs `tokio` in the tests' crate.
#[macro_export]
macro_rules! objects_contract {
    (@ $adapter:ident, $fixture:expr, $($promise:ident)+) => {
        mod $adapter {
            #[allow(unused_imports, reason = "a fixture may be named by its whole path")]
            use super::*;

            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::contract::objects::$promise(&$fixture).await;
                }
            )+
        }
    };
    ($adapter:ident, $fixture:expr) => {
        $crate::objects_contract! { @ $adapter, $fixture,
            // bytes
            what_was_put_is_found_with_size_and_digest
            an_object_of_no_bytes_is_an_object
            a_torn_upload_is_not_found
            a_torn_upload_may_be_tried_again
            fewer_bytes_than_declared_are_not_kept
            more_bytes_than_declared_are_not_kept_and_not_read_on
            a_second_put_changes_nothing
            two_puts_at_once_keep_exactly_one
            what_was_never_put_is_not_found
            promote_gives_the_bytes_of_staging
            promote_twice_gives_the_same_copy
            promotes_at_once_give_the_same_copy
            promote_proves_the_digest_of_the_copy
            promote_without_staging_finds_nothing
            promote_looks_at_a_copy_whose_staging_is_gone
            what_staging_becomes_never_reaches_the_copy
            a_range_is_exactly_that_range
            a_range_outside_the_object_is_refused
            a_large_object_comes_back_whole_in_bounded_chunks
            a_deleted_object_is_not_found
            deleting_nothing_is_no_error
            deleting_one_key_leaves_the_others
            a_download_under_way_outlives_its_object
            // doors
            the_documented_curl_works
            a_url_ends_when_it_says
            an_expired_url_is_refused
            a_changed_signature_is_refused
            every_changed_parameter_is_refused
            every_added_or_missing_parameter_is_refused
            a_url_opens_no_other_key
            the_bare_door_refuses_another_length
            the_bare_door_refuses_an_unknown_length
            the_bare_door_refuses_another_media_type_than_declared
            the_bare_door_refuses_a_checksum_that_nobody_signed
            the_locked_door_takes_the_declared_bytes
            the_locked_door_refuses_other_bytes
            the_locked_door_refuses_a_missing_or_another_checksum
            the_locked_door_refuses_another_length
            a_refused_put_reads_no_body
            // listing
            what_is_stored_is_listed_with_size_and_age
            a_list_in_pages_has_everything_once
            what_was_erased_is_gone
            a_mark_is_listed_apart_from_what_is_stored
            // keeping
            what_we_write_is_nothing_before_it_is_published
            what_we_write_is_published_once
            what_we_give_up_leaves_nothing
            what_we_write_comes_back_whole_whatever_its_size
        }
    };
}
