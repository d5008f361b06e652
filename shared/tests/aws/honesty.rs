//! Do the servers refuse what AWS refuses, and compute what AWS computes? Asked of them with the SDK alone, without our
//! adapters. A server that fails here shows nothing about the adapters.

use std::fmt::Debug;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

#[path = "honesty/dynamodb.rs"]
mod dynamodb;
#[path = "honesty/kms.rs"]
mod kms;

/// AWS's word for a request that breaks a rule of its form.
const INVALID: &str = "ValidationException";

/// The code with which a call was refused.
fn refusal<T, E>(answer: Result<T, SdkError<E>>) -> String
where
    E: ProvideErrorMetadata + Debug,
{
    let Err(error) = answer else { panic!("it was taken") };
    let Some(code) = error.code() else { panic!("no refusal: {error:?}") };
    code.to_owned()
}
