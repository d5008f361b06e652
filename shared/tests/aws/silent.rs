//! A service that takes what it is sent and never answers: calls end before a function's time does. Needs no server.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use shared::{
    adapters::{
        aws::OPERATION_TIMEOUT, metadata::dynamodb::DynamoItems, objects::s3::S3Objects,
        signer::kms::KmsKeys, tasks::sqs::SqsTasks,
    },
    domain::upload::ObjectKey,
    ports::{
        items::{CommitError, Expect, Items, ItemsUnavailable, Key, Query, Write},
        objects::{ObjectError, Objects},
        signer::Keys,
        tasks::{Task, Tasks},
    },
};
use tokio::net::TcpListener;

use super::servers::config;

/// A server that takes every connection and says nothing on it.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            taken.push(connection);
        }
    });
    url
}

/// What a call ends with, in the time that a call may take.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let ended = call.await;
    let took = started.elapsed();
    assert!(took < OPERATION_TIMEOUT + Duration::from_millis(500), "it took {took:?}");
    ended
}

#[tokio::test]
async fn records_that_nobody_answers_about_are_given_up_in_time_and_called_silent() {
    let records = DynamoItems::new(&config(&silence().await), "t");
    let key = Key::new("p", "s");
    let query =
        Query { partition: "p".into(), prefix: String::new(), after: None, limit: 1, descending: false };
    let write = Write::Put { key: key.clone(), body: "{}".into(), expect: Expect::Absent, expires_at: None };
    let (one, keys) = ([key.clone()], [key, Key::new("p", "t")]);
    let (one, several, listed, written) = tokio::join!(
        in_time(records.get(&one)),
        in_time(records.get(&keys)),
        in_time(records.query(&query)),
        in_time(records.commit(vec![write])),
    );
    assert!(matches!(one, Err(ItemsUnavailable::Silent(_))), "{one:?}");
    assert!(matches!(several, Err(ItemsUnavailable::Silent(_))), "{several:?}");
    assert!(matches!(listed, Err(ItemsUnavailable::Silent(_))), "{listed:?}");
    assert!(matches!(written, Err(CommitError::Unavailable(ItemsUnavailable::Silent(_)))), "{written:?}");
}

#[tokio::test]
async fn records_to_which_no_connection_can_be_made_are_called_silent() {
    let records = DynamoItems::new(&config("http://127.0.0.1:1"), "t");
    let unreached = in_time(records.get(&[Key::new("p", "s")])).await;
    assert!(matches!(unreached, Err(ItemsUnavailable::Silent(_))), "{unreached:?}");
}

#[tokio::test]
async fn keys_objects_and_queues_that_do_not_answer_are_given_up_in_time() {
    let config = config(&silence().await);
    let keys = KmsKeys::new(config.clone(), "alias/signing".into());
    let credentials = config.credentials_provider().unwrap();
    let objects = S3Objects::open(&config, "bucket", credentials, true);
    let tasks = SqsTasks::new(&config, "http://127.0.0.1/queue");
    let key = ObjectKey::Staging("upl_01jd9xqfhem4t8r0c5b7n3k1fz".parse().unwrap());
    let (opened, looked, told) =
        tokio::join!(in_time(keys.open()), in_time(objects.stat(&key)), in_time(tasks.start(&Task::Sweep)));
    assert!(opened.is_err() && told.is_err());
    assert!(matches!(looked, Err(ObjectError::Unavailable(_))), "{looked:?}");
}
