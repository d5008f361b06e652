//! What is asked of a server that stands in for DynamoDB.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    client::Waiters,
    operation::{
        put_item::builders::PutItemFluentBuilder, query::builders::QueryFluentBuilder,
        transact_write_items::TransactWriteItemsError, update_item::builders::UpdateItemFluentBuilder,
    },
    types::{
        AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, KeySchemaElement, KeyType, Put,
        ScalarAttributeType, TransactWriteItem, Update,
    },
};

use super::{INVALID, refusal};
use crate::servers::{config, fresh_name, named_by};

const FAILED: &str = "ConditionalCheckFailedException";
const CANCELLED: &str = "TransactionCanceledException";
const ABSENT: &str = "attribute_not_exists(pk)";
const PRESENT: &str = "attribute_exists(pk)";
const ADD_ONE: &str = "SET n = n + :one";
/// 400 KB, the most that an item may have, in the names and the values of its attributes.
const MAX_ITEM_BYTES: usize = 400 * 1024;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u32) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn key(sort: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), text("p")), ("sk".to_owned(), text(sort))])
}

fn item(sort: &str, n: u32) -> HashMap<String, AttributeValue> {
    let mut item = key(sort);
    item.insert("n".to_owned(), number(n));
    item
}

/// An item of so many bytes.
fn sized(sort: &str, size: usize) -> HashMap<String, AttributeValue> {
    let mut item = key(sort);
    let rest = size - "pk".len() - "p".len() - "sk".len() - sort.len() - "body".len();
    item.insert("body".to_owned(), text(&"x".repeat(rest)));
    item
}

/// A table of its own, whose items have the keys `pk` and `sk` and a number `n`.
#[derive(Clone)]
struct Table {
    client: Client,
    name: String,
}

impl Table {
    async fn new() -> Self {
        let table = Self { client: Client::new(&config(&named_by("BP_TEST_DYNAMODB"))), name: fresh_name() };
        let mut create = table.client.create_table().table_name(&table.name);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
            let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
            create = create.attribute_definitions(attribute).key_schema(element);
        }
        create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
        let exists = table.client.wait_until_table_exists().table_name(&table.name);
        exists.wait(Duration::from_secs(30)).await.unwrap();
        table
    }

    fn put(&self, item: HashMap<String, AttributeValue>) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.name).set_item(Some(item))
    }

    fn add_one(&self, sort: &str) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.name).set_key(Some(key(sort)));
        update.update_expression(ADD_ONE).expression_attribute_values(":one", number(1))
    }

    fn everything(&self) -> QueryFluentBuilder {
        let query = self.client.query().table_name(&self.name).consistent_read(true);
        query.key_condition_expression("pk = :pk").expression_attribute_values(":pk", text("p"))
    }

    fn query(&self, prefix: &str) -> QueryFluentBuilder {
        let query = self.everything().key_condition_expression("pk = :pk AND begins_with(sk, :prefix)");
        query.expression_attribute_values(":prefix", text(prefix))
    }

    /// The `n` of an item, if there is such an item.
    async fn number(&self, sort: &str) -> Option<u32> {
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key(sort)));
        let item = get.consistent_read(true).send().await.unwrap().item?;
        Some(item["n"].as_n().unwrap().parse().unwrap())
    }

    /// The sort keys that a query answers with, in the order of its answer.
    async fn sorts(&self, query: QueryFluentBuilder) -> Vec<String> {
        let items = query.send().await.unwrap().items.unwrap_or_default();
        items.into_iter().map(|item| item["sk"].as_s().unwrap().clone()).collect()
    }

    fn to_put(&self, item: HashMap<String, AttributeValue>, condition: Option<&str>) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.name).set_item(Some(item));
        let put = put.set_condition_expression(condition.map(str::to_owned)).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    }

    fn to_check(&self, sort: &str, condition: &str) -> TransactWriteItem {
        let check = ConditionCheck::builder().table_name(&self.name).set_key(Some(key(sort)));
        let check = check.condition_expression(condition).build().unwrap();
        TransactWriteItem::builder().condition_check(check).build()
    }

    /// One more for an item, if it is what was seen, where something was.
    fn to_add_one(&self, sort: &str, seen: Option<u32>) -> TransactWriteItem {
        let mut add = Update::builder().table_name(&self.name).set_key(Some(key(sort)));
        if let Some(seen) = seen {
            add = add.condition_expression("n = :seen").expression_attribute_values(":seen", number(seen));
        }
        let add = add.update_expression(ADD_ONE).expression_attribute_values(":one", number(1));
        TransactWriteItem::builder().update(add.build().unwrap()).build()
    }

    async fn transact(&self, writes: Vec<TransactWriteItem>, token: &str) -> Result<(), Refused> {
        let request = self.client.transact_write_items().set_transact_items(Some(writes));
        match request.client_request_token(token).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let reasons = match error.as_service_error() {
                    Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                        let reasons = cancelled.cancellation_reasons().iter();
                        reasons.map(|reason| reason.code().unwrap_or("None").to_owned()).collect()
                    }
                    _ => Vec::new(),
                };
                Err(Refused { code: refusal::<(), _>(Err(error)), reasons })
            }
        }
    }
}

/// Why a transaction was refused: by which code, and why which of its writes.
#[derive(Debug)]
struct Refused {
    code: String,
    reasons: Vec<String>,
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_failed_condition_refuses_and_changes_nothing() {
    let table = Table::new().await;
    table.put(item("a", 1)).condition_expression(ABSENT).send().await.unwrap();
    let put = table.put(item("a", 7)).condition_expression(ABSENT).send().await;
    assert_eq!(refusal(put), FAILED);
    let add = table.add_one("a").condition_expression("n = :seen");
    assert_eq!(refusal(add.expression_attribute_values(":seen", number(2)).send().await), FAILED);
    let delete = table.client.delete_item().table_name(&table.name).set_key(Some(key("a")));
    let delete = delete.condition_expression("n = :seen").expression_attribute_values(":seen", number(2));
    assert_eq!(refusal(delete.send().await), FAILED);
    assert_eq!(table.number("a").await, Some(1));
    let put = table.put(item("b", 7)).condition_expression(PRESENT).send().await;
    assert_eq!(refusal(put), FAILED);
    assert_eq!(table.number("b").await, None);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_transaction_with_one_failed_condition_changes_nothing_and_says_which() {
    let table = Table::new().await;
    table.put(item("there", 1)).send().await.unwrap();
    for first in 0..4 {
        let mut writes = vec![
            table.to_put(item("a", 7), Some(ABSENT)),
            table.to_add_one("there", Some(1)),
            table.to_put(item("b", 7), None),
            table.to_check("missing", PRESENT),
        ];
        let mut reasons = ["None", "None", "None", "ConditionalCheckFailed"];
        writes.rotate_left(first);
        reasons.rotate_left(first);
        let refused = table.transact(writes, &fresh_name()).await.unwrap_err();
        assert_eq!(refused.code, CANCELLED);
        assert_eq!(refused.reasons, reasons);
        for (sort, n) in [("a", None), ("there", Some(1)), ("b", None), ("missing", None)] {
            assert_eq!(table.number(sort).await, n, "{sort}");
        }
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_token_is_done_once_and_holds_for_one_content() {
    let table = Table::new().await;
    table.put(item("a", 0)).send().await.unwrap();
    let (token, other) = (fresh_name(), fresh_name());
    for _ in 0..3 {
        table.transact(vec![table.to_add_one("a", None)], &token).await.unwrap();
    }
    assert_eq!(table.number("a").await, Some(1));
    let refused = table.transact(vec![table.to_put(item("a", 7), None)], &token).await.unwrap_err();
    assert_eq!(refused.code, "IdempotentParameterMismatchException");
    assert_eq!(table.number("a").await, Some(1));
    table.transact(vec![table.to_add_one("a", None)], &other).await.unwrap();
    assert_eq!(table.number("a").await, Some(2));
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_transaction_has_at_most_a_hundred_writes() {
    let table = Table::new().await;
    let writes = |count: u32| (0..count).map(|n| table.to_put(item(&n.to_string(), n), None)).collect();
    assert_eq!(table.transact(writes(101), &fresh_name()).await.unwrap_err().code, INVALID);
    assert_eq!(table.sorts(table.everything()).await, [""; 0]);
    table.transact(writes(100), &fresh_name()).await.unwrap();
    assert_eq!(table.sorts(table.everything()).await.len(), 100);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_transaction_that_writes_one_item_twice_is_refused() {
    let table = Table::new().await;
    table.put(item("there", 1)).send().await.unwrap();
    for again in [table.to_put(item("there", 7), None), table.to_add_one("there", None)] {
        let writes = vec![table.to_put(item("there", 8), None), table.to_put(item("b", 1), None), again];
        let refused = table.transact(writes, &fresh_name()).await.unwrap_err();
        assert_eq!(refused.code, INVALID, "{refused:?}");
        assert_eq!((table.number("there").await, table.number("b").await), (Some(1), None));
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_transaction_that_checks_an_item_and_writes_it_is_refused() {
    let table = Table::new().await;
    table.put(item("there", 1)).send().await.unwrap();
    let writes = vec![table.to_add_one("there", None), table.to_check("there", PRESENT)];
    let refused = table.transact(writes, &fresh_name()).await.unwrap_err();
    assert_eq!(refused.code, INVALID, "{refused:?}");
    assert_eq!(table.number("there").await, Some(1));
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn an_item_above_400_kilobytes_is_refused() {
    let table = Table::new().await;
    table.put(sized("full", MAX_ITEM_BYTES)).send().await.unwrap();
    assert_eq!(refusal(table.put(sized("larger", MAX_ITEM_BYTES + 1)).send().await), INVALID);
    let update = table.client.update_item().table_name(&table.name).set_key(Some(key("full")));
    let update = update.update_expression("SET n = :n").expression_attribute_values(":n", number(1));
    assert_eq!(refusal(update.send().await), INVALID);
    let writes =
        vec![table.to_put(item("a", 1), None), table.to_put(sized("larger", MAX_ITEM_BYTES + 1), None)];
    let refused = table.transact(writes, &fresh_name()).await.unwrap_err();
    assert!([INVALID, CANCELLED].contains(&refused.code.as_str()), "{refused:?}");
    assert_eq!(table.sorts(table.everything()).await, ["full"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_consistent_read_sees_what_was_written_just_before() {
    let table = Table::new().await;
    for n in 0..50 {
        table.put(item("a", n)).send().await.unwrap();
        assert_eq!(table.number("a").await, Some(n));
        let sort = format!("b#{n:02}");
        table.transact(vec![table.to_put(item(&sort, n), None)], &fresh_name()).await.unwrap();
        assert_eq!(table.sorts(table.query("b#").scan_index_forward(false).limit(1)).await, [sort]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn sixteen_tasks_that_add_under_a_condition_lose_no_update() {
    let table = Table::new().await;
    table.put(item("a", 0)).send().await.unwrap();
    let tasks: Vec<_> = (0..16).map(|task| tokio::spawn(add_four(table.clone(), task % 2 == 0))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(table.number("a").await, Some(64));
}

/// Adds one to `a` four times, each time if nobody else has meanwhile.
async fn add_four(table: Table, in_transactions: bool) {
    let mut added = 0;
    while added < 4 {
        let seen = table.number("a").await.unwrap();
        let refused = if in_transactions {
            let writes = vec![table.to_add_one("a", Some(seen)), table.to_check("b", ABSENT)];
            table.transact(writes, &fresh_name()).await.err().map(|refused| refused.code)
        } else {
            let add = table.add_one("a").condition_expression("n = :seen");
            let answer = add.expression_attribute_values(":seen", number(seen)).send().await;
            answer.is_err().then(|| refusal(answer))
        };
        match refused.as_deref() {
            None => added += 1,
            Some(FAILED | CANCELLED | "TransactionConflictException") => {}
            Some(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_query_orders_by_bytes_and_finds_by_prefix() {
    let table = Table::new().await;
    // In the order of their bytes; as UTF-16 the last two would be the other way round.
    let wanted = ["a#", "a#1", "a#10", "a#2", "a#Z", "a#a", "a#aa", "a#\u{e9}", "a#\u{fffd}", "a#\u{1f600}"];
    let others = ["A#1", "a", "a\"1", "a$1", "b#1"];
    for sort in wanted.iter().rev().chain(&others) {
        table.put(item(sort, 1)).send().await.unwrap();
    }
    assert_eq!(table.sorts(table.query("a#")).await, wanted);
    let mut backwards = wanted;
    backwards.reverse();
    assert_eq!(table.sorts(table.query("a#").scan_index_forward(false)).await, backwards);
    assert_eq!(table.sorts(table.query("c")).await, [""; 0]);
    let page = table.query("a#").limit(3).send().await.unwrap();
    assert_eq!(page.last_evaluated_key, Some(key("a#10")));
    let rest = table.query("a#").set_exclusive_start_key(page.last_evaluated_key);
    assert_eq!(table.sorts(rest).await, wanted[3..]);
}
