//! What is asked of AWS for a secret, and what is made of the answers. `tests/aws/secrets.rs` asks a stand-in for AWS.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde_json::{Value, json};
use shared::{
    adapters::fetcher::https::{AwsAccess, AwsSecrets},
    config::Config,
    domain::secret::{Secret, SecretReference},
    ports::secrets::{SecretUnreadable, Secrets},
    wiring::embedded,
};

use crate::{
    server::{Identity, Server, Step},
    world::{NOW, answer, document, header, redirect, status},
};

const ARN: &str = "secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:releases-AbCdEf";

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

async fn read(server: &Server, reference: &str) -> Result<Secret, SecretUnreadable> {
    let access = AwsAccess {
        region: "eu-west-1".into(),
        access_key_id: ID.into(),
        secret_access_key: Secret::new(SECRET.into()),
        session_token: Some(Secret::new("a-session".into())),
        endpoint: Some(format!("http://{}", server.address)),
        ca_pem: None,
    };
    let secrets = AwsSecrets::new(access).unwrap();
    assert!(!format!("{secrets:?}").contains("wJalr") && !format!("{secrets:?}").contains("a-session"));
    secrets.read(&SecretReference::parse(reference).unwrap(), NOW).await
}

async fn answering(steps: Vec<Step>) -> Server {
    Server::start(Identity::Plain, move |_| steps.clone()).await
}

/// The `Authorization` that Amazon's own signer gives to a request, of which this is said.
fn amazons(server: &Server, head: &str, body: &str, service: &str, region: &str) -> String {
    let identity = Credentials::new(ID, SECRET, Some("a-session".into()), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params =
        v4::SigningParams::builder().identity(&identity).region(region).name(service).settings(settings);
    let params = params.time(UNIX_EPOCH + Duration::from_millis(NOW.unsigned_abs())).build().unwrap().into();
    let host = server.address.to_string();
    let covered = ["content-type", "x-amz-target"].map(|name| (name, header(head, name).unwrap()));
    let headers = covered.into_iter().chain([("host", host.as_str())]);
    let url = format!("http://{host}/");
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body.as_bytes())).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let signed = instructions.headers().find(|(name, _)| *name == "authorization").unwrap();
    signed.1.to_owned()
}

#[tokio::test]
async fn each_store_is_asked_once_signed_for_its_service_and_region() {
    let secret = document(&json!({ "Name": "releases", "SecretString": "s3cret\n" }));
    let parameter = document(&json!({ "Parameter": { "Type": "SecureString", "Value": "s3cret" } }));
    for (reference, steps, target, question, (service, region)) in [
        (
            ARN,
            secret,
            "secretsmanager.GetSecretValue",
            json!({ "SecretId": ARN.strip_prefix("secretsmanager:").unwrap() }),
            ("secretsmanager", "eu-central-1"),
        ),
        (
            "ssm:/big-picture/releases",
            parameter,
            "AmazonSSM.GetParameter",
            json!({ "Name": "/big-picture/releases", "WithDecryption": true }),
            ("ssm", "eu-west-1"),
        ),
    ] {
        let server = answering(steps).await;
        assert_eq!(read(&server, reference).await.unwrap().reveal(), "s3cret");
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(head, "x-amz-target"), Some(target));
        assert_eq!(header(head, "content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!(header(head, "x-amz-security-token"), Some("a-session"));
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), question);
        let signed = header(head, "authorization").unwrap();
        assert!(
            signed.contains(
                "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target"
            )
        );
        assert_eq!(signed, amazons(&server, head, body, service, region), "as Amazon's own signer has it");
        assert!(!requests[0].contains("wJalr"));
    }
}

#[tokio::test]
async fn a_refusal_is_told_by_its_name_and_nothing_else_of_the_answer() {
    let refused = |line: &str, body: &str| {
        answer(&format!("HTTP/1.1 {line}\nContent-Length: {}", body.len()), body.as_bytes())
    };
    let denied =
        r#"{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::1:role/x is not authorized"}"#;
    let long = r#"{"__type":"com.amazonaws.ssm#ParameterNotFound","message":"s3cret"}"#;
    for (steps, reason) in [
        (refused("400 Bad Request", denied), "AccessDeniedException (status 400)"),
        (refused("400 Bad Request", long), "ParameterNotFound (status 400)"),
        (refused("400 Bad Request", r#"{"__type":"<b>s3cret</b>"}"#), "status 400"),
        (refused("500 Internal Server Error", "s3cret"), "status 500"),
        (redirect("http://169.254.169.254/"), "status 302"),
        (status("200 OK"), "the answer cannot be used: the repository's document is none"),
        (document(&json!({ "SecretBinary": "czNjcmV0" })), "it has no text"),
        (document(&json!({ "SecretString": 7 })), "it has no text"),
    ] {
        let error = read(&answering(steps).await, ARN).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{ARN}` cannot be read: {reason}"));
    }
}

/// The whole service over a store of secrets that answers so.
async fn start(server: &Server, kind: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "secrets: {{ endpoint: 'http://{}' }}\nrepositories:\n- {{ name: releases, type: {kind}, url_prefix: \
         'https://pub.test/releases', credentials: '{ARN}' }}\n",
        server.address
    );
    let aws = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let aws = aws.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(&text, &aws, folder.path()).unwrap();
    let started = embedded(&config, "http://127.0.0.1:1", folder.path()).await;
    started.map(|_| ()).map_err(|error| {
        let mut said = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            said = format!("{said}: {cause}");
            source = cause.source();
        }
        said
    })
}

#[tokio::test]
async fn at_the_start_of_one_machine_what_is_kept_is_read_and_what_is_wrong_with_it_is_said() {
    let kept = |text: &str| document(&json!({ "SecretString": text }));
    let server = answering(kept("AKIDEXAMPLE:s3cret")).await;
    assert_eq!(start(&server, "s3").await, Ok(()));
    assert_eq!(server.requests().len(), 1);
    let unreadable = start(&answering(status("500 Internal Server Error")).await, "s3").await.unwrap_err();
    let named = "the repository `releases` cannot be used";
    assert_eq!(unreadable, format!("{named}: `{ARN}` cannot be read: status 500"));
    let wrong = start(&answering(kept("s3cret")).await, "s3").await.unwrap_err();
    assert!(wrong.starts_with(named) && !wrong.contains("s3cret"), "{wrong}");
    let gone = Server::start(Identity::Plain, |_| vec![Step::Abort]).await;
    assert!(start(&gone, "github").await.unwrap_err().contains(ARN));
}
