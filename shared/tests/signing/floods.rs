//! Direct mode with a key that is somewhere else, while somebody asks whatever comes to mind.

use std::sync::Arc;

use shared::{
    app::{
        error::AppError,
        policies::{self, Level},
        signing::Mode,
    },
    domain::{decide::Question, policy::Policy},
    testing::build,
};

use super::world::{BUDGET, MINUTE, NONCE, SECOND, World, question, version};

/// What the budget allows in so many seconds.
fn allowed(seconds: i64) -> usize {
    BUDGET.burst as usize + BUDGET.per_second as usize * usize::try_from(seconds).unwrap()
}

/// A question that nobody has asked before, about a product that there is not.
fn invented(number: i64) -> Question {
    build::question(&format!("invented-{number}"), "1.0.0")
}

/// A question that nobody has asked before, about the product, in which one thing is invented.
fn half_invented(number: i64) -> Question {
    let (known, name) = (question("1.0.0"), format!("invented-{number}"));
    match number % 4 {
        0 => question(&format!("99.0.{number}")),
        1 => question(&format!("1.0.0+{number}")),
        2 => Question { channel: Some(name.parse().unwrap()), ..known },
        _ => Question { tenant_id: Some(name.parse().unwrap()), ..known },
    }
}

/// Ten questions that clients ask, in two channels and for a tenant.
async fn known(world: &World) -> Vec<Question> {
    let tenant: shared::domain::names::TenantId = "acme".parse().unwrap();
    let level = Level::Tenant(tenant.clone());
    policies::replace(&world.context, &build::caller(), &level, &Policy::default(), None).await.unwrap();
    world.released(["1.0.0", "1.0.0+built-again", "1.1.0", "2.0.0"].map(Into::into)).await;
    world.released_in("beta", ["2.1.0-rc.1".into()]).await;
    let versions = ["1.0.0", "1.0.0+built-again", "1.1.0", "2.0.0", "2.1.0-rc.1"].map(question);
    let beta = |known: &Question| Question { channel: Some("beta".parse().unwrap()), ..known.clone() };
    let acme = |known: &Question| Question { tenant_id: Some(tenant.clone()), ..known.clone() };
    versions
        .iter()
        .cloned()
        .chain(versions[..2].iter().map(beta))
        .chain(versions[2..].iter().map(acme))
        .collect()
}

#[tokio::test]
async fn a_flood_of_invented_questions_stops_no_known_question_and_stays_within_the_budget() {
    let world = World::new().await;
    let seconds = 120;
    world.released((0..2 * seconds).map(version)).await;
    let decider = world.decider(Mode::Direct);
    let mut refused = 0;
    for second in 0..seconds {
        world.at(second * SECOND);
        for number in 0..100 {
            // Nonces and products that there are not; both are what anybody can invent.
            let flood = match number % 2 {
                0 => decider.answer(&invented(second * 100 + number), None, false).await,
                _ => decider.answer(&question(&version(number)), Some(NONCE), false).await,
            };
            refused += usize::from(matches!(flood, Err(AppError::SigningBudget)));
        }
        // Two new versions a second, and those of the last ten seconds again.
        for number in (0..20).map(|back| second * 2 + 1 - back).filter(|number| *number >= 0) {
            world.ask(&decider, &question(&version(number)), None).await.unwrap();
        }
    }
    assert!(refused > 11_000, "{refused}");
    let signed = world.key.signed();
    assert!(signed <= allowed(seconds), "{signed} in {seconds} seconds");
}

#[tokio::test]
async fn a_flood_of_invented_versions_of_a_known_product_never_stops_a_known_question() {
    let world = World::new().await;
    let known = known(&world).await;
    let decider = world.decider(Mode::Direct);
    // Twice as long as a token lives, and with half seconds between.
    let (steps, step) = (4 * 3_600, SECOND / 2);
    for at in 0..steps {
        world.at(at * step);
        if at % 5_000 == 4_000 {
            world.released([version(at)]).await;
        }
        for number in 0..8 {
            let _ = decider.answer(&half_invented(at * 8 + number), None, false).await;
        }
        for (index, asked) in known.iter().enumerate() {
            let answer = decider.answer(asked, None, false).await;
            let signed = answer.unwrap_or_else(|error| panic!("{error} at {at}: {asked:?}"));
            // Verifying takes longer than answering: one of them, in turn.
            if at % 100 == i64::try_from(index).unwrap() {
                world.verified(&signed, asked, None).await;
            }
        }
    }
    let (signed, seconds) = (world.key.signed(), steps * step / SECOND);
    assert!(signed <= allowed(seconds), "{signed} in {seconds} seconds");
    // The known ones were signed again after half of a life and after each publish, and the flood has had its fifth.
    assert!(signed <= 20 * known.len() + allowed(seconds) / 5, "{signed}");
}

#[tokio::test]
async fn what_is_remembered_is_signed_again_while_new_questions_about_what_exists_want_the_whole_budget() {
    let mut world = World::new().await;
    let mut settings = (*world.context.settings).clone();
    settings.decision_lifetime = 120;
    world.context.settings = Arc::new(settings);
    world.released((0..400).map(version).chain(["1.0.0".into()])).await;
    let decider = world.decider(Mode::Direct);
    let everybody = question("1.0.0");
    let first = world.ask(&decider, &everybody, None).await.unwrap();
    let platforms = ["windows", "macos", "linux"].map(|name| name.parse().unwrap());
    let archs = ["x86_64", "arm64", "x86"].map(|name| name.parse().unwrap());
    let (mut refused, mut tokens) = (0, vec![first.token]);
    for second in 0..360 {
        world.at(second * SECOND);
        for number in second * 10..second * 10 + 10 {
            let new = question(&version(number % 400));
            let kind = usize::try_from(number / 400).unwrap();
            let new = Question { platform: platforms[kind % 3], arch: archs[kind / 3], ..new };
            let answer = decider.answer(&new, None, false).await;
            refused += usize::from(matches!(answer, Err(AppError::SigningBudget)));
        }
        let signed = world.ask(&decider, &everybody, None).await.unwrap();
        if tokens.last() != Some(&signed.token) {
            tokens.push(signed.token);
        }
    }
    assert!(refused > 1_500, "{refused}");
    assert_eq!(tokens.len(), 6, "it was signed again whenever half of its life was over");
    let signed = world.key.signed();
    assert!(signed <= allowed(360), "{signed}");
}

#[tokio::test]
async fn what_was_signed_is_served_when_it_cannot_be_signed_again() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    // A version that is in no catalogue: others that are not either may use up what there is for it.
    let asked = question("0.9.0");
    let first = world.ask(&decider, &asked, None).await.unwrap();
    for second in (31 * 60..60 * 60).step_by(10) {
        world.at(second * SECOND);
        for number in 0..60 {
            let _ = decider.answer(&half_invented(second * 100 + number), None, false).await;
        }
        assert_eq!(world.ask(&decider, &asked, None).await.unwrap().token, first.token);
    }
    world.at(60 * MINUTE);
    assert!(
        decider.answer(&asked, Some(NONCE), false).await.is_ok(),
        "and is signed again once there is room"
    );
}

#[tokio::test]
async fn invented_products_do_not_drive_known_answers_out_of_memory() {
    let world = World::new().await;
    let process = world.with_keys(Mode::Direct, 2, &[&world.key]);
    let first = world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
    // More than half of the memory holds, and each is signed, since that is free.
    for number in 0..10_100 {
        process.decider.answer(&invented(number), None, false).await.unwrap();
    }
    assert_eq!(world.ask(&process.decider, &question("1.0.0"), None).await.unwrap().token, first.token);
}

#[tokio::test]
async fn what_everybody_asks_stays_in_memory_whatever_else_is_asked_about_the_same_product() {
    let world = World::new().await;
    let process = world.with_keys(Mode::Direct, 2, &[&world.key]);
    let first = world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
    for number in 0..10_100 {
        process.decider.answer(&question(&version(number)), None, false).await.unwrap();
        if number % 2_000 == 0 {
            assert_eq!(
                world.ask(&process.decider, &question("1.0.0"), None).await.unwrap().token,
                first.token
            );
        }
    }
}
