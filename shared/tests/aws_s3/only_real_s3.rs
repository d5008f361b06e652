//! What S3 refuses and no known stand-in does: a second copy to the same key, and a request without a signature.

use shared::contract::objects::{CONTENT, upload};

use crate::{wire::Request, world::World};

#[tokio::test]
#[ignore = "needs the real S3: set BP_TEST_S3 and BP_TEST_S3_KEYS"]
async fn nobody_gets_in_without_a_signature() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let (path, _) = doors.upload_url.split_once('?').unwrap();
    assert_eq!(Request::new(path, CONTENT.len()).send(CONTENT).await.status, 403);
}

#[tokio::test]
#[ignore = "needs the real S3: set BP_TEST_S3 and BP_TEST_S3_KEYS"]
async fn a_copy_is_made_once() {
    let world = World::new().await;
    let put = world.client.put_object().bucket(&world.bucket).key("from");
    put.body(CONTENT.to_vec().into()).send().await.unwrap();
    let copy = || {
        let copy = world.client.copy_object().bucket(&world.bucket).key("to");
        copy.copy_source(format!("{}/from", world.bucket)).if_none_match("*").send()
    };
    copy().await.unwrap();
    assert_eq!(copy().await.unwrap_err().raw_response().unwrap().status().as_u16(), 412);
}
