//! Stores that fail while an upload is completed.

use shared::{
    app::{error::AppError, sweep::Leases},
    domain::{
        artifact::ArtifactState,
        ids::UploadId,
        upload::{FailureCode, ObjectKey, UploadState},
    },
    testing::{build, gate::Trouble, objects::Step},
};

use super::world::{CONTENT, HOUR, LEASE, World};

/// The code with which an upload failed for good.
async fn failure(world: &World, id: UploadId) -> FailureCode {
    match world.complete(id).await {
        Err(AppError::UploadFailed { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_store_that_answers_with_an_error_frees_the_lease_and_a_later_complete_succeeds() {
    for step in [Step::Stat, Step::Promote] {
        for trouble in [Trouble::NotDone, Trouble::AnswerLost] {
            let world = World::memory();
            let id = world.staged(CONTENT).await;
            world.objects.on(step, trouble.clone());
            // Nothing is behind the locked door, and that answer is an error of its own.
            let outcome = world.complete(id).await;
            assert!(matches!(outcome, Err(AppError::Objects(_))), "{step:?} {trouble:?}: {outcome:?}");
            let upload = world.upload(id).await;
            assert_eq!(
                (upload.state, upload.lease, upload.artifact_id),
                (UploadState::Initiated, None, None)
            );
            assert_eq!(world.artifacts().await, []);
            assert_eq!(world.complete(id).await.unwrap().state, ArtifactState::Available);
            assert_eq!(world.told("upload.completed").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_copy_of_another_digest_is_no_success_and_nothing_of_it_is_kept() {
    let world = World::memory();
    let id = world.staged(CONTENT).await;
    world.objects.next_copy_proves(Some(build::sha256(b"other bytes")));
    assert_eq!(failure(&world, id).await, FailureCode::ChecksumMismatch);
    assert_eq!((world.artifacts().await, world.left_of(id).await), (vec![], vec![]));
    assert_eq!(failure(&world, id).await, FailureCode::ChecksumMismatch, "asked again");
    assert_eq!(world.told("upload.failed").await, [(id.to_string(), true)]);
}

#[tokio::test]
async fn whichever_write_of_a_completion_fails_the_retry_gives_one_artifact_and_one_audit_entry() {
    for trouble in [Trouble::NotDone, Trouble::AnswerLost] {
        for nth in 1..=2 {
            let world = World::memory();
            let id = world.staged(CONTENT).await;
            world.items().on_commit(nth, trouble.clone());
            let outcome = world.complete(id).await;
            assert!(matches!(outcome, Err(AppError::Items(_))), "{trouble:?} of write {nth}: {outcome:?}");
            assert!(!world.items().has_orders());
            // Whoever lost the answer to its lease cannot know that it has it.
            world.clock.advance(LEASE);
            let artifact = world.complete(id).await.unwrap();
            assert_eq!(
                world.artifacts().await,
                std::slice::from_ref(&artifact),
                "{trouble:?} of write {nth}"
            );
            assert_eq!(world.told("upload.completed").await, [(id.to_string(), true)]);
            assert_eq!(world.complete(id).await.unwrap(), artifact);
            assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
        }
    }
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_answers_the_retry_at_once() {
    let world = World::memory();
    let id = world.staged(CONTENT).await;
    world.items().on_write_to("artifacts", Trouble::AnswerLost);
    assert!(matches!(world.complete(id).await, Err(AppError::Items(_))));
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(world.artifacts().await, [artifact]);
    assert_eq!(world.told("upload.completed").await.len(), 1);
}

#[tokio::test]
async fn whichever_write_of_a_failure_fails_the_retry_gives_the_same_failure_and_one_audit_entry() {
    let wrong = CONTENT.to_ascii_uppercase();
    for trouble in [Trouble::NotDone, Trouble::AnswerLost] {
        for nth in 1..=2 {
            let world = World::memory();
            let upload = world.initiate(CONTENT).await;
            let id = upload.upload_id;
            world.put(&upload, &wrong).await;
            world.items().on_commit(nth, trouble.clone());
            assert!(
                matches!(world.complete(id).await, Err(AppError::Items(_))),
                "{trouble:?} of write {nth}"
            );
            world.clock.advance(LEASE);
            assert_eq!(
                failure(&world, id).await,
                FailureCode::ChecksumMismatch,
                "{trouble:?} of write {nth}"
            );
            assert_eq!(world.told("upload.failed").await, [(id.to_string(), true)]);
            world.clock.set(upload.expires_at + HOUR);
            world.sweep(Leases::Held).await;
            assert_eq!((world.artifacts().await, world.left_of(id).await), (vec![], vec![]));
        }
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_removed_now_are_removed_by_the_sweep() {
    let world = World::memory();
    let id = world.staged(CONTENT).await;
    for _ in 0..2 {
        world.objects.on(Step::Delete, Trouble::NotDone);
    }
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(world.left_of(id).await, [ObjectKey::Staging(id), ObjectKey::Copied(id)]);
    world.clock.set(world.upload(id).await.expires_at + HOUR);
    world.sweep(Leases::Held).await;
    assert_eq!(world.left_of(id).await, [ObjectKey::Copied(id)]);
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
}
