//! The service as AWS runs it: the release binaries of the functions under Lambda's runtime interface emulator, behind
//! an HTTP API with the template's routes, over servers that stand in for `DynamoDB`, KMS, S3, SQS and `EventBridge`.
//!
//! Each stack has a table, bucket, key and queue of its own, made as the template says.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use self::aws::{Aws, DYNAMODB, EVENTS, REGION};
use self::emulator::Runner;
use self::gateway::Functions;
use self::template::Template;
use crate::settings;

mod aws;
mod delivery;
mod emulator;
mod environment;
mod events;
mod gateway;
pub(crate) mod kms;
mod routes;
mod template;

/// A running stack; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Stack {
    base: String,
    functions: Arc<Functions>,
    tasks: Vec<AbortHandle>,
}

/// What a stack's functions are told of the resources that were made for it.
struct World {
    aws: Aws,
    table: String,
    bucket: String,
    key: String,
    queue_url: String,
    queue_arn: String,
}

/// Stacks outlive the test that started them, and the runtime of that test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

impl Stack {
    /// Makes the resources and starts to answer; `configuration` is what a YAML file would say.
    ///
    /// The first token is put into `admin.token` of the folder `data`, and what the functions log into `log`.
    pub(crate) fn start(configuration: &str, data: &Path, log: &Path) -> Self {
        let started = async || Self::begin(configuration, data, log).await;
        // The thread that asks may be in a runtime already.
        std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(started())).join().expect("a stack"))
    }

    /// Where it answers.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Ends the functions' processes: the next answers come from cold ones.
    pub(crate) fn cool_down(&self) {
        self.functions.values().for_each(Runner::stop);
    }

    async fn begin(configuration: &str, data: &Path, log: &Path) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().no_proxy().timeout(Duration::from_secs(900)).build().expect("a client");
        let template = Template::read();
        let world = World::make(&template, Aws::named(client.clone())).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));

        let told = environment::of_yaml(configuration);
        let functions = template.functions(&world.known(&base)).into_iter().map(|mut function| {
            function.environment.extend(world.endpoints(&function.environment));
            function.environment.extend(told.clone());
            (function.program.clone(), Runner::new(client.clone(), function, log))
        });
        let functions: Arc<Functions> = Arc::new(functions.collect());

        bootstrap(&functions, data).await;
        let batch =
            template.properties("VerifyFunction")["Events"]["Work"]["Properties"]["BatchSize"].as_u64();
        let World { aws, queue_url, queue_arn, .. } = world;
        let batch = batch.expect("a number");
        let tasks = vec![
            tokio::spawn(gateway::serve(listener, template.routes(), Arc::clone(&functions))).abort_handle(),
            tokio::spawn(delivery::queue(aws, queue_url, queue_arn, batch, Arc::clone(&functions)))
                .abort_handle(),
            tokio::spawn(delivery::clock(Arc::clone(&functions))).abort_handle(),
        ];
        // Whoever has deployed looks at the keyset; the function that decides publishes it when it is first asked.
        let keyset = client.get(format!("{base}/v1/keyset")).send().await.expect("an answer");
        assert_eq!(keyset.status(), 200, "{:?}", keyset.text().await);
        Self { base, functions, tasks }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.functions.values().for_each(Runner::stop);
    }
}

/// Makes the first token as operators do: its text stays in a file, and the verifier learns its hash.
async fn bootstrap(functions: &Functions, data: &Path) {
    fs::create_dir_all(data).expect("a folder");
    let mut command = Command::new(settings::program());
    command.args(["token", "bootstrap", "--write-to"]).arg(data.join("admin.token")).env_clear();
    let made = command.output().expect("an ended bp");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let event: Value = serde_json::from_slice(&made.stdout).expect("an event");
    let answer = functions["verify"].invoke(&event).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "{}", "the first token was not stored");
}

impl World {
    async fn make(template: &Template, aws: Aws) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let wanted = template.properties("Table");
        let mut table = json!({ "TableName": name });
        for member in ["BillingMode", "AttributeDefinitions", "KeySchema"] {
            table[member] = wanted[member].clone();
        }
        aws.call(DYNAMODB, "CreateTable", &table).await;
        aws.bucket(&name).await;
        let key = aws.signing_key().await;
        let visible = &template.properties("WorkQueue")["VisibilityTimeout"];
        let attributes = json!({ "VisibilityTimeout": visible.to_string() });
        let (queue_url, queue_arn) = aws.queue(&name, attributes).await;

        let rule = template.properties("ObjectCreatedRule");
        let mut pattern = rule["EventPattern"].clone();
        pattern["detail"]["bucket"]["name"] = json!([name]);
        let pattern = json!({"Name": name, "EventPattern": pattern.to_string()});
        aws.call(EVENTS, "PutRule", &pattern).await;
        let targets = json!({"Rule": name, "Targets": [{"Id": "work", "Arn": queue_arn}]});
        aws.call(EVENTS, "PutTargets", &targets).await;
        Self { aws, table: name.clone(), bucket: name, key, queue_url, queue_arn }
    }

    /// Values by the words that the template has for them.
    fn known(&self, base: &str) -> HashMap<String, String> {
        let known = [
            ("BP_BASE_URL", base),
            ("Table", &self.table),
            ("Bucket", &self.bucket),
            ("SigningKey.Arn", &self.key),
            ("WorkQueue", &self.queue_url),
            ("AWS::Region", REGION),
        ];
        known.map(|(word, value)| (word.to_owned(), value.to_owned())).into()
    }

    /// What is other than in the template: where the servers are; that every answer is read afresh, since tests ask for
    /// it at once; and how decisions are signed, where the run of the tests names another way.
    fn endpoints(&self, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let servers = [
            ("METADATA__DYNAMODB", &self.aws.dynamodb),
            ("STORAGE__S3", &self.aws.s3),
            ("SIGNING__KMS", &self.aws.kms),
            ("QUEUE__SQS", &self.aws.s3),
        ];
        let named = servers.into_iter().filter(|(section, _)| {
            let section = format!("BP_{section}__");
            environment.keys().any(|name| name.starts_with(&section))
        });
        let mut more: BTreeMap<String, String> =
            named.map(|(section, url)| (format!("BP_{section}__ENDPOINT"), url.clone())).collect();
        let fixed = [
            ("BP_DECISIONS__MAX_AGE_SECONDS", "0"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        more.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if let Some(mode) = settings::signing_mode() {
            more.insert("BP_SIGNING__MODE".to_owned(), mode);
            // Tests ask about versions that nobody has released, more of them than are signed of what can be invented.
            let budget = [("PER_SECOND", "1000"), ("BURST", "10000")];
            more.extend(
                budget.map(|(name, value)| (format!("BP_SIGNING__BUDGET__{name}"), value.to_owned())),
            );
        }
        more
    }
}
