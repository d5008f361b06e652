//! Making the table.

use std::{error::Error, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
        TimeToLiveSpecification,
    },
};

use super::row::{EXPIRES_AT, PARTITION, SORT};

const MAX_LOOKS: u32 = 120;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// The table could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the table `{table}` cannot be made")]
pub struct TableError {
    table: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

fn definition(request: CreateTableFluentBuilder) -> Result<CreateTableFluentBuilder, BuildError> {
    let mut request = request.billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [(PARTITION, KeyType::Hash), (SORT, KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        request = request
            .attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build()?)
            .key_schema(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?);
    }
    Ok(request)
}

async fn try_create(client: &Client, table: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    definition(client.create_table().table_name(table))?.send().await?;
    let mut looks = 0;
    loop {
        let found = client.describe_table().table_name(table).send().await?;
        let status = found.table().and_then(|table| table.table_status());
        if status == Some(&TableStatus::Active) {
            break;
        }
        looks += 1;
        if looks == MAX_LOOKS {
            return Err("it did not become active".into());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let clean_up = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build()?;
    client.update_time_to_live().table_name(table).time_to_live_specification(clean_up).send().await?;
    Ok(())
}

pub(super) async fn create(client: &Client, table: &str) -> Result<(), TableError> {
    try_create(client, table).await.map_err(|source| TableError { table: table.into(), source })
}
