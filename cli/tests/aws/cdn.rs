//! Downloads through a CDN: nothing is read there that `download` has not signed for, and it signs for what is available.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use shared::{
    adapters::cdn::OpenCdn,
    app::artifacts::{self, Intervention},
    domain::upload::ObjectKey,
    ports::cdn::{Cdn, CdnError},
};

use crate::{
    events,
    served::{answer, router},
    template::Template,
    text,
    world::{RELEASED, World},
};

const DOWNLOAD: &str = "download/get-v1-artifacts-artifact_id-download.json";
const CDN: &str = "https://d111111abcdef8.cloudfront.net";

/// What `download` answers where there is this CDN.
async fn downloaded(world: &mut World, cdn: Arc<dyn Cdn>) -> Value {
    Arc::make_mut(&mut world.context.settings).cdn = Some(cdn);
    answer(router("download", world).await, events::read(DOWNLOAD)).await
}

/// A CDN whose key cannot be read.
#[derive(Debug)]
struct Unsigned;

#[async_trait]
impl Cdn for Unsigned {
    async fn url(&self, _: &ObjectKey, _: Option<&str>, _: i64) -> Result<String, CdnError> {
        Err(CdnError("its key cannot be read".into()))
    }
}

#[tokio::test]
async fn what_is_available_is_downloaded_there_and_what_is_withdrawn_nowhere() {
    let mut world = World::of_events().await;
    let open = Arc::new(OpenCdn::new(CDN.into()));
    let sent = downloaded(&mut world, Arc::clone(&open) as _).await;
    assert_eq!(sent["statusCode"], 302, "{sent}");
    let location = sent["headers"]["location"].as_str().unwrap();
    assert!(location.starts_with(&format!("{CDN}/objects/{}/locked", RELEASED[0])), "{location}");
    assert_eq!(sent["headers"]["cache-control"], "no-store");
    let (id, why) = (RELEASED[1].parse().unwrap(), "the vendor withdrew this build");
    artifacts::intervene(&world.context, world.caller(), id, Intervention::Quarantine, why).await.unwrap();
    let refused = downloaded(&mut world, open).await;
    assert_eq!(refused["statusCode"], 409, "{refused}");
    assert!(refused["headers"]["location"].is_null());
}

#[tokio::test]
async fn where_no_address_can_be_signed_the_store_gives_the_bytes() {
    let mut world = World::of_events().await;
    let given = downloaded(&mut world, Arc::new(Unsigned)).await;
    assert_eq!(given["statusCode"], 200, "{given}");
}

/// The resources of `infra/cdn.yaml`.
fn resources() -> Value {
    let whole: Value = serde_saphyr::from_str(&text("infra/cdn.yaml")).unwrap();
    whole["Resources"].clone()
}

#[test]
fn the_bucket_is_read_by_signed_urls_alone_and_by_the_version_that_they_name() {
    let resources = resources();
    let distribution = &resources["Distribution"]["Properties"]["DistributionConfig"];
    let bucket = &distribution["DefaultCacheBehavior"];
    assert_eq!(bucket["TargetOriginId"], "bucket");
    assert_eq!(bucket["TrustedKeyGroups"], serde_json::json!(["Signers"]));
    for other in distribution["CacheBehaviors"].as_array().unwrap() {
        assert_eq!(other["TargetOriginId"], "api", "{other}");
    }
    let bytes = &resources["Bytes"]["Properties"]["CachePolicyConfig"];
    let queries = &bytes["ParametersInCacheKeyAndForwardedToOrigin"]["QueryStringsConfig"];
    assert_eq!(queries["QueryStrings"], serde_json::json!(["versionId"]));
    assert_eq!(queries["QueryStringBehavior"], "whitelist");
    let keys = resources["Signers"]["Properties"]["KeyGroupConfig"]["Items"].as_array().unwrap();
    assert_eq!(keys[0], "PublicKeyId");
}

#[test]
fn the_function_that_signs_has_the_key_where_there_is_a_cdn_and_nobody_else_has() {
    let template = Template::read();
    let variables = &template.function("download")["Environment"]["Variables"];
    for name in ["BP_CDN_URL", "BP_CDN__KEY_PAIR_ID", "BP_CDN__PRIVATE_KEY"] {
        assert_eq!(variables[name][0], "HasCdn", "{name}");
    }
    assert_eq!(template.conditional("AWS::IAM::RolePolicy")["DownloadCdnKey"], "HasCdnKey");
    let cdn = template.properties("Cdn");
    assert_eq!(cdn["Parameters"]["PublicKeyId"], "CdnPublicKeyId");
    assert_eq!(template.parameter("CdnPublicKeyId")["Default"], "");
}
