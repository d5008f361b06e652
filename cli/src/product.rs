//! `bp product`.

use clap::Subcommand;
use serde_json::{Map, Value};

use crate::api::Call;
use crate::context::{Context, Idempotency, Page, put};
use crate::failure::Failure;

/// The members of a product that people look for first.
const FIRST: &[&str] = &["product_id", "name"];

/// What can be done with products.
#[derive(Debug, Subcommand)]
pub(crate) enum ProductCommand {
    /// Create a product.
    Create {
        /// Its id: lower-case letters, digits, `.`, `_` and `-`.
        product: String,
        /// Its name for people.
        #[arg(long)]
        name: Option<String>,
        /// A channel that looks empty without the scope `decisions:restricted`; may be repeated.
        #[arg(long = "restricted-channel", value_name = "CHANNEL")]
        restricted_channels: Vec<String>,
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// List products.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one product.
    Show {
        /// Its id.
        product: String,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ProductCommand) -> Result<(), Failure> {
    match command {
        ProductCommand::Create { product, name, restricted_channels, idempotency } => {
            let mut body = Map::new();
            put(&mut body, "product_id", Some(product));
            put(&mut body, "name", name);
            put(&mut body, "restricted_channels", Some(restricted_channels).filter(|list| !list.is_empty()));
            let call =
                Call::post(&["v1", "products"], Value::Object(body)).idempotency_key(idempotency.key()?);
            context.show(call, FIRST).await
        }
        ProductCommand::List { page } => {
            let columns =
                [("PRODUCT", "product_id"), ("NAME", "name"), ("RESTRICTED", "restricted_channels")];
            context.list(Call::get(&["v1", "products"]), &page, "products", &columns).await
        }
        ProductCommand::Show { product } => {
            context.show(Call::get(&["v1", "products", &product]), FIRST).await
        }
    }
}
