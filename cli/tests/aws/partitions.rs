//! Which table each function may ask, and which partitions of it it may write: those of the records that its use cases
//! change.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    app::{keys, pending},
    ports::items::Key,
};

use crate::{
    recorder::Call,
    roles::matches,
    served::serve_all,
    template::{FUNCTIONS, Template, list},
};

/// What uses cases about artifacts write; an audit entry goes with each change, and `deployment` has the head of what is
/// withheld.
const ARTIFACTS: [&str; 6] = ["artifact#*", "artifacts", "audit", "deployment", "sha256#*", "unavailable"];
const UPLOADS: [&str; 2] = ["open_uploads", "uploads"];
/// A release that is published, or becomes so once its artifacts are proved.
const RELEASES: [&str; 5] = ["catalogue#*", "pending_releases", "product#*", "products", "releases"];

/// The table of records that was restored in place of the stack's own.
pub(crate) const RESTORED: &str =
    "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${TableName}";

/// The partitions that each function writes or has its writes depend on.
fn written() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let of = |lists: &[&[&'static str]]| lists.iter().flat_map(|list| list.iter().copied()).collect();
    [
        ("register", of(&[&ARTIFACTS, &["verifying", "idempotency#*"]])),
        ("initiate", of(&[&UPLOADS, &["audit", "idempotency#*"]])),
        ("complete", of(&[&UPLOADS, &ARTIFACTS])),
        // The first process publishes the keyset, later ones renew it.
        ("decide", of(&[&["audit", "keysets"]])),
        ("download", BTreeSet::new()),
        (
            "manage",
            of(&[
                &ARTIFACTS,
                &RELEASES,
                &["verifying", "tenants", "tokens", "idempotency#*", "gc", "keysets", "signed_keysets"],
            ]),
        ),
        // The first token is made by hand.
        ("verify", of(&[&ARTIFACTS, &UPLOADS, &RELEASES, &["verifying", "watching", "gc", "tokens"]])),
    ]
    .into()
}

/// What a role allows to be written, statement by statement.
fn allowed(function: &str) -> Vec<BTreeSet<String>> {
    let writes = ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"];
    let writing = |action: &String| writes.iter().any(|write| *action == format!("dynamodb:{write}"));
    let statements = Template::read().statements(function).into_iter();
    let statements = statements.filter(|statement| statement.actions.iter().any(writing));
    statements
        .map(|statement| {
            let condition = statement.condition.as_object().unwrap();
            // A request without keys would hold for all values of none.
            assert_eq!(condition["Null"]["dynamodb:LeadingKeys"], "false", "{}", statement.sid);
            let operators: Vec<&String> = condition.keys().filter(|key| *key != "Null").collect();
            assert_eq!(operators.len(), 1, "{}", statement.sid);
            assert!(operators[0].starts_with("ForAllValues:String"), "{}", statement.sid);
            list(&condition[operators[0]]["dynamodb:LeadingKeys"]).into_iter().collect()
        })
        .collect()
}

#[test]
fn a_function_may_write_the_partitions_of_its_use_cases_and_no_others() {
    let written = written();
    for function in FUNCTIONS {
        let allowed: BTreeSet<String> = allowed(function).into_iter().flatten().collect();
        let allowed: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
        assert_eq!(allowed, written[function], "left: what {function} may write, right: what it writes");
    }
}

#[test]
fn keysets_and_tokens_are_written_apart_from_everything_else() {
    for function in FUNCTIONS {
        for listed in allowed(function) {
            let keyset = listed.iter().any(|key| key.ends_with("keysets"));
            assert!(!keyset || listed.len() <= 3, "{function}: {listed:?}");
            let tokens = listed.contains("tokens");
            assert!(!tokens || function == "manage" || listed.len() == 3, "{function}: {listed:?}");
        }
    }
    for statement in
        Template::read().statements("manage").into_iter().chain(Template::read().statements("decide"))
    {
        let deletes = statement.actions.iter().any(|action| action == "dynamodb:DeleteItem");
        assert!(!deletes || !statement.condition.to_string().contains("keysets"), "{}", statement.sid);
    }
}

/// Whether one statement allows all of a transaction, however IAM looks at it.
fn in_one_statement(function: &str, partitions: &BTreeSet<&String>) -> bool {
    let covers = |listed: &BTreeSet<String>| {
        partitions.iter().all(|partition| listed.iter().any(|pattern| matches(pattern, partition)))
    };
    allowed(function).iter().any(covers)
}

#[tokio::test]
async fn what_functions_were_seen_to_write_is_in_the_lists() {
    for function in FUNCTIONS.into_iter().filter(|function| *function != "verify") {
        let written = &written()[function];
        let calls: BTreeSet<Call> = serve_all(function).await;
        let reads = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"];
        let writes =
            calls.iter().filter(|(action, _)| action.starts_with("dynamodb:") && !reads.contains(action));
        for (action, partition) in writes {
            let listed = written.iter().any(|pattern| matches(pattern, partition));
            assert!(listed, "{function} asked for {action} on {partition}");
            assert!(in_one_statement(function, &[partition].into()), "{function}, {action}, {partition}");
        }
    }
}

#[test]
fn every_partition_of_the_table_is_written_by_somebody() {
    let artifact = "art_01jd9xq6r6m4t8r0c5b7n3k1fz".parse().unwrap();
    let product = "editor".parse().unwrap();
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse().unwrap();
    let upload = "upl_01jd9xqfhem4t8r0c5b7n3k1fz".parse().unwrap();
    let release = "rel_01jd9xq7qem4t8r0c5b7n3k1fz".parse().unwrap();
    let token = "tok_01jd9xq2v6m4t8r0c5b7n3k1fz".parse().unwrap();
    let all: [Key; 20] = [
        keys::artifact(artifact),
        keys::artifact_use(artifact, release),
        keys::watching(artifact, 1),
        keys::managed_bytes(&digest),
        keys::upload(upload),
        keys::open_upload(upload, 1),
        keys::verifying(artifact),
        keys::product(&product),
        keys::product_release(&product, release),
        keys::release(release),
        keys::catalogue_page(&product, 1),
        keys::tenant(&"acme".parse().unwrap()),
        keys::deployment(),
        keys::unavailable(artifact),
        keys::token(token),
        keys::event("evt_01jd9xq2v6m4t8r0c5b7n3k1fz".parse().unwrap()),
        keys::idempotency(token, "POST", "/v1/products", "a"),
        keys::gc(),
        keys::keyset(1),
        keys::signed_keyset(1),
    ];
    let written: BTreeSet<&str> = written().into_values().flatten().collect();
    let partitions = all.iter().map(|key| key.partition.as_str()).chain([pending::PENDING]);
    let mut patterns = written.clone();
    for partition in partitions {
        let pattern = written.iter().find(|pattern| matches(pattern, partition));
        patterns.remove(pattern.unwrap_or_else(|| panic!("nobody writes {partition}")));
    }
    assert!(patterns.is_empty(), "no record is in {patterns:?}");
}

#[test]
fn the_records_are_those_of_one_table_whether_the_stack_made_it_or_it_was_restored() {
    let template = Template::read();
    for function in FUNCTIONS {
        for statement in template.statements(function) {
            let records = statement.actions.iter().any(|action| action.starts_with("dynamodb:"));
            assert_eq!(
                records,
                statement.resources == ["HasTableName", RESTORED, "Table.Arn"],
                "{statement:?}"
            );
        }
    }
    assert_eq!(template.parameter("TableName")["Default"], "");
    let chosen = serde_json::json!(["HasTableName", "TableName", "Table"]);
    assert_eq!(template.everywhere("BP_METADATA__DYNAMODB__TABLE"), &chosen);
    assert_eq!(template.properties("Monitoring")["Parameters"]["TableName"], chosen);
}
