//! Following the keyset: rotation, compromise, and every way in which a service could lead a client astray.

use decision::root::{Draft, Root};
use decision::{Alg, Keyset};
use serde_json::{Value, json};

use crate::world::{Instead, NOW, TestClock, World, keyset, new_key};

fn asked(world: &World) -> Vec<String> {
    world.told.lock().unwrap().keysets_asked.clone()
}

#[tokio::test]
async fn a_client_follows_rotation_without_a_release_of_its_own() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    updater.check().await.unwrap();
    assert!(asked(&world).is_empty());
    let old = world.rotate(new_key(Alg::EdDsa));
    let now = world.signer();
    world.serve_keyset(2, world.signed(&keyset(2, 1, &[&old, &now]), &[1, 2]));
    world.serve_keyset(3, world.signed(&keyset(3, 1, &[&now]), &[0, 2]));
    updater.check().await.unwrap();
    assert_eq!(asked(&world), ["2.keyset", "3.keyset", "4.keyset"]);
    // What was reached is remembered, by other processes too.
    world.updater(state.path()).check().await.unwrap();
    assert_eq!(asked(&world).len(), 3);
}

#[tokio::test]
async fn after_a_compromise_all_clients_recover_and_none_accepts_the_old_key() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    world.say(json!({"seq": 9_007_199_254_740_991_u64}));
    updater.check().await.unwrap();
    // The thief had pushed `seq` to its end. A new epoch begins with a new key; the old one is revoked.
    let thief = new_key(Alg::Es256);
    let stolen = world.rotate(thief);
    let mut second = keyset(2, 2, &[&stolen, &world.signer()]);
    second.keys[0].revoked = true;
    world.serve_keyset(2, world.signed(&second, &[0, 1]));
    world.say(json!({"epoch": 2, "seq": 1}));
    let checked = updater.check().await.unwrap();
    assert_eq!((checked.decision().payload.epoch, checked.decision().payload.seq), (2, 1));
    // The old epoch is over for this client, whoever signs it.
    world.say(json!({"epoch": 1, "seq": 9_007_199_254_740_991_u64}));
    assert_eq!(updater.check().await.unwrap_err().code(), "EPOCH");
}

#[tokio::test]
async fn the_keyset_is_fetched_once_and_then_it_is_over() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    let old = world.rotate(new_key(Alg::EdDsa));
    assert_eq!(updater.check().await.unwrap_err().code(), "KID_UNKNOWN");
    assert_eq!((asked(&world).len(), world.asked().len()), (1, 1), "there is no newer keyset: no use to ask");
    // A newer keyset that does not help.
    world.serve_keyset(2, world.signed(&keyset(2, 1, &[&old]), &[0, 1]));
    assert_eq!(updater.check().await.unwrap_err().code(), "KID_UNKNOWN");
    assert_eq!((asked(&world).len(), world.asked().len()), (3, 3));
}

#[tokio::test]
async fn a_higher_epoch_leads_to_the_keyset_and_a_lower_one_does_not() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    world.say(json!({"epoch": 2}));
    assert_eq!(updater.check().await.unwrap_err().code(), "EPOCH");
    assert_eq!(asked(&world), ["2.keyset"]);
    world.serve_keyset(2, world.signed(&keyset(2, 2, &[&world.signer()]), &[0, 1]));
    updater.check().await.unwrap();
    world.say(json!({"epoch": 1}));
    assert_eq!(updater.check().await.unwrap_err().code(), "EPOCH");
    assert_eq!(asked(&world), ["2.keyset", "2.keyset", "3.keyset"]);
}

#[tokio::test]
async fn a_client_that_was_away_for_years_comes_back_through_expired_versions() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let old = world.signer();
    let expired = |version| Keyset { expires: NOW - 1_000, ..keyset(version, 1, &[&old]) };
    let shipped = world.signed(&expired(1), &[0, 1]);
    let build = || world.builder(state.path(), TestClock::at(NOW)).keyset(&shipped).build().unwrap();
    assert_eq!(build().check().await.unwrap_err().code(), "KEYSET_EXPIRED");
    world.serve_keyset(2, world.signed(&expired(2), &[0, 1]));
    assert_eq!(build().check().await.unwrap_err().code(), "ROOT_EXPIRED");
    world.serve_keyset(3, world.signed(&keyset(3, 1, &[&old]), &[0, 1]));
    build().check().await.unwrap();
}

#[tokio::test]
async fn a_newer_keyset_that_is_not_signed_as_it_should_be_changes_nothing() {
    let world = World::new().await;
    let old = world.rotate(new_key(Alg::EdDsa));
    let now = world.signer();
    let strangers = [new_key(Alg::EdDsa), new_key(Alg::EdDsa)];
    let other_root = Root::new(2, strangers.iter().map(|key| *key.public()).collect()).unwrap();
    let by_strangers = Draft::new(&world.base_url, &keyset(2, 1, &[&now]), &other_root).unwrap();
    let by_strangers = by_strangers.signed(&strangers[0]).unwrap().signed(&strangers[1]).unwrap().to_file();
    let elsewhere = Draft::new("https://elsewhere.example", &keyset(2, 1, &[&now]), &world.root()).unwrap();
    let elsewhere = elsewhere.signed(&world.roots[0]).unwrap().signed(&world.roots[1]).unwrap().to_file();
    let plain = serde_json::to_vec(&keyset(2, 1, &[&now])).unwrap();
    let good = world.signed(&keyset(2, 1, &[&now]), &[0, 1]);
    let cases: [(&str, Vec<u8>); 8] = [
        ("ROOT_SIGNATURES", world.signed(&keyset(2, 1, &[&now]), &[0])),
        ("ROOT_SIGNATURES", by_strangers.into_bytes()),
        ("ROOT_ISSUER", elsewhere.into_bytes()),
        ("ROOT_FORM", plain),
        ("ROOT_VERSION", world.signed(&keyset(3, 1, &[&now]), &[0, 1])),
        ("ROOT_VERSION", world.shipped()),
        ("ROOT_FORM", good[..good.len() - 9].to_vec()),
        ("CLIENT", vec![b' '; 2_000_000]),
    ];
    for (code, file) in cases {
        let state = tempfile::tempdir().unwrap();
        let updater = world.updater(state.path());
        world.serve_keyset(2, file);
        assert_eq!(updater.check().await.unwrap_err().code(), code);
        assert!(!state.path().join("state.json").exists(), "{code}: the state has changed");
    }
    // The service does not help itself by going on with the old key either.
    assert_ne!(old, now);
}

#[tokio::test]
async fn an_epoch_that_falls_is_refused_in_the_middle_of_the_way() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    _ = world.rotate(new_key(Alg::EdDsa));
    world.serve_keyset(2, world.signed(&keyset(2, 5, &[&world.signer()]), &[0, 1]));
    world.serve_keyset(3, world.signed(&keyset(3, 4, &[&world.signer()]), &[0, 1]));
    assert_eq!(updater.check().await.unwrap_err().code(), "ROOT_EPOCH");
    assert!(!state.path().join("state.json").exists());
}

#[tokio::test]
async fn a_keyset_that_was_pinned_by_hand_is_never_replaced_from_the_network() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let pinned = serde_json::to_string(&keyset(1, 1, &[&world.signer()])).unwrap();
    let builder = world.builder(state.path(), TestClock::at(NOW)).pinned_keyset(pinned.as_bytes());
    let updater = builder.build().unwrap();
    updater.check().await.unwrap();
    _ = world.rotate(new_key(Alg::EdDsa));
    world.serve_keyset(2, world.signed(&keyset(2, 1, &[&world.signer()]), &[0, 1]));
    assert_eq!(updater.check().await.unwrap_err().code(), "KID_UNKNOWN");
    assert_eq!(updater.refresh_keyset().await.unwrap(), 1);
    assert!(asked(&world).is_empty());
}

#[tokio::test]
async fn an_application_that_ships_a_newer_keyset_than_it_remembers_uses_that() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let old = world.signer();
    world.serve_keyset(2, world.signed(&keyset(2, 1, &[&old]), &[0, 1]));
    assert_eq!(world.updater(state.path()).refresh_keyset().await.unwrap(), 2);
    _ = world.rotate(new_key(Alg::EdDsa));
    let third = world.signed(&keyset(3, 1, &[&world.signer()]), &[0, 1]);
    let newer = world.builder(state.path(), TestClock::at(NOW)).keyset(&third).build().unwrap();
    newer.check().await.unwrap();
    assert_eq!(asked(&world), ["2.keyset", "3.keyset"]);
}

#[tokio::test]
async fn after_a_newer_keyset_the_question_is_asked_once_more() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    world.once(Instead::Claims(json!({"epoch": 2})));
    world.serve_keyset(2, world.signed(&keyset(2, 1, &[&world.signer()]), &[0, 1]));
    updater.check().await.unwrap();
    assert_eq!(world.asked().len(), 2);
    let saved: Value = {
        let text = std::fs::read_to_string(state.path().join("state.json")).unwrap();
        serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
    };
    assert_eq!(saved["deployments"][&world.base_url]["keyset"]["version"], 2);
}
