//! What holds of every decision, whatever the world.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use shared::domain::{
    catalogue::{Catalogue, CatalogueStatus},
    decide::{Action, Reason, decide, explain},
    rollout::Percentage,
};

use super::{
    reference,
    worlds::{Setting, setting},
};

fn answered(setting: &Setting) -> reference::Outline {
    let catalogue = Catalogue::prepare(setting.releases.clone());
    reference::outline(&decide(&setting.world(&catalogue), &setting.question, setting.now))
}

#[test]
fn the_random_worlds_meet_every_reason_of_a_known_product() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeMap::<&str, usize>::new();
    for _ in 0..4_000 {
        let setting = setting().new_tree(&mut runner).unwrap().current();
        *met.entry(answered(&setting).1.as_str()).or_default() += 1;
    }
    let often = met.values().filter(|count| **count >= 20).count();
    assert_eq!(often, Reason::ALL.len() - 1, "{met:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_answer_is_that_of_the_documented_procedure(setting in setting()) {
        let catalogue = Catalogue::prepare(setting.releases.clone());
        let world = setting.world(&catalogue);
        let naive = reference::answer(Some(&setting.releases), &world, &setting.question, setting.now);
        prop_assert_eq!(answered(&setting), naive);
    }

    #[test]
    fn an_explanation_ends_in_the_same_answer_and_shows_the_offer(setting in setting()) {
        let catalogue = Catalogue::prepare(setting.releases.clone());
        let world = setting.world(&catalogue);
        let answer = decide(&world, &setting.question, setting.now);
        let explanation = explain(&world, &setting.question, setting.now);
        prop_assert_eq!(&explanation.answer, &answer);
        prop_assert!(explanation.steps.is_sorted_by_key(|step| step.rule));
        if let Some(offer) = answer.offer.or(answer.withheld) {
            let id = offer.release.release_id.to_string();
            let mut shown = explanation.steps.iter().filter(|step| step.rule == 3 && step.did.starts_with("candidate, with"));
            prop_assert!(shown.next().is_some_and(|step| step.saw.contains(&id)), "{:#?}", explanation.steps);
        }
        let settled = explanation.steps.last().unwrap();
        let verdict = format!("{} / {}", answer.action, answer.reason);
        prop_assert!(settled.did.contains(&verdict), "{:#?}", explanation.steps);
    }

    #[test]
    fn the_order_in_which_releases_are_stored_does_not_matter(setting in setting(), turn in 0_usize..16) {
        let mut turned = setting.clone();
        let turn = turn.min(turned.releases.len());
        turned.releases.rotate_left(turn);
        prop_assert_eq!(answered(&turned), answered(&setting));
        turned.releases.reverse();
        prop_assert_eq!(answered(&turned), answered(&setting));
    }

    #[test]
    fn no_offer_breaks_the_policy(setting in setting()) {
        let catalogue = Catalogue::prepare(setting.releases.clone());
        let world = setting.world(&catalogue);
        let answer = decide(&world, &setting.question, setting.now);
        let Some(offer) = answer.offer.or(answer.withheld) else { return Ok(()) };
        let (version, levels) = (&offer.release.version, setting.policies.iter().flatten());
        let pin = levels.clone().find_map(|policy| policy.pinned_range.as_ref());
        prop_assert!(pin.is_none_or(|pin| pin.contains(version)));
        prop_assert!(!levels.clone().flat_map(|policy| policy.blocked_versions.iter().flatten()).any(|range| range.contains(version)));
        let minimum = levels.clone().find_map(|policy| policy.min_version.as_ref());
        prop_assert!(minimum.is_none_or(|minimum| version.cmp_precedence(minimum).is_ge()));
        prop_assert!(!levels.clone().any(|policy| policy.paused == Some(true)));
        prop_assert!(!setting.hidden.contains(&offer.release.channel) && offer.release.channel == answer.channel);
        prop_assert_eq!(offer.release.status, CatalogueStatus::Published);
        prop_assert!(!offer.release.rollout.paused);
        prop_assert!(offer.release.artifacts.contains(offer.artifact));
        let question = &setting.question;
        prop_assert_eq!((offer.artifact.platform, offer.artifact.arch), (question.platform, question.arch));
        prop_assert!(question.installer_types.is_empty() || question.installer_types.contains(&offer.artifact.installer_type));
    }

    #[test]
    fn nobody_goes_back_unless_a_revocation_allows_it(setting in setting()) {
        let catalogue = Catalogue::prepare(setting.releases.clone());
        let answer = decide(&setting.world(&catalogue), &setting.question, setting.now);
        let Some(offer) = answer.offer.or(answer.withheld) else { return Ok(()) };
        let (current, version) = (&setting.question.current_version, &offer.release.version);
        prop_assert!(!version.same_release(current));
        prop_assert_eq!(offer.allow_downgrade, version.cmp_precedence(current).is_lt());
        if answer.action != Action::None {
            prop_assert_eq!(offer.allow_downgrade, answer.reason == Reason::Rollback);
        }
        if offer.allow_downgrade {
            let mut left = setting.releases.iter().filter(|release| release.version.same_release(current) && release.allow_downgrade);
            prop_assert!(left.any(|release| release.floor.as_ref().is_none_or(|floor| version.cmp_precedence(floor).is_ge())));
        }
    }

    #[test]
    fn raising_a_percentage_never_takes_a_client_back(setting in setting(), which in any::<prop::sample::Index>(), points in 0..=10_000_u16) {
        prop_assume!(!setting.releases.is_empty());
        let mut raised = setting.clone();
        let rollout = &mut raised.releases[which.index(setting.releases.len())].rollout;
        rollout.percentage = rollout.percentage.max(Percentage::from_basis_points(points).unwrap());
        let (before, after) = (Catalogue::prepare(setting.releases.clone()), Catalogue::prepare(raised.releases.clone()));
        let before = decide(&setting.world(&before), &setting.question, setting.now);
        let after = decide(&raised.world(&after), &raised.question, raised.now);
        if let Some(had) = before.offer.or(before.withheld) {
            let has = after.offer.or(after.withheld);
            prop_assert!(has.is_some_and(|has| has.release.version.cmp_precedence(&had.release.version).is_ge()));
        }
    }

    #[test]
    fn a_client_that_takes_what_it_is_offered_comes_to_rest(mut setting in setting()) {
        let catalogue = Catalogue::prepare(setting.releases.clone());
        let mut seen = Vec::new();
        loop {
            let world = setting.world(&catalogue);
            let answer = decide(&world, &setting.question, setting.now);
            let Some(offer) = answer.offer.or(answer.withheld) else { break };
            prop_assert!(!seen.contains(&offer.release.release_id), "{} for ever", offer.release.version);
            seen.push(offer.release.release_id);
            let version = offer.release.version.clone();
            setting.question.current_version = version;
        }
    }
}
