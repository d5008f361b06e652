//! Rotation and compromise where each signature is a call within the budget, and many classes are remembered.

use std::sync::Arc;

use decision::jwk::Alg;
use shared::{
    app::{decisions::Signed, error::AppError, keyset::Change, products},
    domain::decide::Question,
    ports::clock::Clock as _,
    testing::{build, signer::RemoteKey},
};

use super::{
    rotation::{change, kid, new_key, promote},
    world::{BUDGET, MINUTE, PRODUCT, Process, SECOND, START, World, judged, question, root_kid, version},
};

const CLASSES: i64 = 200;

/// A process whose first key has signed an answer for each of 200 classes, in its first fifty seconds.
async fn warm() -> (World, Arc<RemoteKey>, Process, Vec<Question>) {
    let world = World::new().await;
    world.released((0..CLASSES).map(version)).await;
    let next = RemoteKey::fresh(Alg::EdDsa);
    let process = world.within_the_budget(2, &[&world.key, &next]);
    let questions: Vec<_> = (0..CLASSES).map(|class| question(&version(class))).collect();
    for (asked, at) in questions.iter().zip(0..) {
        world.at(at * SECOND / 4);
        world.ask(&process.decider, asked, None).await.unwrap();
    }
    (world, next, process, questions)
}

/// Asks everything at once.
async fn round(process: &Process, questions: &[Question]) -> Vec<Result<Signed, AppError>> {
    let mut answers = Vec::new();
    for asked in questions {
        answers.push(process.decider.answer(asked, None, false).await);
    }
    answers
}

/// Asks everything at once, with no question failing; how many answers are by this key. One in four is verified, as by a
/// client with the newest keyset, and others at each time.
async fn believed(world: &World, process: &Process, questions: &[Question], key: &RemoteKey) -> usize {
    let (mut by, turn) = (0, usize::try_from(world.clock.now() / 10 % 4).unwrap());
    for (index, answer) in round(process, questions).await.into_iter().enumerate() {
        let signed = answer.unwrap_or_else(|error| panic!("{error}: {index}"));
        if index % 4 == turn {
            world.verified(&signed, &questions[index], None).await;
        }
        by += usize::from(root_kid(&signed) == kid(key));
    }
    by
}

#[tokio::test]
async fn a_rotation_under_load_with_a_scarce_budget_fails_no_question_and_clients_believe_every_answer() {
    let (world, next, process, questions) = warm().await;
    let max_age = build::settings().catalogue_max_age_ms;
    let all = questions.len();
    let pass = |seconds: i64| world.clock.advance(seconds * SECOND);
    pass(1);
    change(&world.context, Change::Add(new_key(&next))).await.unwrap();
    for _ in 0..10 {
        pass(1);
        assert_eq!(believed(&world, &process, &questions, &world.key).await, all);
    }
    promote(&world.context, &next).await.unwrap();
    pass(max_age / SECOND + 1);
    let old_signatures = world.key.signed();
    for _ in 0..60 {
        pass(1);
        assert_eq!(believed(&world, &process, &questions, &world.key).await, all, "what there is goes on");
    }
    // A question that nobody has asked before is for the next key.
    let new = Question { arch: "arm64".parse().unwrap(), ..questions[0].clone() };
    assert_eq!(believed(&world, &process, &[new], &next).await, 1);
    change(&world.context, Change::Retire(kid(&world.key))).await.unwrap();
    // Over the half of every token's life, where all are to be signed anew, and over the end of all.
    let mut by_next = 0;
    for _ in 0..480 {
        pass(15);
        let now = believed(&world, &process, &questions, &next).await;
        assert!(now >= by_next, "never back");
        by_next = now;
    }
    assert_eq!(by_next, all);
    assert_eq!(world.key.signed(), old_signatures, "the old key signs no more");
    let calls = i64::try_from(world.key.signed() + next.signed()).unwrap();
    let seconds = world.clock.now() - START / 1_000;
    assert!(calls <= i64::from(BUDGET.burst) + i64::from(BUDGET.per_second) * seconds, "{calls}");
}

#[tokio::test]
async fn after_a_compromise_under_load_with_a_scarce_budget_no_token_of_the_old_key_is_served_or_believed() {
    let (world, next, process, questions) = warm().await;
    let max_age = build::settings().catalogue_max_age_ms;
    change(&world.context, Change::Add(new_key(&next))).await.unwrap();
    world.at(MINUTE);
    round(&process, &questions).await;
    promote(&world.context, &next).await.unwrap();
    let revoked = change(&world.context, Change::Revoke(kid(&world.key))).await.unwrap().keyset;
    let (mut stale, mut answered) = (0, 0);
    for half in 0..240 {
        let ms = MINUTE + half * SECOND / 2;
        world.at(ms);
        answered = 0;
        for (answer, asked) in round(&process, &questions).await.into_iter().zip(&questions) {
            let Ok(signed) = answer else { continue };
            let judged = judged(&revoked, &signed, asked, None, (START + ms) / 1_000);
            if root_kid(&signed) == kid(&world.key) {
                assert!(ms <= MINUTE + max_age, "a token of the stolen key after {ms}");
                judged.unwrap_err();
                stale += 1;
            } else {
                assert_eq!(judged.unwrap().payload.epoch, 2);
                answered += 1;
            }
        }
    }
    assert!(stale > 0, "until it has read the keyset again, the process could not know");
    assert_eq!(answered, questions.len(), "all were signed again, as the budget allowed");
    assert!(next.signed() >= questions.len());
}

#[tokio::test]
async fn what_a_key_has_signed_is_not_served_once_it_may_no_longer_sign_for_the_product() {
    for what in ["limited", "over", "not yet", "taken off"] {
        let (world, next) = (World::new().await, RemoteKey::fresh(Alg::EdDsa));
        let other = "player".parse().unwrap();
        products::create(&world.context, &build::caller(), (&other, None), &[], None).await.unwrap();
        let process = world.within_the_budget(2, &[&world.key, &next]);
        let first = world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
        assert_eq!(root_kid(&first), kid(&world.key));
        change(&world.context, Change::Add(new_key(&next))).await.unwrap();
        promote(&world.context, &next).await.unwrap();
        world.at(MINUTE);
        assert_eq!(world.ask(&process.decider, &question("1.0.0"), None).await.unwrap().token, first.token);
        let mut record = shared::app::keyset::current(&world.context).await.unwrap().unwrap().value;
        let now = (START + MINUTE) / 1_000;
        match what {
            "limited" => record.keyset.keys[0].products = vec!["player".into()],
            "over" => record.keyset.keys[0].exp = now,
            "not yet" => record.keyset.keys[0].nbf = now + 3_600,
            _ => drop(record.keyset.keys.remove(0)),
        }
        world.publish_record(record).await;
        world.at(MINUTE + build::settings().catalogue_max_age_ms + 1);
        let signed = world.ask(&process.decider, &build::question(PRODUCT, "1.0.0"), None).await.unwrap();
        assert_eq!(root_kid(&signed), kid(&next), "{what}");
    }
}
