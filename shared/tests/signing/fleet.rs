//! How often a fleet calls the key: 100 processes, 200 classes.
//!
//! Each process would serve 10 000 requests in the 1 000 seconds of a run, ten a second. A run asks every class in every
//! twelfth of that time instead, 2 400 requests in a process: what lies between are the same classes from memory, which
//! the counts do not see, and a run takes seconds.

use shared::{app::signing::Mode, domain::decide::Question};

use super::world::{BUDGET, NONCE, SECOND, World, question, verified};

const PROCESSES: u8 = 100;
const CLASSES: u32 = 200;
const RUN: i64 = 1_000 * SECOND;
const ROUNDS: i64 = 12;

fn questions() -> Vec<Question> {
    (0..CLASSES).map(|class| question(&format!("1.{}.{}", class / 10, class % 10))).collect()
}

#[tokio::test]
async fn a_delegated_fleet_calls_the_key_once_for_each_process() {
    let world = World::new().await;
    let questions = questions();
    for process in 0..PROCESSES {
        world.at(0);
        let decider = world.another(Mode::Delegated, process);
        let keyset = decider.keyset().await.unwrap();
        for round in 0..ROUNDS {
            world.at(RUN / ROUNDS * round);
            let now = (super::world::START + RUN / ROUNDS * round) / 1_000;
            for (index, question) in questions.iter().enumerate() {
                let nonce = (index % 40 == 0).then_some(NONCE);
                let signed = decider.answer(question, nonce, false).await.unwrap();
                // Each is verified in the last round, and one in forty before.
                if index % 40 == 0 || round == ROUNDS - 1 {
                    verified(&keyset, &signed, question, nonce, now);
                }
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
async fn a_direct_fleet_calls_the_key_once_for_each_class_and_half_life_and_never_beyond_the_budget() {
    let world = World::new().await;
    let questions = questions();
    let mut calls = 0;
    for process in 0..PROCESSES {
        world.at(0);
        let decider = world.another(Mode::Direct, process);
        let (mut answered, mut refused) = (0, 0);
        let before = world.key.signed();
        for round in 0..ROUNDS {
            let at = RUN / ROUNDS * round;
            world.at(at);
            for question in &questions {
                match decider.answer(question, None, false).await {
                    Ok(signed) => {
                        answered += 1;
                        if round == ROUNDS - 1 {
                            let keyset = decider.keyset().await.unwrap();
                            verified(&keyset, &signed, question, None, (super::world::START + at) / 1_000);
                        }
                    }
                    Err(_) => refused += 1,
                }
            }
            let allowed = i64::from(BUDGET.burst) + i64::from(BUDGET.per_second) * at / SECOND;
            let signed = i64::try_from(world.key.signed() - before).unwrap();
            assert!(signed <= allowed, "{signed} calls after {at} ms");
        }
        assert_eq!(world.key.signed() - before, CLASSES as usize, "the run is within one half-life");
        // The burst holds 20, a pause of 83 seconds fills it again: the tenth round has the last class.
        assert_eq!((answered, refused), (2_400 - 900, 900));
        calls += CLASSES as usize;
    }
    assert_eq!(world.key.signed(), calls);
}
