//! The servers that stand in for AWS, spoken to in AWS's own protocols, as far as a stack is made in them.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::settings;
use crate::story::text;

/// The one region.
pub(super) const REGION: &str = "us-east-1";

/// A service, and the names by which requests tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    scope: &'static str,
    target: &'static str,
    version: &'static str,
}

pub(super) const DYNAMODB: Service =
    Service { scope: "dynamodb", target: "DynamoDB_20120810", version: "1.0" };
pub(super) const KMS: Service = Service { scope: "kms", target: "TrentService", version: "1.1" };
pub(super) const SQS: Service = Service { scope: "sqs", target: "AmazonSQS", version: "1.0" };
pub(super) const EVENTS: Service = Service { scope: "events", target: "AWSEvents", version: "1.1" };

/// Where the servers are.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    client: Client,
    /// Records.
    pub(super) dynamodb: String,
    /// Keys.
    pub(super) kms: String,
    /// Bytes, their events, and queues.
    pub(super) s3: String,
}

impl Aws {
    /// The servers that the environment of the tests names.
    pub(super) fn named(client: Client) -> Self {
        let [dynamodb, kms, s3] =
            ["DYNAMODB", "KMS", "S3"].map(|name| settings::server(&format!("BP_TEST_{name}")));
        Self { client, dynamodb, kms, s3 }
    }

    /// One operation of a service that speaks JSON.
    pub(super) async fn call(&self, service: Service, operation: &str, body: &Value) -> Value {
        self.try_call(service, operation, body).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// As [`Aws::call`], where the server may be gone.
    pub(super) async fn try_call(
        &self,
        service: Service,
        operation: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let endpoint = match service.scope {
            "dynamodb" => &self.dynamodb,
            "kms" => &self.kms,
            _ => &self.s3,
        };
        let Service { scope, target, version } = service;
        let request = self
            .client
            .post(endpoint)
            .header("authorization", signed(scope))
            .header("x-amz-target", format!("{target}.{operation}"))
            .header("content-type", format!("application/x-amz-json-{version}"))
            .timeout(Duration::from_secs(30))
            .body(body.to_string());
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, said) = (answer.status(), answer.text().await.map_err(|error| format!("{error:?}"))?);
        if !status.is_success() {
            return Err(format!("{status}: {said}"));
        }
        Ok(serde_json::from_str(&said).unwrap_or(Value::Null))
    }

    /// A bucket as the template has it: with versions, and its events on `EventBridge`.
    pub(super) async fn bucket(&self, name: &str) {
        let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let events = "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>";
        for (query, body) in [("", ""), ("?versioning", versions), ("?notification", events)] {
            let request = self
                .client
                .request(Method::PUT, format!("{}/{name}{query}", self.s3))
                .header("authorization", signed("s3"))
                .body(body);
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success(), "PUT /{name}{query}: {:?}", answer.text().await);
        }
    }

    /// A queue with these attributes; answers with its URL and its ARN.
    pub(super) async fn queue(&self, name: &str, attributes: Value) -> (String, String) {
        let made = self.call(SQS, "CreateQueue", &json!({"QueueName": name, "Attributes": attributes})).await;
        let url = text(&made, "QueueUrl").to_owned();
        let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
        let seen = self.call(SQS, "GetQueueAttributes", &asked).await;
        (url, text(&seen["Attributes"], "QueueArn").to_owned())
    }

    /// A key of P-256 that signs; answers with its ARN.
    pub(super) async fn signing_key(&self) -> String {
        let asked = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
        text(&self.call(KMS, "CreateKey", &asked).await["KeyMetadata"], "Arn").to_owned()
    }
}

/// A header that names the service; who signs is nothing that these servers ask for of operations like these.
fn signed(scope: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{scope}/aws4_request, SignedHeaders=host, Signature=0"
    )
}
