//! What AWS does between the services: messages of the queue go to the verifier, and a clock wakes it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::aws::{Aws, REGION, SQS};
use super::gateway::Functions;
use crate::story::text;

/// AWS does it every minute; tests do not wait as long.
const TICK: Duration = Duration::from_secs(5);

/// Hands batches of a queue to the verifier, and deletes what it dealt with.
pub(super) async fn queue(aws: Aws, url: String, arn: String, batch: u64, functions: Arc<Functions>) {
    let asked = json!({"QueueUrl": url, "MaxNumberOfMessages": batch, "WaitTimeSeconds": 2});
    loop {
        let Ok(received) = aws.try_call(SQS, "ReceiveMessage", &asked).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        if !messages.is_empty() {
            let (aws, url, arn, functions) = (aws.clone(), url.clone(), arn.clone(), Arc::clone(&functions));
            tokio::spawn(async move { deliver(&aws, &url, &arn, &messages, &functions).await });
        }
    }
}

async fn deliver(aws: &Aws, url: &str, arn: &str, messages: &[Value], functions: &Functions) {
    let records: Vec<Value> = messages.iter().map(|message| record(message, arn)).collect();
    let failed = match functions["verify"].invoke(&json!({ "Records": records })).await {
        Ok(answer) => failures(&answer),
        Err(error) => {
            eprintln!("the verifier failed a whole batch: {}", error.0);
            return;
        }
    };
    for message in messages.iter().filter(|message| !failed.contains(&text(message, "MessageId").to_owned()))
    {
        let done = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
        if let Err(error) = aws.try_call(SQS, "DeleteMessage", &done).await {
            eprintln!("a message could not be deleted: {error}");
        }
    }
}

fn record(message: &Value, arn: &str) -> Value {
    json!({
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    })
}

fn failures(answer: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(answer).expect("JSON");
    let failed = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
    failed.iter().map(|item| text(item, "itemIdentifier").to_owned()).collect()
}

/// Wakes the verifier at intervals.
pub(super) async fn clock(functions: Arc<Functions>) {
    let event = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:000000000000:rule/sweep")],
        "detail": {},
    });
    loop {
        tokio::time::sleep(TICK).await;
        if let Err(error) = functions["verify"].invoke(&event).await {
            eprintln!("the verifier failed a sweep: {}", error.0);
        }
    }
}
