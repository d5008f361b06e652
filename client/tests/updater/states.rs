//! The state on the disk: whole or an error, and never lower.

use std::path::Path;

use client::{UpdateError, Updater};
use serde_json::json;

use crate::world::{Chance, NOW, TestClock, World};

fn file(state: &Path) -> std::path::PathBuf {
    state.join("state.json")
}

async fn remembered(world: &World, state: &Path) -> Vec<u8> {
    world.updater(state).check().await.unwrap();
    std::fs::read(file(state)).unwrap()
}

async fn refused(updater: &Updater, world: &World, state: &Path) {
    let before = std::fs::read(file(state)).unwrap();
    let asked = world.asked().len();
    let error = updater.check().await.unwrap_err();
    assert!(matches!(error, UpdateError::State(_)), "{error:?}");
    assert_eq!((error.code(), error.retryable()), ("STATE", false));
    let said = error.to_string();
    assert!(said.contains("state.json") && said.contains("put a copy of it back"), "{said}");
    assert_eq!(std::fs::read(file(state)).unwrap(), before, "it was overwritten");
    assert_eq!(world.asked().len(), asked, "a question was asked");
}

#[tokio::test]
async fn a_state_that_was_torn_anywhere_is_an_error_and_never_a_fresh_start() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let whole = remembered(&world, state.path()).await;
    let updater = world.updater(state.path());
    for length in 0..whole.len() {
        std::fs::write(file(state.path()), &whole[..length]).unwrap();
        refused(&updater, &world, state.path()).await;
    }
    std::fs::write(file(state.path()), &whole).unwrap();
    world.updater(state.path()).check().await.unwrap();
}

#[tokio::test]
async fn a_state_with_any_bit_turned_or_anything_added_is_an_error() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let whole = remembered(&world, state.path()).await;
    let (updater, mut chance) = (world.updater(state.path()), Chance(11));
    for _ in 0..200 {
        let mut spoilt = whole.clone();
        spoilt[chance.below(whole.len())] ^= 1 << chance.below(8);
        std::fs::write(file(state.path()), &spoilt).unwrap();
        refused(&updater, &world, state.path()).await;
    }
    for spoilt in
        [[whole.as_slice(), b"\n"].concat(), vec![0; whole.len()], b"{}".to_vec(), b"\xff\n".to_vec()]
    {
        std::fs::write(file(state.path()), &spoilt).unwrap();
        refused(&updater, &world, state.path()).await;
    }
}

#[tokio::test]
async fn what_a_crash_left_beside_the_state_harms_nobody() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("state.new"), "half of it").unwrap();
    std::fs::write(state.path().join("state.lock"), "").unwrap();
    remembered(&world, state.path()).await;
    std::fs::write(state.path().join("state.new"), "half of it").unwrap();
    world.say(json!({"seq": 11}));
    let after = remembered(&world, state.path()).await;
    assert!(String::from_utf8(after).unwrap().contains("\"seq\": 11"));
    let mut left: Vec<_> =
        std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["state.json", "state.lock"]);
}

#[tokio::test]
async fn the_same_answer_again_is_believed_and_writes_nothing() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    remembered(&world, state.path()).await;
    let written = std::fs::metadata(file(state.path())).unwrap().modified().unwrap();
    remembered(&world, state.path()).await;
    assert_eq!(std::fs::metadata(file(state.path())).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn updaters_that_share_a_folder_do_not_undo_each_other() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let tenants: Vec<String> = (0..16).map(|number| format!("tenant-{number}")).collect();
    let check = |tenant: &str| {
        let updater = world.builder(state.path(), TestClock::at(NOW)).tenant(tenant).build().unwrap();
        tokio::spawn(async move { updater.check().await.unwrap() })
    };
    for task in tenants.iter().map(|tenant| check(tenant)).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let text = std::fs::read_to_string(file(state.path())).unwrap();
    assert!(tenants.iter().all(|tenant| text.contains(&format!("\"{tenant}\""))), "{text}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_state_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("made/by/the/updater");
    remembered(&world, &state).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&file(&state))), (0o700, 0o600));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_an_error() {
    let world = World::new().await;
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("a-file");
    std::fs::write(&state, "").unwrap();
    let error = world.updater(&state).check().await.unwrap_err();
    assert_eq!(error.code(), "STATE");
}
