//! What every store that takes uploads in parts promises, one function per promise;
//! [`large_objects_contract!`](crate::large_objects_contract) runs them all over an adapter.

use std::collections::BTreeMap;

use futures_util::{TryStreamExt, future::join_all};

use super::objects::{Fixture, LIFETIME, NOW, Put, Store, body, digest, upload};
use crate::{
    domain::{
        ids::UploadId,
        multipart::{Begun, Multipart},
        upload::ObjectKey,
    },
    ports::{
        large_objects::{Held, Large, LargeObjects, PartDoor, PartsGrant, WantedPart},
        objects::{ObjectError, ReceiveError},
    },
};

/// The smallest part that every store takes: 5 MiB.
const PART: usize = 5 << 20;
const LAST: usize = 11;

/// Two parts, the last of them small.
fn content() -> Vec<u8> {
    (0..PART + LAST).map(|at| (at.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()[0]).collect()
}

/// An upload in two parts that a store has begun.
struct Began {
    store: Store,
    large: Large,
    content: Vec<u8>,
}

impl Began {
    async fn new(fixture: &impl Fixture, checksums: bool) -> Self {
        Self::over(Store::of(fixture), upload(1), checksums).await
    }

    async fn over(store: Store, upload_id: UploadId, checksums: bool) -> Self {
        let content = content();
        let size_bytes = content.len() as u64;
        let store_id = store.objects.large().unwrap().begin(upload_id, checksums).await.unwrap();
        let begun = Begun { store_id, checksums };
        let cut = Multipart { begun: Some(begun.clone()), ..Multipart::cut(size_bytes, PART as u64) };
        assert_eq!(cut.part_count, 2);
        Self { store, large: Large { upload_id, size_bytes, cut, begun }, content }
    }

    fn port(&self) -> &dyn LargeObjects {
        self.store.objects.large().unwrap()
    }

    fn bytes(&self, number: u32) -> &[u8] {
        if number == 1 { &self.content[..PART] } else { &self.content[PART..] }
    }

    async fn door(&self, number: u32) -> PartDoor {
        let bytes = self.bytes(number);
        let sha256 = self.large.begun.checksums.then(|| digest(bytes));
        let part = WantedPart { part_number: number, size_bytes: bytes.len() as u64, sha256 };
        let grant =
            PartsGrant { large: self.large.clone(), parts: vec![part], now: NOW, expires_in: LIFETIME };
        let mut doors = self.port().presign_parts(&grant).await.unwrap();
        assert_eq!(doors.parts.len(), 1);
        assert!(doors.expires_at > NOW && doors.expires_at <= NOW + 900_000);
        let door = doors.parts.remove(0);
        assert_eq!(door.part_number, number);
        assert_eq!(door.headers.is_empty(), sha256.is_none());
        door
    }

    async fn put_other(&self, number: u32, bytes: &[u8]) -> Result<(), ReceiveError> {
        let put = Put::part(&self.door(number).await, bytes.len());
        self.store.send(&put, body(bytes)).await
    }

    async fn put(&self, number: u32) {
        self.put_other(number, self.bytes(number)).await.unwrap();
    }

    async fn put_all(&self) {
        self.put(1).await;
        self.put(2).await;
    }

    async fn held(&self) -> Held {
        self.port().held(&self.large).await.unwrap()
    }

    async fn assemble(&self) -> Held {
        self.port().assemble(&self.large).await.unwrap()
    }

    fn whole(&self) -> ObjectKey {
        ObjectKey::Whole(self.large.upload_id)
    }

    async fn read(&self, from: u64) -> Vec<u8> {
        let bytes = self.port().read(&self.whole(), None, from).await.unwrap();
        bytes.try_collect::<Vec<_>>().await.unwrap().concat()
    }

    async fn assert_no_whole(&self) {
        let found = self.store.objects.stat(&self.whole()).await;
        assert!(matches!(found, Err(ObjectError::NotFound(_))), "{found:?}");
    }
}

/// A refusal of the store's, not a failure.
fn assert_refused(answer: &Result<(), ReceiveError>) {
    let refused = matches!(
        answer,
        Err(ReceiveError::AccessDenied(_)
            | ReceiveError::WrongSize { .. }
            | ReceiveError::WrongDigest { .. }
            | ReceiveError::Interrupted)
    );
    assert!(refused, "{answer:?}");
}

/// Parts come to the whole, whatever the order in which they were put, with digests and without.
pub async fn parts_in_any_order_come_to_the_whole(fixture: &impl Fixture) {
    for (number, checksums) in [(1, false), (2, true)] {
        let began = Began::over(Store::of(fixture), upload(number), checksums).await;
        began.put(2).await;
        began.put(1).await;
        assert_eq!(began.held().await, Held::AllParts);
        began.assert_no_whole().await;
        let Held::Whole(stat) = began.assemble().await else { panic!("it is not whole") };
        assert_eq!((stat.size_bytes, stat.sha256), (began.large.size_bytes, None));
        let looked = began.store.objects.stat(&began.whole()).await.unwrap();
        assert_eq!((looked.size_bytes, looked.sha256), (began.large.size_bytes, None));
        assert!(matches!(began.held().await, Held::Whole(_)));
        assert!(began.read(0).await == began.content);
        assert!(began.store.read(began.whole(), None).await.unwrap() == began.content);
    }
}

/// A part that is put again counts as it was put last.
pub async fn a_part_put_again_counts(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put_other(2, &[7; LAST]).await.unwrap();
    began.put_all().await;
    assert!(matches!(began.assemble().await, Held::Whole(_)));
    assert!(began.read(0).await == began.content);
}

/// Whatever part is missing is told, and nothing is put together without it.
pub async fn what_is_missing_is_told_and_nothing_is_assembled(fixture: &impl Fixture) {
    let began = Began::new(fixture, true).await;
    assert_eq!(began.held().await, Held::Lacks(vec![1, 2]));
    assert_eq!(began.assemble().await, Held::Lacks(vec![1, 2]));
    began.put(1).await;
    assert_eq!(began.held().await, Held::Lacks(vec![2]));
    assert_eq!(began.assemble().await, Held::Lacks(vec![2]));
    began.assert_no_whole().await;
    began.put(2).await;
    assert!(matches!(began.assemble().await, Held::Whole(_)));
}

/// What is assembled already is looked at.
pub async fn assembling_again_gives_the_same_whole(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put_all().await;
    let first = began.assemble().await;
    assert!(matches!(first, Held::Whole(_)));
    assert_eq!(began.assemble().await, first);
}

/// Of many who assemble at once each gets the whole, or hears that the store could not be used.
pub async fn assembling_at_once_makes_one_whole(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put_all().await;
    let all = join_all((0..4).map(|_| began.port().assemble(&began.large))).await;
    let good =
        |answer: &Result<Held, _>| matches!(answer, Ok(Held::Whole(_)) | Err(ObjectError::Unavailable(_)));
    assert!(all.iter().all(good) && all.iter().any(Result::is_ok), "{all:?}");
    assert!(began.read(0).await == began.content);
}

/// The URL of a part takes bytes of its length alone.
pub async fn a_part_takes_its_length_alone(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    assert_refused(&began.put_other(2, &[7; LAST - 1]).await);
    assert_refused(&began.put_other(2, &[7; LAST + 1]).await);
    let unknown = Put { content_length: None, ..Put::part(&began.door(2).await, LAST) };
    assert_refused(&began.store.send(&unknown, body(began.bytes(2))).await);
    assert_eq!(began.held().await, Held::Lacks(vec![1, 2]));
}

/// The URL of a part with a digest takes bytes with that digest alone.
pub async fn a_part_with_a_digest_takes_nothing_else(fixture: &impl Fixture) {
    let began = Began::new(fixture, true).await;
    assert_refused(&began.put_other(2, &[7; LAST]).await);
    let unsaid = Put { checksum: None, ..Put::part(&began.door(2).await, LAST) };
    assert_refused(&began.store.send(&unsaid, body(began.bytes(2))).await);
    assert_eq!(began.held().await, Held::Lacks(vec![1, 2]));
}

/// The URL of a part opens neither another part nor another upload.
pub async fn a_part_url_opens_no_other_part(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    let good = Put::part(&began.door(2).await, LAST);
    let (key, other) = match good.key {
        ObjectKey::Part(id, _) => (ObjectKey::Part(id, 1), ObjectKey::Part(upload(2), 2)),
        key => (key, ObjectKey::Whole(upload(2))),
    };
    let query = good.query.replace("partNumber=2", "partNumber=1");
    for put in [Put { key, query, ..good.clone() }, Put { key: other, ..good.clone() }] {
        assert_refused(&began.store.send(&put, body(began.bytes(2))).await);
    }
    assert_eq!(began.held().await, Held::Lacks(vec![1, 2]));
}

/// Aborting removes what was put, again and again.
pub async fn an_aborted_upload_has_no_parts(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put(2).await;
    for _ in 0..2 {
        began.port().abort(began.large.upload_id, &began.large.begun.store_id).await.unwrap();
        assert_eq!(began.held().await, Held::Lacks(vec![1, 2]));
        assert_eq!(began.assemble().await, Held::Lacks(vec![1, 2]));
    }
    began.assert_no_whole().await;
}

/// Aborting what was assembled, and parts that come after that, leave the whole as it is.
pub async fn nothing_reaches_the_whole_any_more(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put_all().await;
    assert!(matches!(began.assemble().await, Held::Whole(_)));
    // A store may take it, or not: nobody asks for it any more.
    let _late = began.put_other(2, &[7; LAST]).await;
    assert!(matches!(began.assemble().await, Held::Whole(_)));
    began.port().abort(began.large.upload_id, &began.large.begun.store_id).await.unwrap();
    assert!(matches!(began.assemble().await, Held::Whole(_)));
    assert!(began.read(0).await == began.content);
}

/// Reading begins wherever it is told to, and gives bounded chunks.
pub async fn reading_begins_anywhere(fixture: &impl Fixture) {
    let began = Began::new(fixture, false).await;
    began.put_all().await;
    began.assemble().await;
    let version = began.store.objects.stat(&began.whole()).await.unwrap().version;
    for from in [0, 1, PART - 1, PART, PART + LAST - 1] {
        let bytes = began.port().read(&began.whole(), version.as_deref(), from as u64).await.unwrap();
        let chunks: Vec<_> = bytes.try_collect().await.unwrap();
        assert!(chunks.iter().all(|chunk| chunk.len() <= 1 << 20), "{from}");
        assert!(chunks.concat() == began.content[from..], "{from}");
    }
}

/// Where nothing is stored nothing is read.
pub async fn reading_nothing_is_not_found(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let read = store.objects.large().unwrap().read(&ObjectKey::Whole(upload(1)), None, 0).await;
    assert!(matches!(read.err(), Some(ObjectError::NotFound(ObjectKey::Whole(_)))));
}

impl Put {
    /// The PUT of a part, with the headers that came with its URL.
    pub fn part(door: &PartDoor, content_length: usize) -> Self {
        let headers: &BTreeMap<String, String> = &door.headers;
        Self::to(&door.url, headers, content_length as u64)
    }
}

/// Runs every promise of [`contract::large_objects`](crate::contract::large_objects) over one adapter, each as its own
/// test; `large_objects_contract!(name, fixture, "why")` makes them tests that are ignored unless asked for.
#[macro_export]
macro_rules! large_objects_contract {
    ($adapter:ident, $fixture:expr $(, $ignored:literal)?) => {
        mod $adapter {
            #[allow(unused_imports, reason = "a fixture may be named by its whole path")]
            use super::*;

            $crate::large_objects_contract! { @ $fixture $(, $ignored)?;
                parts_in_any_order_come_to_the_whole
                a_part_put_again_counts
                what_is_missing_is_told_and_nothing_is_assembled
                assembling_again_gives_the_same_whole
                assembling_at_once_makes_one_whole
                a_part_takes_its_length_alone
                a_part_with_a_digest_takes_nothing_else
                a_part_url_opens_no_other_part
                an_aborted_upload_has_no_parts
                nothing_reaches_the_whole_any_more
                reading_begins_anywhere
                reading_nothing_is_not_found
            }
        }
    };
    (@ $fixture:expr; $($promise:ident)+) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::contract::large_objects::$promise(&$fixture).await;
            }
        )+
    };
    (@ $fixture:expr, $ignored:literal; $($promise:ident)+) => {
        $(
            #[tokio::test]
            #[ignore = $ignored]
            async fn $promise() {
                $crate::contract::large_objects::$promise(&$fixture).await;
            }
        )+
    };
}
