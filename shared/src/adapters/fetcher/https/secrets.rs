//! Secrets in AWS Secrets Manager and in the parameters of Systems Manager: one signed request each.

use std::sync::Arc;

use async_trait::async_trait;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, timeout};

use super::{
    FetchLimits, SystemNetwork, TlsError,
    body::{Pace, document},
    connect::Road,
    exchange::{Ask, send},
    tls,
};
use crate::{
    adapters::{fetcher::Credentials, v4::Key},
    domain::{
        external_url::{ExternalUrl, UrlRules},
        secret::{Secret, SecretReference},
    },
    ports::secrets::{SecretUnreadable, Secrets},
};

/// How long one reading may take.
const LIMIT: Duration = Duration::from_secs(8);
const MEDIA: &str = "application/x-amz-json-1.1";
const LIMITS: FetchLimits = FetchLimits {
    connect: Duration::from_secs(3),
    silence: Duration::from_secs(5),
    total_base: LIMIT,
    min_rate: 256 * 1024,
    max_redirects: 0,
};

/// Where AWS is and who we are there.
#[derive(Debug, Clone)]
pub struct AwsAccess {
    /// The region of what is named without one.
    pub region: String,
    /// The public half of the credentials.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// What a role's credentials have besides.
    pub session_token: Option<Secret>,
    /// Another server than AWS's own, without a slash at the end.
    pub endpoint: Option<String>,
    /// Certificates (PEM) that are trusted beside the public ones.
    pub ca_pem: Option<Vec<u8>>,
}

/// Reads secrets of AWS.
#[derive(Debug)]
pub struct AwsSecrets {
    access: AwsAccess,
    tls: Arc<ClientConfig>,
}

/// What one store is asked.
struct Question {
    service: &'static str,
    action: &'static str,
    document: Value,
    /// Where the text stands in the answer.
    answer: &'static str,
}

impl Question {
    fn about(reference: &SecretReference) -> Self {
        match reference {
            SecretReference::SecretsManager(id) => Self {
                service: "secretsmanager",
                action: "secretsmanager.GetSecretValue",
                document: json!({ "SecretId": id }),
                answer: "/SecretString",
            },
            SecretReference::Ssm(name) => Self {
                service: "ssm",
                action: "AmazonSSM.GetParameter",
                document: json!({ "Name": name, "WithDecryption": true }),
                answer: "/Parameter/Value",
            },
        }
    }
}

impl AwsSecrets {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// [`TlsError`] where there is no certificate in `ca_pem`.
    pub fn new(access: AwsAccess) -> Result<Self, TlsError> {
        let tls = tls::client(access.ca_pem.as_deref())?;
        Ok(Self { access, tls })
    }

    fn url(&self, service: &str, region: &str) -> Result<ExternalUrl, String> {
        let own = || {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{service}.{region}.amazonaws.com{china}")
        };
        let url = format!("{}/", self.access.endpoint.clone().unwrap_or_else(own));
        ExternalUrl::parse(&url, &UrlRules::widest()).map_err(|error| error.to_string())
    }

    async fn ask(&self, reference: &SecretReference, now: i64) -> Result<Secret, String> {
        let question = Question::about(reference);
        let region = reference.region().unwrap_or(&self.access.region);
        let url = self.url(question.service, region)?;
        let AwsAccess { access_key_id, secret_access_key, session_token, .. } = &self.access;
        let key = Key::Aws {
            id: access_key_id.clone(),
            secret: secret_access_key.clone(),
            session_token: session_token.clone(),
            region: region.to_owned(),
            service: question.service,
        };
        let target = http::HeaderName::from_static("x-amz-target");
        let asked = Ask::post(now, MEDIA, &question.document).with(target, question.action);
        let network = SystemNetwork;
        let road = Road {
            resolver: &network,
            dialer: &network,
            limits: &LIMITS,
            tls: Arc::clone(&self.tls),
            // Endpoints of one's own are in private networks, those of a VPC among them.
            allow_private: true,
        };
        let pace = Pace { limits: &LIMITS, began: Instant::now(), budget: None };
        let answer = send(&road, &url, &asked, Some(&Credentials::signs(key))).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.response.status();
        let said = document(answer, &pace).await;
        if status != http::StatusCode::OK {
            return Err(refusal(status, said.ok().as_ref()));
        }
        let said = said.map_err(|error| error.to_string())?;
        let text = said.pointer(question.answer).and_then(Value::as_str);
        text.map(|text| Secret::new(text.trim_end().to_owned())).ok_or_else(|| "it has no text".to_owned())
    }
}

/// The status, and the name that AWS gives to the error; nothing else of what was answered.
fn refusal(status: http::StatusCode, said: Option<&Value>) -> String {
    let kind = said.and_then(|said| said.get("__type")?.as_str());
    let name = kind.map_or("", |kind| kind.rsplit('#').next().unwrap_or_default());
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return format!("status {}", status.as_u16());
    }
    format!("{name} (status {})", status.as_u16())
}

#[async_trait]
impl Secrets for AwsSecrets {
    async fn read(&self, reference: &SecretReference, now: i64) -> Result<Secret, SecretUnreadable> {
        let answer = timeout(LIMIT, self.ask(reference, now)).await;
        answer
            .unwrap_or_else(|_| Err("the answer took too long".to_owned()))
            .map_err(|reason| SecretUnreadable { reference: reference.clone(), reason })
    }
}
