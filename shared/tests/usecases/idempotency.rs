//! Requests with an idempotency key that crash, sleep, or come twice.

use shared::{
    app::{
        error::AppError,
        idempotency::{Begun, Claim, Made, begin},
        products, releases, uploads,
    },
    domain::upload::Upload,
    testing::{build, gate::Trouble},
};

use super::world::{CONTENT, HOUR, PRODUCT, Process, SECOND, World};

const BODY: &[u8] = b"{}";

async fn try_begin(world: &World, process: &Process, body: &[u8]) -> Result<Begun, AppError> {
    begin(&process.context, &world.caller, ("POST", "/v1/artifacts/uploads"), "a-key", body).await
}

async fn first(world: &World) -> Claim {
    match try_begin(world, &world.process, BODY).await.unwrap() {
        Begun::First(claim) => claim,
        Begun::Again(made) => panic!("{made:?} was made before"),
    }
}

async fn again(world: &World) -> Made {
    match try_begin(world, &world.process, BODY).await.unwrap() {
        Begun::Again(made) => made,
        Begun::First(_) => panic!("it is forgotten"),
    }
}

async fn initiate(world: &World, claim: &Claim) -> Result<Upload, AppError> {
    let initiation = build::initiation(CONTENT);
    let made =
        uploads::initiate(world.context(), &world.objects(), &world.caller, &initiation, Some(claim)).await;
    made.map(|(upload, _)| upload)
}

#[tokio::test]
async fn a_claim_that_a_crashed_request_left_lapses_after_a_minute() {
    let world = World::memory();
    first(&world).await;
    world.clock.advance(60 * SECOND - 1);
    let early = try_begin(&world, &world.process, BODY).await;
    assert!(matches!(early, Err(AppError::IdempotencyInProgress)), "{early:?}");
    world.clock.advance(1);
    first(&world).await;
}

#[tokio::test]
async fn another_body_is_refused_while_the_first_request_runs_and_after_it() {
    let world = World::memory();
    let claim = first(&world).await;
    let other = || try_begin(&world, &world.process, b"{\"other\":1}");
    assert!(matches!(other().await, Err(AppError::IdempotencyKeyReused)));
    let upload = initiate(&world, &claim).await.unwrap();
    assert!(matches!(other().await, Err(AppError::IdempotencyKeyReused)));
    assert_eq!(again(&world).await, Made::Upload(upload.upload_id));
}

#[tokio::test]
async fn what_was_made_is_remembered_for_a_day_and_then_the_key_is_free() {
    let world = World::memory();
    let claim = first(&world).await;
    world.clock.advance(30 * SECOND);
    let upload = initiate(&world, &claim).await.unwrap();
    world.clock.advance(24 * HOUR - 1);
    assert_eq!(again(&world).await, Made::Upload(upload.upload_id));
    world.clock.advance(1);
    let other = try_begin(&world, &world.process, b"{\"other\":1}").await;
    assert!(matches!(other, Ok(Begun::First(_))), "{other:?}");
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_answered_with_what_it_made() {
    let world = World::memory();
    let claim = first(&world).await;
    world.items().on_write_to("uploads", Trouble::AnswerLost);
    assert!(matches!(initiate(&world, &claim).await, Err(AppError::Items(_))));
    // A refused request gives its key back, but this one has made something.
    claim.release(world.context()).await;
    let Made::Upload(id) = again(&world).await else { panic!("an upload was made") };
    assert_eq!(world.upload(id).await.sha256, build::sha256(CONTENT));
    assert_eq!(world.told("upload.initiated").await, [(id.to_string(), true)]);
}

#[tokio::test]
async fn a_refused_request_gives_its_key_back() {
    let world = World::memory();
    let claim = first(&world).await;
    claim.release(world.context()).await;
    first(&world).await;
}

#[tokio::test]
async fn a_request_that_slept_past_its_claim_makes_nothing_and_takes_nothing_away() {
    let world = World::memory();
    let sleeper = first(&world).await;
    world.clock.advance(60 * SECOND);
    let claim = first(&world).await;
    let late = initiate(&world, &sleeper).await;
    assert!(matches!(late, Err(AppError::Raced)), "{late:?}");
    sleeper.release(world.context()).await;
    let upload = initiate(&world, &claim).await.unwrap();
    assert_eq!(again(&world).await, Made::Upload(upload.upload_id));
    assert_eq!(world.told("upload.initiated").await, [(upload.upload_id.to_string(), true)]);
}

#[tokio::test]
async fn a_release_and_a_product_are_made_once_by_two_claims_of_one_key() {
    let world = World::memory();
    let sleeper = first(&world).await;
    world.clock.advance(60 * SECOND);
    let claim = first(&world).await;
    let product = PRODUCT.parse().unwrap();
    let late = products::create(world.context(), &world.caller, (&product, None), &[], Some(&sleeper)).await;
    assert!(matches!(late, Err(AppError::Busy)), "{late:?}");
    products::create(world.context(), &world.caller, (&product, None), &[], Some(&claim)).await.unwrap();
    let id = world.managed(CONTENT).await;
    let new = super::world::new_release("1.0.0", &[id]);
    let late = releases::create(world.context(), &world.caller, &new, Some(&sleeper)).await;
    assert!(matches!(late, Err(AppError::Busy)), "{late:?}");
    assert_eq!(world.told("release.created").await, []);
    assert_eq!(world.told("product.created").await.len(), 1);
}

#[tokio::test]
async fn of_many_processes_that_begin_at_once_one_is_first() {
    let mut world = World::memory();
    let others: Vec<_> = (0..20).map(|_| world.another()).collect();
    let begun =
        futures_util::future::join_all(others.iter().map(|other| try_begin(&world, other, BODY))).await;
    let firsts = begun.iter().filter(|begun| matches!(begun, Ok(Begun::First(_)))).count();
    let waiting = begun.iter().filter(|begun| matches!(begun, Err(AppError::IdempotencyInProgress))).count();
    assert_eq!((firsts, waiting), (1, 19));
}
