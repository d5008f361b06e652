//! The object stores of one machine, held to their contract, and what only a file system can get wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use shared::{
    adapters::objects::{filesystem::FilesystemObjects, memory::MemoryObjects, signed_url::UrlKey},
    contract::objects::{Body, CONTENT, Fixture, Put, Store, body, digest, torn, upload},
    domain::upload::ObjectKey,
    large_objects_contract, objects_contract,
    ports::objects::{ObjectError, Objects, ReceiveError, Receiver},
};
use tempfile::TempDir;

const BASE_URL: &str = "http://127.0.0.1:8080";

fn url_key() -> UrlKey {
    UrlKey::from_bytes(&[0xC7; 32])
}

struct InMemory;

impl Fixture for InMemory {
    fn fresh(&self) -> (Arc<dyn Objects>, Arc<dyn Receiver>) {
        let store = Arc::new(MemoryObjects::new(BASE_URL, url_key()));
        (Arc::clone(&store) as _, store)
    }
}

struct OnDisk {
    dir: TempDir,
    made: AtomicUsize,
}

impl OnDisk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), made: AtomicUsize::new(0) }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }
}

impl Fixture for OnDisk {
    fn fresh(&self) -> (Arc<dyn Objects>, Arc<dyn Receiver>) {
        let root = self.dir.path().join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
        let store = open(&root);
        (store.objects, store.receiver)
    }
}

fn open(root: &Path) -> Store {
    let store = Arc::new(FilesystemObjects::open(root.to_path_buf(), BASE_URL, url_key()).unwrap());
    Store { objects: Arc::clone(&store) as _, receiver: store }
}

objects_contract!(memory, InMemory);
objects_contract!(filesystem, OnDisk::new());
large_objects_contract!(memory_parts, InMemory);
large_objects_contract!(filesystem_parts, OnDisk::new());

#[test]
fn every_promise_is_run() {
    let list = include_str!("../src/contract/objects.rs").split_once("// bytes").unwrap().1;
    let sources = [
        include_str!("../src/contract/objects/bytes.rs"),
        include_str!("../src/contract/objects/doors.rs"),
        include_str!("../src/contract/objects/listing.rs"),
    ];
    let promises = sources.iter().flat_map(|source| source.split("pub async fn ").skip(1));
    let names: Vec<&str> = promises.map(|rest| rest.split_once('(').unwrap().0).collect();
    assert!(names.len() > 30);
    for name in names {
        assert!(list.lines().any(|line| line.trim() == name), "{name} is not in the list");
    }
}

/// What is in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A body that sends this content and then neither more nor an end.
fn stalled(content: &[u8]) -> Body {
    body(content).chain(stream::pending()).boxed()
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "in 20 seconds it did not happen that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn incoming_bytes(root: &Path) -> u64 {
    let drafts = names(&root.join("incoming")).into_iter();
    let sizes = drafts.filter_map(|name| fs::metadata(root.join("incoming").join(name).join("data")).ok());
    sizes.map(|data| data.len()).sum()
}

/// Begins an upload of 4 MiB that stalls in the middle with a good part of it on the disk.
async fn begin_upload(store: &Store, root: &Path) -> tokio::task::JoinHandle<Result<(), ReceiveError>> {
    let content = vec![1_u8; 4 << 20];
    let put = Put::bare(&store.doors(upload(1), &content).await, content.len());
    let sender = Store { objects: Arc::clone(&store.objects), receiver: Arc::clone(&store.receiver) };
    let sending = tokio::spawn(async move { sender.send(&put, stalled(&vec![1_u8; 3 << 20])).await });
    wait_until("something is on the disk", || incoming_bytes(root) > 0).await;
    sending
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_not_found_and_is_cleaned() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    store.stage(upload(2), CONTENT).await;
    let sending = begin_upload(&store, &disk.root()).await;
    // What is on the disk at this moment is what a kill would leave.
    let after = disk.dir.path().join("after");
    copy_tree(&disk.root(), &after);
    sending.abort();
    assert_eq!(names(&after.join("incoming")).len(), 1);

    let reopened = open(&after);
    assert_eq!(names(&after.join("incoming")), Vec::<String>::new());
    reopened.assert_nothing_of(upload(1)).await;
    reopened.stage(upload(1), CONTENT).await;
    assert_eq!(reopened.read(ObjectKey::Staging(upload(2)), None).await.unwrap(), CONTENT);
}

#[tokio::test]
async fn a_second_process_does_not_clean_away_what_the_first_receives() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let sending = begin_upload(&store, &disk.root()).await;
    let second = open(&disk.root());
    assert_eq!(names(&disk.root().join("incoming")).len(), 1);
    second.assert_nothing_of(upload(1)).await;
    sending.abort();
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let sending = begin_upload(&store, &disk.root()).await;
    sending.abort();
    wait_until("incoming is empty", || names(&disk.root().join("incoming")).is_empty()).await;
    store.assert_nothing_of(upload(1)).await;
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_at_once() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let doors = store.doors(upload(1), CONTENT).await;
    let put = Put::locked(&doors, CONTENT.len());
    let too_long = [CONTENT, b"!"].concat();
    for body in [torn(CONTENT), body(&CONTENT[1..]), body(&too_long), body(&CONTENT.to_ascii_uppercase())] {
        store.send(&put, body).await.unwrap_err();
        assert_eq!(names(&disk.root().join("incoming")), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_object_outlives_the_process() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    store.stage(upload(1), CONTENT).await;
    let stat = store.objects.promote(upload(1)).await.unwrap();
    drop(store);
    let reopened = open(&disk.root());
    assert_eq!(reopened.objects.stat(&ObjectKey::Copied(upload(1))).await.unwrap(), stat);
    assert_eq!(reopened.read(ObjectKey::Copied(upload(1)), None).await.unwrap(), CONTENT);
}

#[tokio::test]
async fn data_without_its_meta_or_of_another_length_is_not_found() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let key = ObjectKey::Locked(upload(1));
    let place = disk.root().join(key.to_string());
    let breakages: [fn(&Path) -> io::Result<()>; 5] = [
        |place| fs::remove_file(place.join("meta.json")),
        |place| fs::write(place.join("meta.json"), "{\"size_bytes\":25,"),
        |place| fs::remove_file(place.join("data")),
        |place| fs::write(place.join("data"), &CONTENT[1..]),
        |place| fs::write(place.join("data"), b""),
    ];
    for breakage in breakages {
        store.lock(upload(1), CONTENT).await;
        breakage(&place).unwrap();
        store.assert_nothing_of(upload(1)).await;
        assert!(matches!(store.read(key, None).await, Err(ObjectError::NotFound(_))));
        // It is in the way of a PUT, and must not be taken for an object that is there already.
        let put = Put::locked(&store.doors(upload(1), CONTENT).await, CONTENT.len());
        let outcome = store.send(&put, body(CONTENT)).await;
        assert!(matches!(outcome, Err(ReceiveError::Unavailable(_))), "{outcome:?}");
        store.objects.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn deleting_the_last_key_of_an_upload_leaves_no_folder() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    store.stage(upload(1), CONTENT).await;
    store.objects.promote(upload(1)).await.unwrap();
    for key in [ObjectKey::Staging(upload(1)), ObjectKey::Copied(upload(1))] {
        store.objects.delete(&key).await.unwrap();
    }
    for folder in ["incoming", "staging", "objects"] {
        assert_eq!(names(&disk.root().join(folder)), Vec::<String>::new(), "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn putting_while_the_folder_is_tidied_away_succeeds() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let doors = store.doors(upload(1), CONTENT).await;
    store.stage(upload(1), CONTENT).await;
    for _ in 0..100 {
        let put = Put::locked(&doors, CONTENT.len());
        let (put, promoted) = tokio::join!(store.send(&put, body(CONTENT)), async {
            store.objects.promote(upload(1)).await.unwrap();
            store.objects.delete(&ObjectKey::Copied(upload(1))).await
        });
        put.unwrap();
        promoted.unwrap();
        store.objects.delete(&ObjectKey::Locked(upload(1))).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error_and_no_short_success() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let key = ObjectKey::Locked(upload(1));
    store.lock(upload(1), &vec![1; 700_000]).await;
    let chunks = store.chunks(key, None).await.unwrap();
    let data = disk.root().join(key.to_string()).join("data");
    fs::File::options().write(true).open(data).unwrap().set_len(300_000).unwrap();
    let outcomes: Vec<_> = chunks.collect().await;
    assert!(
        outcomes.last().unwrap().as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    );
}

#[test]
fn no_key_and_no_bytes_are_printed() {
    let disk = OnDisk::new();
    let (on_disk, _) = disk.fresh();
    let (in_memory, _) = InMemory.fresh();
    for text in [format!("{on_disk:?}"), format!("{in_memory:?}")] {
        assert!(text.contains("UrlKey(…)"), "{text}");
        assert!(!text.contains("199") && !text.to_lowercase().contains("c7c7"), "{text}");
    }
}

#[tokio::test]
async fn a_url_of_another_key_is_refused() {
    let disk = OnDisk::new();
    let store = open(&disk.root());
    let other = MemoryObjects::new(BASE_URL, UrlKey::from_bytes(&[0xC8; 32]));
    let grant = shared::contract::objects::grant(upload(1), CONTENT);
    let doors = other.presign_upload(&grant).now_or_never().unwrap().unwrap();
    let outcome = store.send(&Put::bare(&doors, CONTENT.len()), body(CONTENT)).await;
    assert!(matches!(outcome, Err(ReceiveError::AccessDenied(_))), "{outcome:?}");
    assert_eq!(digest(CONTENT), grant.sha256);
}
