//! The first token, and the last moment of every other.

use shared::{
    app::{
        access::authenticate,
        error::AppError,
        tokens::{self, Bootstrap, NewToken},
    },
    domain::token::{Scope, TokenText},
    testing::gate::{Gate, Trouble},
};

use super::world::{Process, START, World, soon};

async fn needed(process: &Process) -> Bootstrap {
    tokens::bootstrap_needed(&process.context).await.unwrap()
}

async fn knows(world: &World, text: &TokenText) -> bool {
    match authenticate(world.context(), text.text.reveal()).await {
        Ok(caller) => caller.token_id == text.token_id,
        Err(AppError::Unauthorized(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

fn named(name: &str, expires_at: Option<i64>) -> NewToken {
    let scopes = vec![Scope::ArtifactsRead];
    NewToken { name: name.into(), scopes, tenant_id: None, product_id: None, expires_at }
}

#[tokio::test]
async fn the_first_token_is_made_once_and_may_do_everything() {
    let world = World::memory();
    assert_eq!(needed(&world.process).await, Bootstrap::First);
    let text = tokens::new_text(world.context()).unwrap();
    assert!(!knows(&world, &text).await, "it is not good before it is stored");
    tokens::bootstrap(world.context(), &text).await.unwrap();
    assert_eq!(needed(&world.process).await, Bootstrap::Done);
    let caller = authenticate(world.context(), text.text.reveal()).await.unwrap();
    assert!(Scope::ALL.iter().all(|scope| caller.has(*scope)));
    assert_eq!(world.told("token.created").await, [(text.token_id.to_string(), false)]);
    let (other, _) = tokens::create(world.context(), &caller, &named("ci", None)).await.unwrap();
    tokens::revoke(world.context(), &caller, text.token_id).await.unwrap();
    assert_eq!(needed(&world.process).await, Bootstrap::Done, "one is left");
    tokens::revoke(world.context(), &caller, other.token_id).await.unwrap();
    assert_eq!(needed(&world.process).await, Bootstrap::Again);
}

#[tokio::test]
async fn a_first_token_whose_answer_was_lost_is_good_and_no_other_is_made() {
    let world = World::memory();
    let text = tokens::new_text(world.context()).unwrap();
    world.items().on_write_to("tokens", Trouble::AnswerLost);
    assert!(matches!(tokens::bootstrap(world.context(), &text).await, Err(AppError::Items(_))));
    assert_eq!(needed(&world.process).await, Bootstrap::Done);
    assert!(knows(&world, &text).await);
}

#[tokio::test]
async fn of_two_processes_that_make_the_first_token_at_once_one_does() {
    let mut world = World::memory();
    let other = world.another();
    for round in [Bootstrap::First, Bootstrap::Again] {
        assert_eq!((needed(&world.process).await, needed(&other).await), (round, round));
        let (one, two) =
            (tokens::new_text(world.context()).unwrap(), tokens::new_text(&other.context).unwrap());
        let gate = Gate::default();
        world.items().on_write_to("tokens", Trouble::WaitsBefore(gate.clone()));
        let (context, slow) = (world.context().clone(), one.clone());
        let making = tokio::spawn(async move { tokens::bootstrap(&context, &slow).await });
        soon(gate.reached()).await;
        tokens::bootstrap(&other.context, &two).await.unwrap();
        gate.open();
        assert!(matches!(soon(making).await.unwrap(), Err(AppError::Raced)));
        assert!(
            matches!(tokens::bootstrap(world.context(), &one).await, Err(AppError::Raced)),
            "one is there"
        );
        assert_eq!((knows(&world, &one).await, knows(&world, &two).await), (false, true));
        tokens::revoke(world.context(), &world.caller, two.token_id).await.unwrap();
    }
    assert_eq!(world.told("token.created").await.len(), 2);
}

#[tokio::test]
async fn a_token_ends_at_its_exact_millisecond() {
    let world = World::memory();
    let (_, text) =
        tokens::create(world.context(), &world.caller, &named("ci", Some(START + 1_500))).await.unwrap();
    world.clock.set(START + 1_499);
    assert!(knows(&world, &text).await);
    for late in [1_500, 1_501, 10_000_000] {
        world.clock.set(START + late);
        assert!(!knows(&world, &text).await, "{late} ms later");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_every_process_at_once() {
    let mut world = World::memory();
    let other = world.another();
    let (token, text) = tokens::create(world.context(), &world.caller, &named("ci", None)).await.unwrap();
    assert!(knows(&world, &text).await);
    tokens::revoke(&other.context, &world.caller, token.token_id).await.unwrap();
    assert!(!knows(&world, &text).await);
    let twice = tokens::revoke(world.context(), &world.caller, token.token_id).await;
    assert!(matches!(twice, Err(AppError::NotFound)), "{twice:?}");
    assert_eq!(world.told("token.revoked").await.len(), 1);
}

#[tokio::test]
async fn another_secret_under_a_known_id_is_refused() {
    let world = World::memory();
    let (token, text) = tokens::create(world.context(), &world.caller, &named("ci", None)).await.unwrap();
    let forged = TokenText::make(token.token_id, &[9; 32]);
    assert!(!knows(&world, &forged).await);
    assert!(knows(&world, &text).await);
}
