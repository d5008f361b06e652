//! A strict JSON reader for what comes from outside and is about to be believed.
//!
//! UTF-8 without a byte order mark, one object and nothing after it, no member twice at any level (compared after
//! unescaping), no floats (`1.0`, `1e2` and `-0` included), integers within ±(2^53-1), at most [`MAX_DEPTH`] objects
//! and arrays inside each other. Two readers can then hardly disagree on what a document says.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::MAX_INTEGER;

/// How many objects and arrays may be inside each other; the outermost object is the first.
pub const MAX_DEPTH: u8 = 8;

/// An object: each member once.
pub type Object = BTreeMap<String, Value>;

/// A JSON value without floats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer within ±(2^53-1).
    Integer(i64),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// What kind of value it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Why bytes are no strict JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The bytes begin with a byte order mark.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// The text breaks a rule of the reader; the text says which and where.
    #[error("not strict JSON: {0}")]
    Refused(String),
    /// The outermost value is no object.
    #[error("{0} where an object was expected")]
    NotAnObject(&'static str),
}

#[cfg(test)]
thread_local! {
    /// Everything that this thread has had read, for the tests of what is read when.
    pub(crate) static READ: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Reads one strict JSON object.
///
/// # Errors
/// [`JsonError`] where the bytes break one of the rules of this module.
pub fn parse_object(bytes: &[u8]) -> Result<Object, JsonError> {
    #[cfg(test)]
    READ.with_borrow_mut(|read| read.push(bytes.to_owned()));
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let refused = |error: serde_json::Error| JsonError::Refused(error.to_string());
    let value = Strict { room: MAX_DEPTH }.deserialize(&mut reader).map_err(refused)?;
    reader.end().map_err(refused)?;
    match value {
        Value::Object(object) => Ok(object),
        other @ (Value::Null | Value::Bool(_) | Value::Integer(_) | Value::String(_) | Value::Array(_)) => {
            Err(JsonError::NotAnObject(other.kind()))
        }
    }
}

/// Reads one value inside which `room` more objects and arrays may open.
#[derive(Clone, Copy)]
struct Strict {
    room: u8,
}

impl Strict {
    /// Steps into an object or array. Recursion ends here, long before the stack does.
    fn inside<E: Error>(self) -> Result<Self, E> {
        match self.room.checked_sub(1) {
            Some(room) => Ok(Self { room }),
            None => Err(E::custom(format_args!("more than {MAX_DEPTH} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value without floats")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::custom("integer beyond 2^53-1")),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= MAX_INTEGER {
            Ok(Value::Integer(value))
        } else {
            Err(E::custom("integer beyond 2^53-1"))
        }
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<Value, E> {
        Err(E::custom("number that is not written as an integer"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member `{}` twice", name.escape_debug())));
            }
            let value = members.next_value_seed(inside)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        parse_object(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_object_is_read() {
        let object = parse_object(br#" {"a":[1,-2,true,null],"b":{"c":"\u00e4\ud83d\ude00"}} "#).unwrap();
        let items = vec![Value::Integer(1), Value::Integer(-2), Value::Bool(true), Value::Null];
        let inner = Object::from([("c".to_owned(), Value::String("ä😀".to_owned()))]);
        assert_eq!(object["a"], Value::Array(items));
        assert_eq!(object["b"], Value::Object(inner));
    }

    #[test]
    fn a_member_twice_is_refused_at_every_level_and_however_it_is_spelled() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"seq":1,"s\u0065q":1}"#,
        ] {
            assert!(refusal(text).contains("twice"), "{text}");
        }
    }

    #[test]
    fn floats_are_refused_however_whole_they_are() {
        for number in ["1.0", "1e2", "1E2", "1.5", "-0", "-0.0", "1e400", "0e0"] {
            parse_object(format!(r#"{{"a":{number}}}"#).as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn integers_end_at_two_to_the_53_minus_one_on_both_sides() {
        for number in ["9007199254740991", "-9007199254740991", "0"] {
            parse_object(format!(r#"{{"a":{number}}}"#).as_bytes()).unwrap();
        }
        for number in [
            "9007199254740992",
            "-9007199254740992",
            "9223372036854775808",
            "99999999999999999999999",
            "-9223372036854775808",
        ] {
            parse_object(format!(r#"{{"a":{number}}}"#).as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn eight_levels_are_the_most() {
        let nested = |arrays: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(arrays), "]".repeat(arrays));
        parse_object(nested(7).as_bytes()).unwrap();
        assert!(refusal(&nested(8)).contains("more than 8 levels"));
        assert!(refusal(&nested(1_000_000)).contains("more than 8 levels"));
        assert!(refusal(&r#"{"a":"#.repeat(1_000_000)).contains("more than 8 levels"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "{}\0",
            "{'a':1}",
            "{a:1}",
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":1}//"#,
            "{\"a\":\"\n\"}",
            r#"{"a":0x1}"#,
        ] {
            parse_object(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for text in [
            r#"{"a":"\ud83d"}"#,
            r#"{"a":"\ude00"}"#,
            r#"{"a":"\ud83dx"}"#,
            r#"{"\ud83d":1}"#,
            r#"{"a":"\ud83d\ud83d"}"#,
        ] {
            parse_object(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn other_encodings_and_other_values_are_refused() {
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), Err(JsonError::NotUtf8));
        assert_eq!(parse_object("\u{feff}{}".as_bytes()), Err(JsonError::ByteOrderMark));
        assert_eq!(parse_object(b"[]"), Err(JsonError::NotAnObject("an array")));
        assert_eq!(parse_object(b"null"), Err(JsonError::NotAnObject("null")));
        parse_object(b"{\0\"\0a\0\"\0:\0\x31\0}\0").unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&bytes);
        }

        #[test]
        fn no_json_like_text_makes_the_reader_panic(text in "[\\[\\]{}\",:\\\\u0-9a-e.\\- ]{0,80}") {
            let _ = parse_object(text.as_bytes());
        }
    }
}
