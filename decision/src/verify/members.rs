//! Members of a strictly read object, by name and type.

use super::refusal::shown;
use crate::json::{Object, Value};

/// A member is missing, of the wrong type or not expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {found}, expected {expected}")]
pub struct MemberError {
    /// The member's name, with the names of the objects around it.
    pub name: String,
    /// What was found.
    pub found: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

/// The members of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members<'a> {
    object: &'a Object,
    /// The name of the object and a dot, or nothing for the outermost.
    within: &'static str,
}

impl<'a> Members<'a> {
    pub(super) const fn of(object: &'a Object) -> Self {
        Self { object, within: "" }
    }

    /// Refuses members other than those named.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), MemberError> {
        match self.object.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, value)) => Err(self.error(&shown(name), value.kind(), "no such member")),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, MemberError> {
        self.text_if(name)?.ok_or_else(|| self.error(name, "missing", "a string"))
    }

    pub(super) fn text_if(&self, name: &str) -> Result<Option<&'a str>, MemberError> {
        self.typed(
            name,
            "a string",
            |value| if let Value::String(text) = value { Some(text.as_str()) } else { None },
        )
    }

    pub(super) fn integer(&self, name: &str) -> Result<i64, MemberError> {
        let integer = self.typed(name, "an integer", |value| {
            if let Value::Integer(number) = value { Some(*number) } else { None }
        })?;
        integer.ok_or_else(|| self.error(name, "missing", "an integer"))
    }

    pub(super) fn flag_if(&self, name: &str) -> Result<Option<bool>, MemberError> {
        self.typed(name, "a boolean", |value| if let Value::Bool(flag) = value { Some(*flag) } else { None })
    }

    pub(super) fn object(&self, name: &'static str) -> Result<&'a Object, MemberError> {
        let object = self.typed(name, "an object", |value| {
            if let Value::Object(object) = value { Some(object) } else { None }
        })?;
        object.ok_or_else(|| self.error(name, "missing", "an object"))
    }

    pub(super) fn members_if(
        &self,
        name: &'static str,
        within: &'static str,
    ) -> Result<Option<Self>, MemberError> {
        let object = if self.has(name) { Some(self.object(name)?) } else { None };
        Ok(object.map(|object| Self { object, within }))
    }

    /// An array of strings; empty where the member is absent.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, MemberError> {
        let text =
            |value: &'a Value| if let Value::String(text) = value { Some(text.as_str()) } else { None };
        let texts = self.typed(name, "an array of strings", |value| match value {
            Value::Array(items) => items.iter().map(text).collect::<Option<Vec<_>>>(),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::String(_) | Value::Object(_) => None,
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// The member as `read` takes it, nothing where it is absent. `null` is there, and of the wrong type.
    fn typed<T>(
        &self,
        name: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MemberError> {
        match self.object.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(name, value.kind(), expected)),
        }
    }

    fn error(&self, name: &str, found: &'static str, expected: &'static str) -> MemberError {
        MemberError { name: format!("{}{name}", self.within), found, expected }
    }
}
