//! `bp root`: the keys that sign keysets, for people who keep them offline. It speaks to nobody.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use decision::root::{Draft, Root, RootError, TrustedKeyset, Walk};
use decision::sign::{LocalKey, SignError};
use decision::{Alg, Keyset, pem};
use serde_json::{Value, json};
use shared::adapters::secret_file;

use crate::failure::{Failure, with_sources};
use crate::output::Output;
use crate::token::new_private_file;
use crate::{clock, table};

/// What can be done with the root of trust.
#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Make root keys, one file for each holder, and the description of the root that they are.
    Init {
        /// The folder for `root-1.pem`, … and `root.json`; made where it is missing.
        folder: PathBuf,
        /// How many keys.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32), value_name = "N")]
        keys: u8,
        /// How many of them have to sign.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32), value_name = "M")]
        threshold: u8,
    },
    /// Add one signature to a signed keyset; the first one makes the file.
    Sign(SignArgs),
    /// Trust the first file, and walk through the others as a client does.
    Verify {
        /// `N.keyset`, then the versions after it, in order.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// What is signed, and by whom.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The signed keyset, by custom named after its version: `8.keyset`.
    file: PathBuf,
    /// The root key that signs: PKCS#8 in PEM, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// To make the file: the keyset, as `bp keyset show --json` prints it.
    #[arg(long, value_name = "FILE", requires_all = ["root", "issuer"])]
    keyset: Option<PathBuf>,
    /// To make the file: the description of the root that its clients trust from then on.
    #[arg(long, value_name = "FILE", requires = "keyset")]
    root: Option<PathBuf>,
    /// To make the file: the issuer of the deployment's decisions, which is its base URL.
    #[arg(long, value_name = "URL", requires = "keyset")]
    issuer: Option<String>,
}

/// Runs the command.
pub(crate) fn run(out: Output, command: RootCommand) -> Result<(), Failure> {
    match command {
        RootCommand::Init { folder, keys, threshold } => init(out, &folder, keys, threshold),
        RootCommand::Sign(args) => sign(out, &args),
        RootCommand::Verify { files } => verify(out, &files),
    }
}

fn init(out: Output, folder: &Path, count: u8, threshold: u8) -> Result<(), Failure> {
    if threshold > count {
        return Err(Failure::usage(format!("{threshold} of {count} keys cannot sign")));
    }
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let (mut public, mut files) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let path = folder.join(format!("root-{number}.pem"));
        let der = LocalKey::generate(Alg::EdDsa).map_err(no_key)?;
        let key = LocalKey::from_pkcs8_der(&der).map_err(no_key)?;
        let mut file = new_private_file(&path).map_err(Failure::file(&path))?;
        let written = file.write_all(pem::to_pem(&der).as_bytes()).and_then(|()| file.sync_all());
        written.map_err(Failure::file(&path))?;
        files.push(json!({"file": path.display().to_string(), "kid": key.kid()}));
        public.push(*key.public());
    }
    let root = Root::new(threshold.into(), public).map_err(|error| refused(&error))?;
    let path = folder.join("root.json");
    let text = serde_json::to_string_pretty(&root.to_json())
        .map_err(|error| Failure::NotUnderstood(error.to_string()))?;
    let mut file = fs::File::create_new(&path).map_err(Failure::file(&path))?;
    file.write_all(format!("{text}\n").as_bytes()).map_err(Failure::file(&path))?;
    out.note(
        "give each key to another person, off this machine; whoever has the threshold of them is the root",
    );
    let answer = json!({"root": path.display().to_string(), "threshold": threshold, "keys": files});
    out.show(&answer, |answer| {
        let rows = table::member(answer, "keys").as_array().cloned().unwrap_or_default();
        crate::context::rows_as_table(&rows, &[("FILE", "file"), ("KID", "kid")])
    })
}

fn sign(out: Output, args: &SignArgs) -> Result<(), Failure> {
    let exists = args.file.try_exists().map_err(Failure::file(&args.file))?;
    let draft = match (exists, &args.keyset, &args.root, &args.issuer) {
        (true, None, None, None) => parse(&args.file)?,
        (false, Some(keyset), Some(root), Some(issuer)) => draft(keyset, root, issuer)?,
        (true, ..) => {
            let message =
                "the file is there: it takes signatures, and --keyset, --root, --issuer are for a new one";
            return Err(Failure::usage(message));
        }
        (false, ..) => {
            return Err(Failure::usage("the file is not there: --keyset, --root and --issuer make it"));
        }
    };
    let key = read_key(&args.key)?;
    let signed = draft.signed(&key).map_err(|error| refused(&error))?;
    replace(&args.file, &signed.to_file())?;
    let signers: Vec<&str> = signed.signers().collect();
    let answer = summary(signed.issuer(), signed.keyset(), signed.root(), &args.file, &signers);
    out.show(&answer, |answer| table::object(answer, &["file", "version", "epoch"]))
}

fn draft(keyset: &Path, root: &Path, issuer: &str) -> Result<Draft, Failure> {
    let bytes = fs::read(keyset).map_err(Failure::file(keyset))?;
    let keyset = crate::decisions::keyset(&bytes)?;
    let root = Root::parse(&fs::read(root).map_err(Failure::file(root))?).map_err(|error| refused(&error))?;
    Draft::new(issuer.trim_end_matches('/'), &keyset, &root).map_err(|error| refused(&error))
}

fn parse(path: &Path) -> Result<Draft, Failure> {
    Draft::parse(&fs::read(path).map_err(Failure::file(path))?).map_err(|error| refused(&error))
}

fn read_key(path: &Path) -> Result<LocalKey, Failure> {
    let bytes = secret_file::read(path).map_err(Failure::file(path))?;
    pem::from_pem(&String::from_utf8_lossy(&bytes)).map_err(no_key)
}

/// Writes the file beside and renames it, so that a signature is never lost with half a file.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let aside = path.with_extension("new");
    let written = fs::File::create(&aside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    });
    written.map_err(Failure::file(path))
}

fn verify(out: Output, files: &[PathBuf]) -> Result<(), Failure> {
    let read = |path: &PathBuf| fs::read(path).map_err(Failure::file(path));
    let [first, rest @ ..] = files else { return Err(Failure::usage("no file is named")) };
    let pinned = TrustedKeyset::pin(&read(first)?).map_err(|error| at(first, &error))?;
    let (mut walk, mut last) = (Walk::from(pinned), first);
    for path in rest {
        walk.step(&read(path)?).map_err(|error| at(path, &error))?;
        last = path;
    }
    let trusted = walk.finish(clock::now()).map_err(|error| at(last, &error))?;
    let draft = Draft::parse(trusted.file().as_bytes()).map_err(|error| at(last, &error))?;
    let signers: Vec<&str> = draft.signers().collect();
    let mut answer = summary(trusted.issuer(), trusted.keyset(), trusted.root(), last, &signers);
    if let Value::Object(members) = &mut answer {
        members.insert("trusted".to_owned(), json!(true));
        members.insert("steps".to_owned(), json!(rest.len()));
    }
    out.show(&answer, |answer| table::object(answer, &["file", "trusted", "version", "epoch"]))
}

/// What a holder of a key should look at before and after signing.
fn summary(issuer: &str, keyset: &Keyset, root: &Root, file: &Path, signers: &[&str]) -> Value {
    let kids: Vec<&str> = keyset.keys.iter().map(|key| key.kid.as_str()).collect();
    let revoked: Vec<&str> =
        keyset.keys.iter().filter(|key| key.revoked).map(|key| key.kid.as_str()).collect();
    let root_keys: Vec<String> = root.keys().iter().map(decision::PublicKey::thumbprint).collect();
    json!({
        "file": file.display().to_string(), "issuer": issuer, "version": keyset.version, "epoch": keyset.epoch,
        "expires": keyset.expires, "keys": kids, "revoked": revoked, "threshold": root.threshold(),
        "root_keys": root_keys, "signed_by": signers,
    })
}

fn refused(error: &RootError) -> Failure {
    Failure::negative(error.code(), with_sources(error))
}

fn at(path: &Path, error: &RootError) -> Failure {
    Failure::negative(error.code(), format!("`{}`: {}", path.display(), with_sources(error)))
}

fn no_key(error: SignError) -> Failure {
    Failure::negative("ROOT_KEYS", with_sources(&error))
}
