//! How often a fleet calls the key: 100 processes, 200 classes, 10 000 requests in each process.
//!
//! Each process answers four requests a second, one class after the other, so that a run takes 2 500 seconds of its clock:
//! more than half of a token's life, and less than a delegation serves.

use shared::{app::signing::Mode, domain::decide::Question};

use super::world::{BUDGET, NONCE, SECOND, START, World, question, verified};

const PROCESSES: u8 = 100;
const CLASSES: usize = 200;
const REQUESTS: usize = 10_000;
/// The milliseconds from one request to the next.
const STEP: i64 = 250;

fn versions() -> impl Iterator<Item = String> {
    (0..CLASSES).map(|class| format!("1.{}.{}", class / 10, class % 10))
}

/// The requests of a run, each with the time at which it is made, in milliseconds after the beginning.
fn requests(questions: &[Question]) -> impl Iterator<Item = (i64, &Question)> {
    (0..).map(|number| number * STEP).zip(questions.iter().cycle()).take(REQUESTS)
}

#[tokio::test]
async fn a_delegated_fleet_calls_the_key_once_for_each_process() {
    let world = World::new().await;
    world.released(versions()).await;
    let questions: Vec<_> = versions().map(|version| question(&version)).collect();
    for process in 0..PROCESSES {
        world.at(0);
        let decider = world.another(Mode::Delegated, process);
        let keyset = decider.keyset().await.unwrap();
        for (number, (at, question)) in requests(&questions).enumerate() {
            world.at(at);
            let nonce = (number % 40 == 0).then_some(NONCE);
            let signed = decider.answer(question, nonce, false).await.unwrap();
            // One in forty is verified, and every one of the last round.
            if nonce.is_some() || number >= REQUESTS - CLASSES {
                verified(&keyset, &signed, question, nonce, (START + at) / 1_000);
            }
        }
    }
    assert_eq!(world.key.signed(), usize::from(PROCESSES));
    assert_eq!(world.key.opened(), usize::from(PROCESSES));
}

#[tokio::test]
async fn a_delegated_process_calls_the_key_once_in_fifty_minutes() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    let seconds = 24 * 3_600;
    for second in (0..seconds).step_by(10) {
        world.at(second * SECOND);
        world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
    }
    // A delegation lasts an hour, and the next is had when ten minutes are left.
    assert_eq!(world.key.signed(), 24 * 60 / 50 + 1);
}

#[tokio::test]
async fn a_direct_fleet_calls_the_key_once_for_each_class_and_half_life_and_refuses_no_known_question() {
    let world = World::new().await;
    world.released(versions()).await;
    let questions: Vec<_> = versions().map(|version| question(&version)).collect();
    for process in 0..PROCESSES {
        world.at(0);
        let decider = world.another(Mode::Direct, process);
        let keyset = decider.keyset().await.unwrap();
        let before = world.key.signed();
        for (number, (at, question)) in requests(&questions).enumerate() {
            world.at(at);
            let signed = decider.answer(question, None, false).await.unwrap();
            if number % 40 == 0 || number >= REQUESTS - CLASSES {
                verified(&keyset, &signed, question, None, (START + at) / 1_000);
            }
            let calls = i64::try_from(world.key.signed() - before).unwrap();
            let allowed = i64::from(BUDGET.burst) + i64::from(BUDGET.per_second) * at / SECOND;
            assert!(calls <= allowed, "{calls} calls after {at} ms");
        }
        assert_eq!(world.key.signed() - before, 2 * CLASSES, "once, and again after half of a life");
    }
}
