//! Reading query strings: every parameter known, each once.

use std::collections::BTreeMap;

use super::{cursor, error::ApiError, text};
use crate::app::context::Caller;

/// The parameters of a request.
#[derive(Debug, Default)]
pub struct Parameters {
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// Reads the raw query; `known` are the names that the route has.
    ///
    /// # Errors
    /// 400 for a name that is not known or comes twice.
    pub fn read(raw: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let message =
                    format!("the parameter `{name}` is not known here; known are: {}", known.join(", "));
                return Err(ApiError::bad_request(message));
            }
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(ApiError::bad_request(format!("the parameter `{name}` comes twice")));
            }
        }
        Ok(Self { values })
    }

    /// A parameter's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A parameter as a value.
    ///
    /// # Errors
    /// 422 naming the parameter and the rule.
    pub fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        text::read_option(name, self.get(name))
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// 400 where it is not, 422 where it is not acceptable.
    pub fn need<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, ApiError> {
        self.parse(name)?.ok_or_else(|| ApiError::bad_request(format!("the parameter `{name}` is needed")))
    }

    /// The `limit` of a list: 1 to 100, 50 by default.
    ///
    /// # Errors
    /// 400 where it is no number, 422 beyond the range.
    pub fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.get("limit") else { return Ok(50) };
        let limit: i64 = text.parse().map_err(|_| ApiError::bad_request("`limit` is to be a number"))?;
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
        limit.ok_or_else(|| ApiError::invalid("limit", "1 to 100 are allowed"))
    }

    /// What a cursor of this list is tied to: the list and its filters.
    pub fn scope(&self, list: &str) -> String {
        let filters = self.values.iter().filter(|(name, _)| !matches!(name.as_str(), "limit" | "cursor"));
        filters.fold(list.to_owned(), |scope, (name, value)| format!("{scope}\n{name}={value}"))
    }

    /// The sort key that the request's cursor goes on from.
    ///
    /// # Errors
    /// 422 for a cursor of another token or query.
    pub fn after(&self, caller: &Caller, list: &str) -> Result<Option<String>, ApiError> {
        self.get("cursor")
            .filter(|cursor| !cursor.is_empty())
            .map(|cursor| cursor::read(caller, &self.scope(list), cursor))
            .transpose()
    }

    /// The cursor that goes on from a sort key.
    pub fn next(&self, caller: &Caller, list: &str, sort: Option<String>) -> Option<String> {
        sort.map(|sort| cursor::write(caller, &self.scope(list), &sort))
    }
}
