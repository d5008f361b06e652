//! What the alarm on the signing key counts: lines with `event` = `signer_failed`.

use shared::{app::signing::Mode, testing::log::Log};

use super::world::{MINUTE, NONCE, SECOND, World, question};

/// The `event` of each line since this was asked last.
fn told(log: &Log) -> Vec<String> {
    log.with("event").iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_renewal_that_fails_is_told_while_requests_are_still_answered() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    let log = Log::read();
    decider.answer(&question("1.0.0"), Some(NONCE), false).await.unwrap();
    assert!(told(&log).is_empty());
    world.key.set_down(true);
    for left in [9 * MINUTE, 30 * SECOND] {
        world.at(60 * MINUTE - left);
        decider.answer(&question("1.0.0"), Some(NONCE), false).await.unwrap();
        assert_eq!(told(&log), ["signer_failed"]);
    }
}

#[tokio::test]
async fn a_signature_that_fails_is_told_where_an_answer_in_memory_goes_on() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    decider.answer(&question("1.0.0"), None, false).await.unwrap();
    let log = Log::read();
    world.key.set_down(true);
    // Half of its life is over, so it would be signed again.
    world.at(31 * MINUTE);
    decider.answer(&question("1.0.0"), None, false).await.unwrap();
    assert_eq!(told(&log), ["signer_failed"]);
}
