//! URLs for the parts of an upload: for which parts, until when, and what is left of them.

use shared::{
    app::{error::AppError, parts, sweep::Leases, uploads},
    testing::{
        gate::{Gate, Trouble},
        objects::Step,
    },
};

use super::{
    multipart::{
        complete, doors, initiate, left, nothing_is_left_of_the_parts, part, resume, sent, wanted, world,
    },
    world::{HOUR, SECOND, soon},
};

#[tokio::test]
async fn an_aborted_upload_keeps_no_parts_and_gives_no_urls() {
    let world = world();
    let id = sent(&world).await;
    uploads::abort(world.context(), &world.objects(), &world.caller, id).await.unwrap();
    nothing_is_left_of_the_parts(&world, id).await;
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadAborted), "{refused}");
    assert!(matches!(complete(&world, id).await.unwrap_err(), AppError::UploadAborted));
}

#[tokio::test]
async fn an_expired_upload_gives_no_urls_and_its_parts_are_swept() {
    let world = world();
    let id = sent(&world).await;
    world.clock.advance(24 * HOUR);
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadExpired), "{refused}");
    world.sweep(Leases::Held).await;
    world.clock.advance(HOUR);
    world.sweep(Leases::Held).await;
    nothing_is_left_of_the_parts(&world, id).await;
}

#[tokio::test]
async fn urls_end_with_their_upload() {
    let world = world();
    let upload = initiate(&world).await;
    world.clock.advance(24 * HOUR - 90 * SECOND);
    let doors = doors(&world, upload.upload_id, &[wanted(1, None)]).await.unwrap();
    assert_eq!(doors.expires_at, upload.expires_at);
}

#[tokio::test]
async fn no_urls_are_made_while_it_is_completed_and_afterwards() {
    let world = world();
    let id = left(&world).await;
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadInProgress), "{refused}");
    resume(&world, id).await.unwrap();
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadCompleted), "{refused}");
}

#[tokio::test]
async fn parts_that_there_are_not_or_named_twice_or_of_both_kinds_are_refused() {
    let world = world();
    let id = initiate(&world).await.upload_id;
    let digest = Some(part(1));
    for (parts, member) in [
        (vec![wanted(0, None)], "parts[0].part_number"),
        (vec![wanted(1, None), wanted(5, None)], "parts[1].part_number"),
        (vec![wanted(-1, None)], "parts[0].part_number"),
        (vec![wanted(1, None), wanted(1, None)], "parts[1].part_number"),
        (vec![wanted(1, digest), wanted(2, None)], "parts[1].sha256"),
    ] {
        let refused = doors(&world, id, &parts).await.unwrap_err();
        assert!(matches!(&refused, AppError::Invalid { member: found, .. } if found == member), "{refused}");
    }
    assert_eq!(world.upload(id).await.multipart.unwrap().begun, None);
    doors(&world, id, &[wanted(1, digest)]).await.unwrap();
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts[0].sha256"), "{refused}");
    let whole = world.initiate(b"another installer").await.upload_id;
    let refused = doors(&world, whole, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts"), "{refused}");
}

#[tokio::test]
async fn of_two_who_begin_at_once_one_is_written_down() {
    let mut world = world();
    let id = initiate(&world).await.upload_id;
    let gate = Gate::default();
    world.objects.on(Step::Begin, Trouble::WaitsAfter(gate.clone()));
    let (other, objects, caller) = (world.another(), world.objects(), world.caller.clone());
    let late = tokio::spawn(async move {
        parts::doors(&other.context, &objects, &caller, id, &[wanted(2, Some(part(2)))]).await
    });
    soon(gate.reached()).await;
    doors(&world, id, &[wanted(1, None)]).await.unwrap();
    gate.open();
    let refused = soon(late).await.unwrap().unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts[0].sha256"), "{refused}");
    assert!(!world.upload(id).await.multipart.unwrap().begun.unwrap().checksums);
}
