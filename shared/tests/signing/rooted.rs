//! Keysets that root keys have signed: taken in order, and from the first one on nothing else.

use decision::{
    jwk::Alg,
    keyset::{Keyset, KeysetKey},
    root::{Draft, Root},
    sign::LocalKey,
};
use shared::{
    app::{
        error::AppError,
        keyset::{self, Change, Outage, Record},
        signing::Mode,
    },
    http::error::ApiError,
    ports::signer::Signer as _,
    testing::{build, log::Log, signer::RemoteKey},
};

use super::{
    rotation::{change, kid, new_key, promote, two_keys},
    world::{NONCE, Process, START, World, is_later, question, root_kid},
};

const DAY: i64 = 86_400_000;

/// Three root keys, two of which have to sign.
struct Roots(Vec<LocalKey>);

impl Roots {
    fn fresh() -> Self {
        let key = |_| LocalKey::from_pkcs8_der(&LocalKey::generate(Alg::EdDsa).unwrap()).unwrap();
        Self((0..3).map(key).collect())
    }

    fn file_of(&self, issuer: &str, keyset: &Keyset, by: &[usize]) -> String {
        let root = Root::new(2, self.0.iter().map(|key| *key.public()).collect()).unwrap();
        let draft = Draft::new(issuer, keyset, &root).unwrap();
        by.iter().fold(draft, |draft, key| draft.signed(&self.0[*key]).unwrap()).to_file()
    }

    fn file(&self, keyset: &Keyset) -> String {
        self.file_of(&build::settings().base_url, keyset, &[0, 2])
    }
}

async fn publish(process: &Process, version: u64, file: &str) -> Result<(Record, bool), AppError> {
    publish_with(process, (version, file), Outage::Refuse).await
}

async fn publish_with(
    process: &Process,
    (version, file): (u64, &str),
    outage: Outage,
) -> Result<(Record, bool), AppError> {
    keyset::publish_signed(&process.context, &build::caller(), (version, file.as_bytes()), outage).await
}

/// The code that a refusal has over HTTP, and the rule that it names.
fn refusal(refused: Result<(Record, bool), AppError>) -> (u16, String, String) {
    let shown = ApiError::from(refused.unwrap_err());
    let rule = shown.details.as_ref().and_then(|details| details["rule"].as_str()).unwrap_or_default();
    (shown.status.as_u16(), shown.code.to_owned(), rule.to_owned())
}

fn refused_for(rule: &str) -> (u16, String, String) {
    (422, "SIGNED_KEYSET_REFUSED".into(), rule.into())
}

fn conflict() -> (u16, String, String) {
    (409, "KEY_CONFLICT".into(), String::new())
}

fn next_of(keyset: &Keyset) -> Keyset {
    Keyset { version: keyset.version + 1, ..keyset.clone() }
}

/// A deployment whose current keyset root keys have signed.
async fn rooted() -> (World, Process, Roots, Keyset) {
    let (world, _, process) = two_keys(Mode::Direct).await;
    let (roots, keyset) = (Roots::fresh(), world.keyset().await);
    let (record, fresh) = publish(&process, keyset.version, &roots.file(&keyset)).await.unwrap();
    assert!(record.signed && fresh && record.keyset == keyset);
    (world, process, roots, keyset)
}

#[tokio::test]
async fn signed_keysets_are_published_one_after_the_other_and_given_out_byte_for_byte() {
    let (world, process, roots, first) = rooted().await;
    let second = next_of(&first);
    let (one, two) = (keyset::signed_file(&process.context, 1).await.unwrap(), roots.file(&second));
    let (record, fresh) = publish(&process, 2, &two).await.unwrap();
    assert!(record.signed && fresh);
    assert_eq!(world.keyset().await, second);
    assert_eq!(keyset::signed_file(&process.context, 1).await.unwrap(), one);
    assert_eq!(keyset::signed_file(&process.context, 2).await.unwrap(), two);
    assert!(matches!(keyset::signed_file(&process.context, 3).await, Err(AppError::NotFound)));
    // The same file again changes nothing, also where it is not the newest.
    for (version, file) in [(2, &two), (1, &one)] {
        let (again, fresh) = publish(&process, version, file).await.unwrap();
        assert!(!fresh && again == record);
    }
}

#[tokio::test]
async fn the_first_signed_keyset_may_also_be_the_next_version_but_says_nothing_else_of_this_one() {
    let (world, _, process) = two_keys(Mode::Direct).await;
    let (roots, current) = (Roots::fresh(), world.keyset().await);
    let other = Keyset { nonces: !current.nonces, ..current.clone() };
    assert_eq!(refusal(publish(&process, 1, &roots.file(&other)).await), conflict());
    let ahead = Keyset { version: 3, ..current.clone() };
    assert_eq!(refusal(publish(&process, 3, &roots.file(&ahead)).await), conflict());
    let next = next_of(&current);
    publish(&process, 2, &roots.file(&next)).await.unwrap();
    assert_eq!(world.keyset().await, next);
}

#[tokio::test]
async fn a_gap_a_rollback_and_another_file_under_a_published_version_are_refused() {
    let (world, process, roots, first) = rooted().await;
    let third = Keyset { version: 3, ..first.clone() };
    assert_eq!(refusal(publish(&process, 3, &roots.file(&third)).await), conflict());
    assert_eq!(refusal(publish(&process, 2, &roots.file(&third)).await), conflict(), "the name says 2");
    let second = next_of(&first);
    publish(&process, 2, &roots.file(&second)).await.unwrap();
    let other = roots.file_of(&build::settings().base_url, &second, &[0, 1]);
    assert_eq!(refusal(publish(&process, 2, &other).await), conflict());
    let older = Keyset { nonces: !first.nonces, ..first };
    assert_eq!(refusal(publish(&process, 1, &roots.file(&older)).await), conflict());
    assert_eq!(world.keyset().await, second);
}

#[tokio::test]
async fn what_clients_would_refuse_is_refused_with_the_rule() {
    let (world, process, roots, first) = rooted().await;
    let (second, base) = (next_of(&first), build::settings().base_url);
    let foreign = roots.file_of("https://other.example.com", &second, &[0, 1]);
    assert_eq!(refusal(publish(&process, 2, &foreign).await), refused_for("ROOT_ISSUER"));
    let few = roots.file_of(&base, &second, &[1]);
    assert_eq!(refusal(publish(&process, 2, &few).await), refused_for("ROOT_SIGNATURES"));
    // Signed well by roots that nobody knows.
    let strangers = Roots::fresh().file(&second);
    assert_eq!(refusal(publish(&process, 2, &strangers).await), refused_for("ROOT_SIGNATURES"));
    let over = Keyset { expires: START / 1_000, ..second.clone() };
    assert_eq!(refusal(publish(&process, 2, &roots.file(&over)).await), refused_for("ROOT_EXPIRED"));
    assert_eq!(refusal(publish(&process, 2, "{}").await), refused_for("ROOT_FORM"));
    let raised = Keyset { epoch: 2, ..second };
    publish(&process, 2, &roots.file(&raised)).await.unwrap();
    let fallen = Keyset { version: 3, epoch: 1, ..raised.clone() };
    assert_eq!(refusal(publish(&process, 3, &roots.file(&fallen)).await), refused_for("ROOT_EPOCH"));
    assert_eq!(world.keyset().await, raised);
}

#[tokio::test]
async fn where_root_keys_sign_the_keyset_nothing_else_changes_it() {
    let (world, process, _, first) = rooted().await;
    let next = RemoteKey::fresh(Alg::EdDsa);
    for wanted in [
        Change::Add(new_key(&next)),
        Change::Retire(kid(&world.key)),
        Change::Revoke(kid(&world.key)),
        Change::RaiseEpoch,
    ] {
        let refused = change(&process.context, wanted).await.map(|record| (record, true));
        assert_eq!(refusal(refused), conflict());
    }
    // Neither a process in another mode nor one that finds the end near publishes anything.
    assert!(!first.nonces);
    let delegating = world.with_keys(Mode::Delegated, 3, &[&world.key]);
    world.ask(&delegating.decider, &question("1.0.0"), None).await.unwrap();
    world.at(364 * DAY);
    let late = world.with_keys(Mode::Direct, 4, &[&world.key]);
    world.ask(&late.decider, &question("1.0.0"), None).await.unwrap();
    assert_eq!(world.keyset().await, first);
}

#[tokio::test]
async fn with_signed_keysets_a_stolen_key_is_revoked_and_the_next_one_signs() {
    let (world, next, process) = two_keys(Mode::Direct).await;
    let (roots, current) = (Roots::fresh(), world.keyset().await);
    let mut second = next_of(&current);
    let key = *next.public_key();
    second.keys.push(KeysetKey::new(key, START / 1_000 - 300, i64::MAX >> 11, vec!["*".into()]));
    publish(&process, 2, &roots.file(&second)).await.unwrap();
    promote(&process.context, &next).await.unwrap();
    let mut third = Keyset { epoch: 2, ..next_of(&second) };
    third.keys[0].revoked = true;
    let (record, _) = publish(&process, 3, &roots.file(&third)).await.unwrap();
    assert_eq!(record.active, Some(kid(&next)), "what was promoted signs on");
    let signed = world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
    assert_eq!(root_kid(&signed), kid(&next));
}

/// Ways to keep a key from going on.
fn spoil(keyset: &mut Keyset, kid: &str, how: &str) {
    let now = START / 1_000;
    let place = keyset.keys.iter().position(|key| key.kid == kid).unwrap();
    let key = &mut keyset.keys[place];
    match how {
        "missing" => drop(keyset.keys.remove(place)),
        "revoked" => key.revoked = true,
        "over" => key.exp = now,
        "not yet valid" => key.nbf = now + 60,
        _ => key.exp -= 1,
    }
}

const SPOILT: [&str; 5] = ["missing", "revoked", "over", "not yet valid", "ends sooner"];

#[tokio::test]
async fn a_file_under_which_the_key_that_signs_could_not_go_on_is_published_by_force_alone() {
    for promoted in [true, false] {
        for how in SPOILT {
            let (world, process, roots, first) = rooted().await;
            if promoted {
                promote(&process.context, &world.key).await.unwrap();
            }
            let mut second = next_of(&first);
            spoil(&mut second, &kid(&world.key), how);
            let file = roots.file(&second);
            let refused = publish(&process, 2, &file).await.unwrap_err().to_string();
            assert!(refused.contains("promote another one first, or say `force=true`"), "{refused}");
            assert_eq!(refusal(publish(&process, 2, &file).await), conflict(), "{how}");
            assert_eq!(world.keyset().await, first);
            world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
            let (record, fresh) = publish_with(&process, (2, &file), Outage::Accept).await.unwrap();
            assert!(fresh && record.keyset == second, "{how}");
            let answer = process.decider.answer(&question("1.0.0"), None, false).await;
            assert_eq!(answer.is_ok(), how == "ends sooner", "{how}: that is what was accepted");
            // What is published already is no question any more.
            assert!(!publish(&process, 2, &file).await.unwrap().1);
        }
    }
}

#[tokio::test]
async fn a_key_that_does_not_sign_may_be_taken_off_and_one_that_could_not_anyway() {
    for how in SPOILT {
        let (world, next, process) = two_keys(Mode::Direct).await;
        change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        promote(&process.context, &next).await.unwrap();
        let (roots, first) = (Roots::fresh(), world.keyset().await);
        publish(&process, 2, &roots.file(&first)).await.unwrap();
        let mut second = next_of(&first);
        spoil(&mut second, &kid(&world.key), how);
        publish(&process, 3, &roots.file(&second)).await.unwrap();
        world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
        // By force, the key that signs is revoked; then each further file is welcome that has it no better.
        let mut third = next_of(&second);
        spoil(&mut third, &kid(&next), "revoked");
        publish_with(&process, (4, &roots.file(&third)), Outage::Accept).await.unwrap();
        publish(&process, 5, &roots.file(&next_of(&third))).await.unwrap();
    }
}

#[tokio::test]
async fn the_log_warns_of_the_end_of_a_signed_keyset_and_nothing_is_signed_under_one_that_is_over() {
    let log = Log::read();
    let (world, process, roots, first) = rooted().await;
    let asked = question("1.0.0");
    let mut warned = Vec::new();
    for day in 0..365 {
        world.at(day * DAY);
        process.decider.renew_keyset().await.unwrap();
        world.ask(&process.decider, &asked, None).await.unwrap();
        let told = log.with("keyset_days_left");
        warned.extend(told.into_iter().filter(|line| line["level"] == "WARN"));
    }
    let days: Vec<_> = warned.iter().map(|line| line["keyset_days_left"].as_i64().unwrap()).collect();
    assert_eq!(days, (1..=60).rev().collect::<Vec<_>>(), "once a day");
    assert!(warned[0]["message"].as_str().unwrap().contains("have them sign the next version"));
    let before = world.key.signed();
    world.at(365 * DAY);
    for nonce in [None, Some(NONCE)] {
        let refused = process.decider.answer(&asked, nonce, false).await;
        let reason = std::error::Error::source(refused.as_ref().unwrap_err());
        let reason = reason.and_then(std::error::Error::source).unwrap().to_string();
        assert!(reason.contains("the keyset is over"), "{reason}");
        assert!(is_later(refused));
    }
    assert_eq!(world.key.signed(), before);
    assert_eq!(log.with("keyset_days_left")[0]["level"], "ERROR");
    assert_eq!(*process.decider.keyset().await.unwrap(), first, "it is shown as it is");
    let lasting = Keyset { expires: first.expires + 365 * 86_400, ..next_of(&first) };
    publish(&process, 2, &roots.file(&lasting)).await.unwrap();
    world.ask(&process.decider, &asked, None).await.unwrap();
}

#[tokio::test]
async fn a_remote_key_that_signs_directly_warns_once_of_a_signed_keyset_that_asks_for_nonces() {
    let (world, process, roots, first) = rooted().await;
    let asking = Keyset { nonces: true, ..next_of(&first) };
    publish(&process, 2, &roots.file(&asking)).await.unwrap();
    let log = Log::read();
    let direct = world.within_the_budget(3, &[&world.key]);
    let free = world.with_keys(Mode::Direct, 4, &[&world.key]);
    let delegating = world.with_keys(Mode::Delegated, 5, &[&world.key]);
    for (process, warnings) in [(direct, 1), (free, 0), (delegating, 0)] {
        for day in 0..3 {
            world.at(day * DAY);
            world.ask(&process.decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
        }
        let told = log.with("nonces");
        assert_eq!(told.len(), warnings, "{told:?}");
        assert!(told.iter().all(|line| line["level"] == "WARN"), "{told:?}");
    }
}
