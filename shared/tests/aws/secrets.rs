//! Secrets over a server that keeps them. It does not look at signatures: `tests/fetcher/secrets.rs` compares ours with
//! those of Amazon's own signer.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::{
    adapters::fetcher::{
        Credentials, Kind,
        https::{AwsAccess, AwsSecrets},
    },
    domain::secret::{Secret, SecretReference},
    ports::secrets::{SecretUnreadable, Secrets},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::servers::{fresh_name, named_by};

const SERVER: &str = "BP_TEST_SECRETS";
/// 2026-08-01T12:00:00Z.
const NOW: i64 = 1_785_585_600_000;

fn store() -> AwsSecrets {
    AwsSecrets::new(AwsAccess {
        region: "us-east-1".into(),
        access_key_id: "test".into(),
        secret_access_key: Secret::new("test".into()),
        session_token: None,
        endpoint: Some(named_by(SERVER)),
        ca_pem: None,
    })
    .unwrap()
}

/// Asks the server for something as an operator would.
async fn operate(service: &str, action: &str, document: &Value) -> Value {
    let server = named_by(SERVER);
    let authority = server.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let (target, body) = (format!("{service}.{action}"), document.to_string());
    let scope = service.trim_start_matches("Amazon").to_lowercase();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nX-Amz-Target: {target}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260801/us-east-1/{scope}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200"), "{answer}");
    let document = body.find('{').and_then(|start| body.get(start..=body.rfind('}')?)).unwrap();
    serde_json::from_str(document).unwrap()
}

async fn read(reference: &str) -> Result<String, SecretUnreadable> {
    let reference = SecretReference::parse(reference).unwrap();
    store().read(&reference, NOW).await.map(|secret| secret.reveal().to_owned())
}

/// A parameter that is kept encrypted, by its reference.
async fn parameter(value: &str) -> String {
    let name = format!("/{}", fresh_name());
    let document = json!({ "Name": name, "Value": value, "Type": "SecureString" });
    operate("AmazonSSM", "PutParameter", &document).await;
    format!("ssm:{name}")
}

#[tokio::test]
#[ignore = "needs Secrets Manager and Parameter Store: set BP_TEST_SECRETS to the URL of a server"]
async fn honesty_a_parameter_is_plain_only_for_who_asks_for_that() {
    let reference = parameter("s3cret").await;
    let name = reference.strip_prefix("ssm:").unwrap();
    let plain = operate("AmazonSSM", "GetParameter", &json!({ "Name": name })).await;
    assert_ne!(plain["Parameter"]["Value"], "s3cret", "a server that decrypts unasked proves nothing");
    assert_eq!(read(&reference).await.unwrap(), "s3cret");
}

#[tokio::test]
#[ignore = "needs Secrets Manager and Parameter Store: set BP_TEST_SECRETS to the URL of a server"]
async fn a_secret_is_read_by_its_arn_and_the_current_version_of_it() {
    let name = fresh_name();
    let token = |number: u8| format!("00000000-0000-0000-0000-0000000000{number:02}");
    let document = json!({ "Name": name, "SecretString": "one\n", "ClientRequestToken": token(1) });
    let made = operate("secretsmanager", "CreateSecret", &document).await;
    let reference = format!("secretsmanager:{}", made["ARN"].as_str().unwrap());
    assert_eq!(read(&reference).await.unwrap(), "one");
    let document = json!({ "SecretId": name, "SecretString": "two", "ClientRequestToken": token(2) });
    operate("secretsmanager", "PutSecretValue", &document).await;
    assert_eq!(read(&reference).await.unwrap(), "two");
    operate("secretsmanager", "DeleteSecret", &json!({ "SecretId": name })).await;
    let gone = read(&reference).await.unwrap_err();
    assert_eq!(gone.reason, "InvalidRequestException (status 400)");
}

#[tokio::test]
#[ignore = "needs Secrets Manager and Parameter Store: set BP_TEST_SECRETS to the URL of a server"]
async fn what_is_not_there_is_refused_by_name() {
    let arn = "secretsmanager:arn:aws:secretsmanager:us-east-1:000000000000:secret:nothing-AbCdEf";
    let nothing = format!("ssm:/{}", fresh_name());
    for (reference, reason) in [
        (arn, "ResourceNotFoundException (status 400)"),
        (nothing.as_str(), "ParameterNotFound (status 400)"),
    ] {
        let error = read(reference).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{reference}` cannot be read: {reason}"));
    }
}

#[tokio::test]
#[ignore = "needs Secrets Manager and Parameter Store: set BP_TEST_SECRETS to the URL of a server"]
async fn what_is_kept_opens_a_bucket_where_it_has_the_form_of_an_access_key() {
    for (value, opens) in [("AKIDEXAMPLE:s3cret", true), ("s3cret", false)] {
        let reference = SecretReference::parse(&parameter(value).await).unwrap();
        let credentials = Credentials::kept(Kind::S3, "us-east-1", Arc::new(store()), reference);
        let checked = credentials.check(NOW).await;
        assert_eq!(checked.is_ok(), opens, "{checked:?}");
        assert!(!format!("{checked:?}").contains("s3cret"), "{checked:?}");
    }
}
