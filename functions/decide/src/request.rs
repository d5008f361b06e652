//! Reading questions: unknown members are ignored (old servers, new clients), camelCase spellings are understood.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use shared::{
    domain::{
        decide::Question,
        names::{Channel, TenantId},
        platform::InstallerType,
    },
    http::{body, error::ApiError, text},
};

const MAX_PRODUCTS: usize = 20;
const MAX_CLIENT_ID: usize = 128;
const MAX_INSTALLER_TYPES: usize = 10;
const MAX_OS_VERSION: usize = 64;

/// What was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    /// One question a row, in the order asked.
    pub(crate) questions: Vec<Question>,
    /// The client's nonce.
    pub(crate) nonce: Option<String>,
}

/// An object of the request: the top, or a row of `products`.
struct Object<'a> {
    members: &'a Map<String, Value>,
    row: Option<usize>,
}

impl<'a> Object<'a> {
    /// The path to a member, for error messages.
    fn name(&self, member: &str) -> String {
        self.row.map_or_else(|| member.to_owned(), |row| format!("{}.{member}", path(row)))
    }

    /// A member under its own or its camelCase name; null is absent.
    fn get(&self, member: &str) -> Result<Option<&'a Value>, ApiError> {
        let own = self.members.get(member);
        let camel = || self.members.iter().find(|(name, _)| is_camel_case(name, member));
        let Some((name, value)) = member.contains('_').then(camel).flatten() else {
            return Ok(own.filter(|value| !value.is_null()));
        };
        if own.is_some() {
            let rule = format!("it is there as `{name}` too: send one spelling");
            return Err(ApiError::invalid(&self.name(member), rule));
        }
        Ok(Some(value).filter(|value| !value.is_null()))
    }

    fn text(&self, member: &str) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.get(member)? else { return Ok(None) };
        let wrong = || ApiError::bad_request(format!("`{}` is to be a string", self.name(member)));
        value.as_str().map(Some).ok_or_else(wrong)
    }

    fn need(&self, member: &str) -> Result<&'a str, ApiError> {
        let missing = || ApiError::bad_request(format!("`{}` is missing", self.name(member)));
        self.text(member)?.ok_or_else(missing)
    }

    fn list(&self, member: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        let Some(value) = self.get(member)? else { return Ok(None) };
        let wrong = || ApiError::bad_request(format!("`{}` is to be an array", self.name(member)));
        value.as_array().map(Some).ok_or_else(wrong)
    }

    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        member: &str,
        text: Option<&str>,
    ) -> Result<Option<T>, ApiError> {
        text.map(|text| self.read(member, text)).transpose()
    }

    fn need_parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, member: &str) -> Result<T, ApiError> {
        self.read(member, self.need(member)?)
    }

    // The name is made where it is needed alone: most requests are good.
    fn read<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        member: &str,
        text: &str,
    ) -> Result<T, ApiError> {
        text.parse().map_err(|error| ApiError::invalid(&self.name(member), error))
    }
}

fn path(row: usize) -> String {
    format!("products[{row}]")
}

/// Whether a name is another one in camelCase: `clientId` for `client_id`.
fn is_camel_case(name: &str, member: &str) -> bool {
    let (mut letters, mut upper) = (name.chars(), false);
    for letter in member.chars() {
        if letter == '_' {
            upper = true;
            continue;
        }
        let expected = if upper { letter.to_ascii_uppercase() } else { letter };
        upper = false;
        if letters.next() != Some(expected) {
            return false;
        }
    }
    letters.next().is_none()
}

/// Reads a request's body.
pub(crate) fn read(bytes: &[u8]) -> Result<Asked, ApiError> {
    let body = body::value(bytes)?;
    let members = body.as_object().ok_or_else(|| ApiError::bad_request("the body is to be an object"))?;
    let top = Object { members, row: None };
    let rows = top.list("products")?.ok_or_else(|| ApiError::bad_request("`products` is missing"))?;
    if !(1..=MAX_PRODUCTS).contains(&rows.len()) {
        return Err(ApiError::invalid(
            "products",
            format!("1 to {MAX_PRODUCTS} products can be asked about"),
        ));
    }
    let channel: Option<Channel> = top.parse("channel", top.text("channel")?)?;
    let tenant: Option<TenantId> = top.parse("tenant_id", top.text("tenant_id")?)?;
    let client_id = client_id(&top)?;
    let question = |(index, row): (usize, &Value)| {
        let wrong = || ApiError::bad_request(format!("`{}` is to be an object", path(index)));
        let row = Object { members: row.as_object().ok_or_else(wrong)?, row: Some(index) };
        read_row(&row, channel.as_ref(), tenant.as_ref(), client_id.as_ref())
    };
    let questions = rows.iter().enumerate().map(question).collect::<Result<_, ApiError>>()?;
    Ok(Asked { questions, nonce: nonce(&top)? })
}

fn client_id(top: &Object<'_>) -> Result<Option<String>, ApiError> {
    let Some(id) = top.text("client_id")? else { return Ok(None) };
    text::check_length("client_id", id, 0..=MAX_CLIENT_ID)?;
    Ok(Some(id.to_owned()))
}

fn nonce(top: &Object<'_>) -> Result<Option<String>, ApiError> {
    let Some(nonce) = top.text("nonce")? else { return Ok(None) };
    match URL_SAFE_NO_PAD.decode(nonce) {
        Ok(bytes) if (16..=64).contains(&bytes.len()) => Ok(Some(nonce.to_owned())),
        Ok(_) | Err(_) => {
            Err(ApiError::invalid("nonce", "expected 16 to 64 bytes in base64url without padding"))
        }
    }
}

fn read_row(
    row: &Object<'_>,
    channel: Option<&Channel>,
    tenant: Option<&TenantId>,
    client_id: Option<&String>,
) -> Result<Question, ApiError> {
    let os_version = row.text("os_version")?;
    if let Some(os_version) = os_version {
        text::check_length(&row.name("os_version"), os_version, 0..=MAX_OS_VERSION)?;
    }
    Ok(Question {
        product_id: row.need_parsed("product_id")?,
        current_version: row.need_parsed("current_version")?,
        channel: row.parse("channel", row.text("channel")?)?.or_else(|| channel.cloned()),
        tenant_id: row.parse("tenant_id", row.text("tenant_id")?)?.or_else(|| tenant.cloned()),
        platform: row.need_parsed("platform")?,
        arch: row.need_parsed("arch")?,
        os_version: os_version.map(str::to_owned),
        installer_types: installer_types(row)?,
        client_id: client_id.cloned(),
    })
}

fn installer_types(row: &Object<'_>) -> Result<Vec<InstallerType>, ApiError> {
    let Some(types) = row.list("installer_types")? else { return Ok(Vec::new()) };
    let name = row.name("installer_types");
    if !(1..=MAX_INSTALLER_TYPES).contains(&types.len()) {
        return Err(ApiError::invalid(&name, "1 to 10 types can be named; leave it out for any"));
    }
    let mut known = Vec::with_capacity(types.len());
    for value in types {
        let wrong = || ApiError::bad_request(format!("`{name}` is to be an array of strings"));
        // A newer client may prefer a type that this server does not know yet: the next one counts.
        known.extend(value.as_str().ok_or_else(wrong)?.parse::<InstallerType>());
    }
    if known.is_empty() {
        return Err(ApiError::invalid(&name, "none of these types is known here"));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str =
        r#"{"product_id":"editor","current_version":"1.0.0","platform":"windows","arch":"x86_64"}"#;

    fn refusal(body: &str) -> (u16, String) {
        let error = read(body.as_bytes()).unwrap_err();
        (error.status.as_u16(), error.message)
    }

    #[test]
    fn camel_case_is_understood_and_unknown_members_are_ignored() {
        let body = r#"{"products":[{"productId":"editor","currentVersion":"1.0.0","platform":"linux","arch":"arm64",
            "installerTypes":["deb","rpm"],"osVersion":"12","future":1}],"tenantId":"acme","clientId":"c","x":{}}"#;
        let asked = read(body.as_bytes()).unwrap();
        let question = &asked.questions[0];
        assert_eq!(question.product_id.as_str(), "editor");
        assert_eq!(question.tenant_id.as_ref().unwrap().as_str(), "acme");
        assert_eq!(question.installer_types, [InstallerType::Deb, InstallerType::Rpm]);
        assert_eq!(question.client_id.as_deref(), Some("c"));
    }

    #[test]
    fn the_top_level_gives_defaults_for_the_rows() {
        let body = format!(
            r#"{{"products":[{ROW},{}],"channel":"beta"}}"#,
            ROW.replace('}', r#","channel":"dev"}"#)
        );
        let asked = read(body.as_bytes()).unwrap();
        let channels: Vec<_> =
            asked.questions.iter().map(|question| question.asked_channel().as_str()).collect();
        assert_eq!(channels, ["beta", "dev"]);
    }

    #[test]
    fn two_spellings_of_one_member_are_refused() {
        let body = format!(r#"{{"products":[{}]}}"#, ROW.replace('}', r#","productId":"editor"}"#));
        assert_eq!(refusal(&body).0, 422);
        let body = format!(r#"{{"products":[{ROW}],"tenant_id":"a","tenantId":"a"}}"#);
        assert_eq!(refusal(&body).0, 422);
    }

    #[test]
    fn what_is_no_question_is_refused_with_the_member_named() {
        let change = |from: &str, to: &str| format!(r#"{{"products":[{}]}}"#, ROW.replace(from, to));
        let cases = [
            (change("1.0.0", "1.0"), 422, "products[0].current_version"),
            (change("windows", "amiga"), 422, "products[0].platform"),
            (change("x86_64", "m68k"), 422, "products[0].arch"),
            (change("editor", "Editor!"), 422, "products[0].product_id"),
            (change("\"windows\"", "null"), 400, "products[0].platform"),
            (change("\"windows\"", "7"), 400, "products[0].platform"),
            (r#"{"products":[]}"#.into(), 422, "products"),
            (r#"{"products":{}}"#.into(), 400, "products"),
            ("{}".into(), 400, "products"),
            ("[]".into(), 400, "object"),
            (format!(r#"{{"products":[{ROW}],"nonce":"short"}}"#), 422, "nonce"),
            (format!(r#"{{"products":[{ROW}],"client_id":"{}"}}"#, "x".repeat(129)), 422, "client_id"),
            (format!(r#"{{"products":[{}]}}"#, vec![ROW; 21].join(",")), 422, "products"),
        ];
        for (body, status, named) in cases {
            let (found, message) = refusal(&body);
            assert_eq!(found, status, "{body}: {message}");
            assert!(message.contains(named), "{body}: {message}");
        }
    }
}
