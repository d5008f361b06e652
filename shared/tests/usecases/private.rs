//! Repositories that are read with credentials: what is not told of them, and who may use them.

use shared::{
    app::{
        artifacts,
        context::{Caller, Repository, Settings},
        error::AppError,
        external::{self, Which},
        register, sentinel,
    },
    domain::artifact::{ArtifactState, Validators, Verification},
    testing::{build, fetcher::Line},
};

use super::world::{CONTENT, HOUR, SECOND, World};

const PREFIX: &str = "https://private.example.com/releases";
const URL: &str = "https://private.example.com/releases/editor.msi";

fn world(repository: Repository) -> World {
    World::with(Settings { repositories: vec![repository], ..build::settings() })
}

async fn try_register(world: &World, caller: &Caller, url: &str) -> Result<(), AppError> {
    let registration = build::registration(CONTENT, url);
    register::register(world.context(), caller, &registration, None).await.map(drop)
}

#[tokio::test]
async fn in_what_it_differs_is_told_of_no_file_that_was_seen_with_credentials() {
    let vouched = |content: &[u8]| Validators {
        sha256: Some(build::sha256(content)),
        size_bytes: Some(content.len() as u64),
        ..Validators::default()
    };
    let longer = Validators { size_bytes: Some(26), ..Validators::default() };
    let mut said = Vec::new();
    for found in [vouched(b"other bytes of some size"), longer] {
        let world = world(build::private_repository(PREFIX));
        world.product().await;
        try_register(&world, &world.caller, URL).await.unwrap();
        world.fetcher.then(Line::Proves(Verification::Repository, vouched(CONTENT)));
        external::run(world.context(), &world.checker(), Which::Due).await.unwrap();
        let id = world.artifacts().await[0].artifact_id;
        world.publish("1.0.0", &[id]).await;
        for later in [2 * HOUR, 300 * SECOND] {
            world.clock.advance(later);
            world.fetcher.then_says(Ok(found.clone()));
            sentinel::run(world.context(), &world.checker()).await.unwrap();
        }
        let artifact = world.artifact(id).await;
        assert_eq!(artifact.state, ArtifactState::Quarantined);
        let checks = artifacts::checks(world.context(), &world.caller, id).await.unwrap();
        let told: Vec<_> =
            checks.into_iter().map(|check| (check.result, check.code, check.message)).collect();
        said.push((artifact.reason.unwrap(), told));
    }
    assert_eq!(said[0], said[1], "another digest and another size are told alike");
    assert_eq!(said[0].0, "DRIFT: CHECKSUM_MISMATCH: the artifact differs from what was declared");
}

#[tokio::test]
async fn a_token_of_one_product_registers_nothing_where_others_alone_may_take_from() {
    let other =
        Repository { products: Some(vec!["player".parse().unwrap()]), ..build::private_repository(PREFIX) };
    let world = world(other);
    let limited = |product: &str| Caller { product_id: Some(product.parse().unwrap()), ..build::caller() };
    try_register(&world, &world.caller, URL).await.unwrap();
    // Whether it was registered before, is there, or could never be: the answer is the same.
    for url in [URL, "https://private.example.com/releases/unknown.msi"] {
        let refused = try_register(&world, &limited("editor"), url).await;
        assert!(matches!(refused, Err(AppError::BeyondLimit("one product"))), "{refused:?}");
        try_register(&world, &limited("player"), url).await.unwrap();
        try_register(&world, &world.caller, url).await.unwrap();
    }
    let there = World::with(Settings { repositories: Vec::new(), ..build::settings() });
    try_register(&there, &limited("editor"), URL).await.unwrap();
}
