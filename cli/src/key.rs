//! `bp key`: the keys that sign decisions.

use std::path::{Path, PathBuf};

mod draft;

use clap::{Subcommand, ValueEnum};
use decision::jwk::{Alg, PublicKey};
use serde_json::{Map, Value};
use shared::{adapters::signer::local::LocalSigner, ports::signer::Signer as _};

use crate::api::Call;
use crate::context::{Context, put, read_text};
use crate::failure::{Failure, with_sources};
use crate::table;

/// What can be done with the keys that sign decisions.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys: which one signs, and until when clients take each.
    List,
    /// Have clients know a key before it signs.
    Add {
        /// The key itself, for a service with keys in files: PKCS#8 in PEM, made where there is none. Only its public
        /// half is sent.
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "public_key",
            conflicts_with = "public_key"
        )]
        key_file: Option<PathBuf>,
        /// The kind of key that is made.
        #[arg(long, value_enum, default_value = "es256", requires = "key_file")]
        algorithm: Algorithm,
        /// The public half alone, for a key in a KMS: DER, as `aws kms get-public-key` gives it.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        /// From when on clients take it (RFC 3339); without this at once.
        #[arg(long, value_name = "TIME")]
        not_before: Option<String>,
        /// Until when clients take it (RFC 3339), which stands; without this five years, put off while it signs.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// A product that it may sign for; may be repeated; without this all.
        #[arg(long = "product", value_name = "PRODUCT")]
        products: Vec<String>,
        /// Write it into this keyset, which root keys are to sign, and ask nobody.
        #[arg(long, value_name = "KEYSET")]
        into: Option<PathBuf>,
    },
    /// Have a key sign from now on; the service must have it configured, and clients must know it.
    Promote {
        /// The key id.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Even where the service that is asked does not have the key: it answers no decision from then on.
        #[arg(long)]
        force: bool,
    },
    /// Have clients forget a key once the last decision that it signed has ended.
    Retire {
        /// The key id.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Write it into this keyset, which root keys are to sign, and ask nobody.
        #[arg(long, value_name = "KEYSET")]
        into: Option<PathBuf>,
        /// Until when clients take it, in that keyset (RFC 3339); without this a week.
        #[arg(long, value_name = "TIME", requires = "into")]
        expires_at: Option<String>,
    },
    /// Have clients believe nothing that a key has signed or signs; the next epoch begins.
    Revoke {
        /// The key id.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Write it into this keyset, which root keys are to sign, and ask nobody.
        #[arg(long, value_name = "KEYSET")]
        into: Option<PathBuf>,
    },
    /// Begin the next epoch, and change nothing else: clients count `seq` anew, as after records were restored.
    RaiseEpoch {
        /// Write it into this keyset, which root keys are to sign, and ask nobody.
        #[arg(long, value_name = "KEYSET")]
        into: Option<PathBuf>,
    },
    /// Write the keyset to a file, as clients pin it.
    Export {
        /// The new file.
        file: PathBuf,
        /// As a beginning of the next version, for root keys to sign.
        #[arg(long)]
        next: bool,
    },
    /// Publish a keyset that root keys have signed.
    Publish {
        /// `N.keyset`, as `bp root sign` makes it.
        file: PathBuf,
        /// Even where the key that signs could not go on under it: there is no decision until another one is promoted.
        #[arg(long)]
        force: bool,
    },
}

/// A kind of key.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Algorithm {
    /// P-256.
    Es256,
    /// Ed25519.
    Eddsa,
}

const COLUMNS: &[(&str, &str)] = &[
    ("KID", "kid"),
    ("ALG", "alg"),
    ("SIGNS", "active"),
    ("FROM", "nbf"),
    ("UNTIL", "exp"),
    ("PRODUCTS", "products"),
    ("REVOKED", "revoked"),
];

/// Runs the command.
pub(crate) async fn run(context: &Context, command: KeyCommand) -> Result<(), Failure> {
    let change = |kid: &str, verb: &str| Call::post_nothing(&["v1", "keys", kid, verb]);
    match command {
        KeyCommand::List => shown(context, Call::get(&["v1", "keys"])).await,
        KeyCommand::Add { key_file, algorithm, public_key, not_before, expires_at, products, into } => {
            let key = match (&key_file, &public_key) {
                (Some(file), _) => local(file, algorithm)?,
                (None, Some(file)) => remote(file)?,
                (None, None) => return Err(Failure::usage("name --key-file or --public-key")),
            };
            context.out.note(&format!("the key is `{}`", key.thumbprint()));
            if let Some(file) = into {
                let times = [not_before.as_deref(), expires_at.as_deref()];
                return draft::add(context, &file, key, times, products);
            }
            let mut body = Map::new();
            let jwk =
                serde_json::to_value(key.to_jwk()).map_err(|error| Failure::usage(error.to_string()))?;
            put(&mut body, "jwk", Some(jwk));
            put(&mut body, "not_before", not_before);
            put(&mut body, "expires_at", expires_at);
            put(&mut body, "products", Some(products).filter(|products| !products.is_empty()));
            shown(context, Call::post(&["v1", "keys"], Value::Object(body))).await
        }
        KeyCommand::Promote { kid, force } => {
            let call = change(&kid, "promote").repeatable().query("force", force.then_some("true"));
            shown(context, call).await
        }
        KeyCommand::Retire { kid, into: Some(file), expires_at } => {
            draft::retire(context, &file, &kid, expires_at.as_deref())
        }
        KeyCommand::Retire { kid, into: None, .. } => shown(context, change(&kid, "retire")).await,
        KeyCommand::Revoke { kid, into: Some(file) } => draft::revoke(context, &file, &kid),
        KeyCommand::Revoke { kid, into: None } => shown(context, change(&kid, "revoke")).await,
        KeyCommand::RaiseEpoch { into: Some(file) } => draft::raise_epoch(context, &file),
        KeyCommand::RaiseEpoch { into: None } => {
            shown(context, Call::post_nothing(&["v1", "keys", "raise-epoch"])).await
        }
        KeyCommand::Export { file, next } => export(context, &file, next).await,
        KeyCommand::Publish { file, force } => publish(context, &file, force).await,
    }
}

async fn shown(context: &Context, call: Call) -> Result<(), Failure> {
    let answer = context.api.json(call).await?;
    for warning in
        answer.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        context.out.note(&format!("warning: {warning}"));
    }
    context.out.show(&answer, |answer| {
        let mut head = answer.clone();
        let keys = head.as_object_mut().and_then(|head| head.remove("keys")).unwrap_or_default();
        let keys = keys.as_array().cloned().unwrap_or_default();
        let head = table::object(&head, &["version", "epoch", "signed"]);
        format!("{head}\n\n{}", crate::context::rows_as_table(&keys, COLUMNS))
    })
}

/// The public half of a key in a file, which is made where there is none.
fn local(file: &Path, algorithm: Algorithm) -> Result<PublicKey, Failure> {
    let alg = match algorithm {
        Algorithm::Es256 => Alg::Es256,
        Algorithm::Eddsa => Alg::EdDsa,
    };
    let signer = LocalSigner::open(file, Some(alg));
    signer.map(|signer| *signer.public_key()).map_err(|error| Failure::usage(with_sources(&error)))
}

fn remote(file: &Path) -> Result<PublicKey, Failure> {
    let der = std::fs::read(file).map_err(Failure::file(file))?;
    PublicKey::from_spki_der(&der)
        .map_err(|error| Failure::usage(format!("`{}`: {}", file.display(), with_sources(&error))))
}

async fn export(context: &Context, file: &Path, next: bool) -> Result<(), Failure> {
    let reply = context.api.send(Call::get(&["v1", "keyset"])).await?;
    std::fs::write(file, &reply.body).map_err(Failure::file(file))?;
    if next {
        draft::begin(file)?;
    }
    context.out.note(&format!("the keyset is in `{}`", file.display()));
    Ok(())
}

async fn publish(context: &Context, file: &Path, force: bool) -> Result<(), Failure> {
    let text = read_text(file)?;
    let trusted = decision::root::TrustedKeyset::pin(text.as_bytes())
        .map_err(|error| Failure::usage(format!("`{}`: {}", file.display(), with_sources(&error))))?;
    let name = format!("{}.keyset", trusted.keyset().version);
    let call = Call::put_text(&["v1", "keyset", &name], text).query("force", force.then_some("true"));
    shown(context, call).await
}
