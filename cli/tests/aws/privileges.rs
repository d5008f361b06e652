//! Least privilege: what a role allows is exactly what its function's code can ask for. The calls are read from the
//! sources; the tables say what each needs, and a call that they do not know fails here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    partitions::RESTORED,
    path, repositories,
    served::serve_all,
    template::{FUNCTIONS, Template},
    text,
};

/// The adapters that speak to AWS: the service, the feature that brings it, and where the adapter is.
const ADAPTERS: [(&str, &str, &[&str]); 4] = [
    ("dynamodb", "dynamodb", &["metadata/dynamodb.rs", "metadata/dynamodb"]),
    ("s3", "s3", &["objects/s3.rs", "objects/s3"]),
    ("kms", "kms", &["signer/kms.rs"]),
    ("sqs", "sqs", &["tasks/sqs.rs"]),
];

/// What each call of an SDK needs: transactions have no actions of their own.
const CALLS: [(&str, &str, &[&str]); 25] = [
    ("dynamodb", "get_item", &["GetItem"]),
    ("dynamodb", "transact_get_items", &["GetItem"]),
    ("dynamodb", "batch_get_item", &["BatchGetItem"]),
    ("dynamodb", "query", &["Query"]),
    ("dynamodb", "transact_write_items", &["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"]),
    // The stack makes the table; these three are for tests.
    ("dynamodb", "create_table", &[]),
    ("dynamodb", "describe_table", &[]),
    ("dynamodb", "update_time_to_live", &[]),
    // Without ListBucket, S3 answers 403 instead of 404 for what is not there.
    ("s3", "head_object", &["GetObject", "ListBucket"]),
    ("s3", "copy_object", &["GetObject", "GetObjectVersion", "PutObject"]),
    // Signed, for whoever has the URL: with the permissions of who signs.
    ("s3", "put_object", &["PutObject"]),
    ("s3", "get_object", &["GetObject", "GetObjectVersion"]),
    ("s3", "delete_object", &["DeleteObject"]),
    ("s3", "list_objects_v2", &["ListBucket"]),
    ("s3", "list_multipart_uploads", &["ListBucketMultipartUploads"]),
    // Whoever asks for the versions of a key deletes them.
    ("s3", "list_object_versions", &["ListBucketVersions", "DeleteObjectVersion"]),
    // An upload in parts is an object in the making.
    ("s3", "create_multipart_upload", &["PutObject"]),
    ("s3", "upload_part", &["PutObject"]),
    ("s3", "list_parts", &["ListMultipartUploadParts"]),
    ("s3", "complete_multipart_upload", &["PutObject"]),
    ("s3", "abort_multipart_upload", &["AbortMultipartUpload"]),
    // At the start of `bp serve` alone, over stores that may have no versions.
    ("s3", "get_bucket_versioning", &[]),
    ("kms", "get_public_key", &["GetPublicKey"]),
    ("kms", "sign", &["Sign"]),
    ("sqs", "send_message", &["SendMessage"]),
];

/// What a function needs besides what it asks for: Lambda asks in its name.
const BY_LAMBDA: [(&str, &[&str]); 2] = [
    ("logs", &["CreateLogStream", "PutLogEvents"]),
    ("sqs", &["ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility"]),
];

/// Which functions make which calls of the object store, the signer and the queue: what their use cases ask of the port.
const ASKED: [(&str, &[&str]); 16] = [
    // Proofs: `app::complete`, for who waits and for who does not.
    ("head_object", &["complete", "verify"]),
    ("copy_object", &["complete", "verify"]),
    ("put_object", &["initiate"]),
    // Verify reads what came in parts. Of all else S3 has a digest, so that complete reads nothing.
    ("get_object", &["download", "verify"]),
    ("create_multipart_upload", &["initiate", "verify"]),
    // Verify writes the copies that are kept of external artifacts.
    ("upload_part", &["initiate", "verify"]),
    ("list_parts", &["complete", "verify"]),
    ("complete_multipart_upload", &["verify"]),
    ("abort_multipart_upload", &["initiate", "verify"]),
    // What ended uploads and deleted artifacts leave.
    ("delete_object", &["initiate", "complete", "manage", "verify"]),
    // Cleaning up: manage shows what would go, verify removes it.
    ("list_objects_v2", &["manage", "verify"]),
    ("list_multipart_uploads", &["manage", "verify"]),
    ("list_object_versions", &["verify"]),
    ("get_public_key", &["decide"]),
    ("sign", &["decide"]),
    ("send_message", &["register", "complete", "manage", "verify"]),
];

/// Where records are asked for in another way than one by one, or changed in another way than put on a condition: the
/// words, the action, the file under `shared/src/app` and how often, and the functions that get there.
const PLACES: [(&str, &str, &str, usize, &[&str]); 53] = [
    ("batch.delete(", "DeleteItem", "artifacts.rs", 4, &["manage"]),
    ("batch.delete(", "DeleteItem", "external.rs", 1, &["verify"]),
    // A refusal gives its idempotency key back.
    ("batch.delete(", "DeleteItem", "idempotency.rs", 1, &["register", "initiate", "manage"]),
    ("batch.delete(", "DeleteItem", "gc/uploads.rs", 1, &["verify"]),
    ("batch.check(", "ConditionCheckItem", "gc/uploads.rs", 1, &["verify"]),
    ("store.query", "Query", "gc.rs", 1, &["manage", "verify"]),
    ("store.query", "Query", "gc/artifacts.rs", 1, &["manage", "verify"]),
    ("store.get_", "BatchGetItem", "gc/objects.rs", 1, &["manage", "verify"]),
    ("batch.delete(", "DeleteItem", "hosts.rs", 1, &["verify"]),
    ("batch.delete(", "DeleteItem", "pending.rs", 2, &["verify"]),
    ("batch.delete(", "DeleteItem", "revoke.rs", 1, &["manage"]),
    ("batch.delete(", "DeleteItem", "sentinel.rs", 3, &["verify"]),
    ("batch.delete(", "DeleteItem", "sweep.rs", 1, &["verify"]),
    ("batch.delete(", "DeleteItem", "tokens.rs", 1, &["manage"]),
    ("batch.delete(", "DeleteItem", "unavailable.rs", 1, &["manage", "verify"]),
    // The same bytes once more, by a token of another product.
    ("Expect::Anything)", "UpdateItem", "access.rs", 1, &["register", "complete", "verify"]),
    ("Expect::Anything)", "UpdateItem", "artifacts.rs", 2, &["manage"]),
    // A copy that was removed is made again.
    ("Expect::Anything)", "UpdateItem", "register.rs", 1, &["register"]),
    ("batch.check(", "ConditionCheckItem", "artifacts.rs", 1, &["manage", "verify"]),
    ("batch.check(", "ConditionCheckItem", "complete.rs", 2, &["complete", "verify"]),
    // A renewal does not undo a promotion; a promotion is of the newest version.
    ("batch.check(", "ConditionCheckItem", "keyset.rs", 2, &["decide", "manage"]),
    ("batch.check(", "ConditionCheckItem", "keyset/changes.rs", 1, &["manage"]),
    ("batch.check(", "ConditionCheckItem", "keyset/signed.rs", 1, &["manage"]),
    ("batch.check(", "ConditionCheckItem", "pending.rs", 1, &["verify"]),
    ("batch.check(", "ConditionCheckItem", "register.rs", 1, &["register"]),
    ("batch.check(", "ConditionCheckItem", "releases.rs", 1, &["manage"]),
    ("batch.check(", "ConditionCheckItem", "revoke.rs", 1, &["manage"]),
    // Whether a token that is limited to a product sees an artifact.
    ("store.query", "Query", "access.rs", 1, &["register", "download", "manage"]),
    ("store.query", "Query", "artifacts.rs", 5, &["manage"]),
    ("store.query", "Query", "audit.rs", 1, &["manage"]),
    ("store.query", "Query", "catalogue/pages.rs", 1, &["decide"]),
    ("store.query", "Query", "external.rs", 2, &["verify"]),
    ("store.query", "Query", "keyset.rs", 1, &["decide", "manage"]),
    ("store.query", "Query", "policies.rs", 1, &["manage"]),
    ("store.query", "Query", "products.rs", 1, &["manage"]),
    ("store.query", "Query", "release_list.rs", 2, &["manage"]),
    ("store.query", "Query", "sentinel.rs", 1, &["verify"]),
    ("store.query", "Query", "sentinel/look.rs", 1, &["verify"]),
    ("store.query", "Query", "sweep.rs", 2, &["verify"]),
    // When the sweep is to look at an upload, which may be written twice.
    ("Expect::Anything)", "UpdateItem", "sweep.rs", 1, &["verify"]),
    ("Expect::Anything)", "UpdateItem", "uploads.rs", 1, &["complete", "verify"]),
    ("store.query", "Query", "tokens.rs", 2, &["manage", "verify"]),
    ("store.query", "Query", "unavailable.rs", 1, &["decide"]),
    ("store.get_", "BatchGetItem", "catalogue/known.rs", 1, &["decide"]),
    ("store.get_", "BatchGetItem", "catalogue/pages.rs", 1, &["decide"]),
    ("store.get_", "BatchGetItem", "external.rs", 2, &["verify"]),
    ("store.get_", "BatchGetItem", "pending.rs", 1, &["verify"]),
    ("store.get_", "BatchGetItem", "register.rs", 1, &["register", "initiate", "complete", "verify"]),
    ("store.get_", "BatchGetItem", "revoke.rs", 1, &["manage"]),
    ("store.get_", "BatchGetItem", "sentinel/look.rs", 2, &["verify"]),
    // One key each.
    ("store.get_", "GetItem", "access.rs", 1, &["register", "download", "manage"]),
    ("store.get_", "GetItem", "tokens.rs", 1, &["verify"]),
    ("batch.delete(", "DeleteItem", "external/conclude.rs", 2, &["verify"]),
];

fn adapters(relative: &str) -> std::path::PathBuf {
    path("shared/src/adapters").join(relative)
}

/// The Rust files at a path, or under it.
pub(crate) fn rust_files(at: &Path) -> Vec<std::path::PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.flat_map(|entry| rust_files(&entry)).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// The code of a file as one line, without comments and unit tests.
pub(crate) fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::trim).collect()
}

/// The words that follow this one in the code, up to a bracket or another sign.
fn words_after<'a>(code: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    code.split(start)
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
}

#[test]
fn every_call_of_an_sdk_is_known_and_every_known_call_is_made() {
    for (service, _, places) in ADAPTERS {
        let files = places.iter().flat_map(|place| rust_files(&adapters(place)));
        let code: Vec<String> = files.map(|file| code(&file)).collect();
        let made: BTreeSet<&str> = code.iter().flat_map(|code| words_after(code, "client.")).collect();
        let known = CALLS.iter().filter(|(of, ..)| *of == service).map(|(_, call, _)| *call).collect();
        assert_eq!(made, known, "calls of {service}");
        let named: BTreeSet<&str> = code.iter().flat_map(|code| words_after(code, "operation::")).collect();
        let unknown: Vec<_> = named.difference(&known).filter(|word| !word.is_empty()).collect();
        assert!(unknown.is_empty(), "operations of {service} that are named and not called: {unknown:?}");
    }
}

#[test]
fn nothing_but_the_adapters_has_a_client() {
    let own: Vec<_> =
        ADAPTERS.iter().flat_map(|(_, _, places)| *places).map(|place| adapters(place)).collect();
    for folder in ["shared/src", "functions", "cli/src"] {
        for file in rust_files(&path(folder)) {
            let theirs = own.iter().any(|place| file.starts_with(place));
            assert!(theirs || !code(&file).contains("aws_sdk_"), "{} names an SDK", file.display());
        }
    }
}

#[test]
fn every_place_that_asks_for_more_than_an_item_is_known() {
    let app = path("shared/src/app");
    for words in PLACES.iter().map(|(words, ..)| *words).collect::<BTreeSet<_>>() {
        let mut found = BTreeMap::new();
        for file in rust_files(&app) {
            let text = code(&file);
            // A delete on no condition is a delete.
            let deletes = text.split("batch.delete(").skip(1).filter_map(|rest| rest.split(';').next());
            let deletes = deletes.filter(|call| call.contains(words)).count();
            let count = text.matches(words).count() - deletes;
            if count > 0 {
                let name = file.strip_prefix(&app).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, count);
            }
        }
        let of_these = PLACES.iter().filter(|(of, ..)| *of == words);
        let known: BTreeMap<String, usize> =
            of_these.map(|(_, _, file, count, _)| ((*file).to_owned(), *count)).collect();
        assert_eq!(found, known, "`{words}`: say which functions get there");
    }
}

/// The features that a function's program turns on in `shared`.
pub(crate) fn features(function: &str) -> BTreeSet<String> {
    let manifest = text(&format!("functions/{function}/Cargo.toml"));
    let line = manifest.lines().find(|line| line.starts_with("lambda = [")).unwrap();
    let mut features: BTreeSet<String> = words_after(line, "\"shared/").map(str::to_owned).collect();
    if features.remove("lambda") {
        // Hosting a router has the records with it.
        features.insert("dynamodb".into());
    }
    features
}

/// What a function needs, by the tables.
fn needed(function: &str) -> BTreeSet<String> {
    let features = features(function);
    let mut needed: BTreeSet<String> = BTreeSet::new();
    for (service, call, actions) in CALLS {
        let asked = ASKED.iter().any(|(of, by)| *of == call && by.contains(&function));
        if !asked || service == "dynamodb" {
            continue;
        }
        assert!(features.contains(service), "{function} asks {service}, which it is built without");
        needed.extend(actions.iter().map(|action| format!("{service}:{action}")));
    }
    assert!(features.contains("dynamodb"), "{function} has no records");
    needed.insert("dynamodb:GetItem".into());
    if function != "download" {
        needed.insert("dynamodb:PutItem".into());
    }
    let places = PLACES.iter().filter(|(.., by)| by.contains(&function));
    needed.extend(places.map(|(_, action, ..)| format!("dynamodb:{action}")));
    needed.extend(repositories::needed(function));
    for (service, actions) in BY_LAMBDA {
        if service == "logs" || function == "verify" {
            needed.extend(actions.iter().map(|action| format!("{service}:{action}")));
        }
    }
    needed
}

#[test]
fn a_role_allows_what_its_function_needs_and_nothing_else() {
    let template = Template::read();
    for function in FUNCTIONS {
        let allowed: BTreeSet<String> =
            template.statements(function).into_iter().flat_map(|statement| statement.actions).collect();
        assert_eq!(allowed, needed(function), "left: what {function} may do, right: what it needs");
    }
}

#[tokio::test]
async fn what_functions_were_seen_to_ask_for_is_in_the_tables_and_allowed() {
    let template = Template::read();
    for function in FUNCTIONS.into_iter().filter(|function| *function != "verify") {
        let calls = serve_all(function).await;
        let needed = needed(function);
        let unforeseen: Vec<_> = calls.iter().filter(|(action, _)| !needed.contains(*action)).collect();
        assert!(unforeseen.is_empty(), "{function}: {unforeseen:?}");
        crate::roles::allows(&template, function, &calls, "the documents");
    }
}

#[test]
fn a_function_is_built_with_the_services_that_it_asks_alone() {
    for function in FUNCTIONS {
        let needed = needed(function);
        for (service, feature, _) in ADAPTERS {
            let asks = needed.iter().any(|action| action.starts_with(&format!("{service}:")));
            assert_eq!(features(function).contains(feature), asks, "{function} and {service}");
        }
    }
}

#[test]
fn no_action_is_a_pattern_and_no_resource_is_everything() {
    let template = Template::read();
    for function in FUNCTIONS {
        for statement in template.statements(function) {
            assert!(statement.actions.iter().all(|action| !action.contains('*')), "{statement:?}");
            let own = [
                "Table.Arn",
                RESTORED,
                "HasTableName",
                "SigningKey.Arn",
                "WorkQueue.Arn",
                "WorkDeadLetterQueue.Arn",
                "Bucket.Arn",
                "SigningKeyArn",
                "NextSigningKeyArn",
                "RepositorySecretArns",
                "RepositoryParameterArns",
                "CdnPrivateKeySecretArn",
            ];
            let logs = format!("{}Logs.Arn", function[..1].to_ascii_uppercase() + &function[1..]);
            for resource in &statement.resources {
                let objects =
                    ["staging/", "objects/", "deployment/"].map(|prefix| format!("${{Bucket.Arn}}/{prefix}"));
                let named = own.contains(&resource.as_str()) || *resource == logs;
                assert!(named || objects.iter().any(|prefix| resource.starts_with(prefix)), "{statement:?}");
            }
        }
    }
}

#[test]
fn the_verifier_alone_deletes_versions() {
    let template = Template::read();
    for function in FUNCTIONS {
        for statement in template.statements(function) {
            let has = statement.actions.iter().any(|action| action == "s3:DeleteObjectVersion");
            assert!(!has || function == "verify", "{function}: {}", statement.sid);
        }
    }
}

#[test]
fn the_key_signs_for_decide_alone_and_one_kind_of_message_alone() {
    let template = Template::read();
    let policy = template.properties("SigningKey")["KeyPolicy"]["Statement"].as_array().unwrap().clone();
    let signing = |statement: &&serde_json::Value| statement["Action"].to_string().contains("kms:Sign");
    let in_policy: Vec<_> = policy.iter().filter(signing).collect();
    assert_eq!(in_policy.len(), 1, "{in_policy:?}");
    assert_eq!(in_policy[0]["Principal"]["AWS"], "DecideRole.Arn");
    let mut keys_that_sign = Vec::new();
    let mut conditions = vec![in_policy[0]["Condition"].clone()];
    for function in FUNCTIONS {
        for statement in template.statements(function) {
            if statement.actions.iter().any(|action| action == "kms:Sign") {
                assert_eq!(function, "decide");
                keys_that_sign.extend(statement.resources);
                conditions.push(statement.condition);
            }
        }
    }
    keys_that_sign.sort();
    assert_eq!(keys_that_sign, ["NextSigningKeyArn", "SigningKey.Arn", "SigningKeyArn"]);
    assert_eq!(conditions.len(), 4, "by the key's policy and by the role's");
    for condition in conditions {
        let keys: Vec<&String> = condition["StringEquals"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["kms:MessageType", "kms:SigningAlgorithm"]);
    }
}

#[test]
fn the_verifier_is_called_by_its_queue_and_its_schedule() {
    let template = Template::read();
    let verify = template.function("verify");
    assert_eq!(verify["Events"]["Work"]["Properties"]["Queue"], "WorkQueue.Arn");
    assert_eq!(verify["Events"]["Work"]["Properties"]["FunctionResponseTypes"][0], "ReportBatchItemFailures");
    assert_eq!(verify["Events"]["Sweep"]["Type"], "Schedule");
    assert_eq!(
        verify["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"],
        "WorkDeadLetterQueue.Arn"
    );
    for statement in template.statements("verify") {
        let takes = statement.actions.iter().any(|action| action == "sqs:ReceiveMessage");
        assert!(!takes || statement.resources == ["WorkQueue.Arn"], "{statement:?}");
    }
    // Every other function is invoked by the API alone.
    let permissions = template.of_type("AWS::Lambda::Permission");
    assert_eq!(permissions.len(), FUNCTIONS.len() - 1);
    for (name, permission) in permissions {
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com", "{name}");
        assert!(permission["SourceArn"].as_str().unwrap().ends_with(":${Api}/*"), "{name}");
    }
}
