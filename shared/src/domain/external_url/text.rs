//! What is judged on the text as given, before a parser that forgives has repaired it.

use super::{MAX_URL_BYTES, UrlError, UrlRules};

/// The parts of the text that are looked at on their own.
pub(super) struct Parts<'a> {
    /// Between the slashes and the path.
    pub(super) authority: &'a str,
    /// From the first `/` after the host to the query.
    pub(super) path: &'a str,
}

/// Checks everything that can be seen in the text, and splits it.
pub(super) fn split<'a>(text: &'a str, rules: &UrlRules) -> Result<Parts<'a>, UrlError> {
    check_characters(text)?;
    if !has_scheme(text) {
        return Err(UrlError::Invalid("it does not begin with `https://`"));
    }
    let (scheme, rest) =
        text.split_once(':').ok_or(UrlError::Invalid("it does not begin with `https://`"))?;
    let allowed = scheme.eq_ignore_ascii_case("https")
        || (rules.allow_plain_http && scheme.eq_ignore_ascii_case("http"));
    if !allowed {
        return Err(UrlError::SchemeNotAllowed);
    }
    let rest = rest.strip_prefix("//").ok_or(UrlError::Invalid("`//` is missing after the scheme"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) =
        rest.split_at_checked(end).ok_or(UrlError::Invalid("the host or the path is malformed"))?;
    check_authority(authority)?;
    Ok(Parts { authority, path: target.split_once('?').map_or(target, |(path, _)| path) })
}

/// Refuses what readers of URLs disagree about: white space, control characters, backslashes, fragments.
pub(super) fn check_characters(text: &str) -> Result<(), UrlError> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlError::TooLong);
    }
    if text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || is_invisible(letter)) {
        return Err(UrlError::Invalid("it has white space, control characters or invisible characters"));
    }
    if text.contains('\\') {
        return Err(UrlError::Invalid("it has a backslash"));
    }
    if text.contains('#') {
        return Err(UrlError::Invalid("it has a fragment"));
    }
    check_escapes(text)
}

/// Whether the text begins with a scheme, so that it is not a relative reference.
pub(super) fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
}

/// Zero-width and text-direction characters.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Every `%` is followed by two hex digits, and none of them means a control character.
fn check_escapes(text: &str) -> Result<(), UrlError> {
    for tail in text.split('%').skip(1) {
        let value = tail.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            None => return Err(UrlError::Invalid("a `%` is not followed by two hexadecimal digits")),
            Some(byte) if byte.is_ascii_control() => {
                return Err(UrlError::Invalid("it has an encoded control character"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_authority(authority: &str) -> Result<(), UrlError> {
    let host_and_port = match authority.rsplit_once('@') {
        Some((userinfo, _)) if hides_a_delimiter(userinfo) => {
            return Err(UrlError::Invalid("there is an encoded delimiter before the host"));
        }
        Some(_) => return Err(UrlError::Credentials),
        None => authority,
    };
    if host_and_port.contains('%') {
        return Err(UrlError::Invalid("the host has percent-encoding or a zone"));
    }
    let (host, port) = match host_and_port.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(None) => return Err(UrlError::Invalid("a bracket is not closed")),
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, after))) => {
            let port = after.strip_prefix(':').ok_or(UrlError::Invalid("there is text after the bracket"))?;
            (host, Some(port))
        }
        None => {
            host_and_port.split_once(':').map_or((host_and_port, None), |(host, port)| (host, Some(port)))
        }
    };
    if host.is_empty() {
        return Err(UrlError::Invalid("there is no host"));
    }
    port.map_or(Ok(()), check_port)
}

/// Whether the host is an address with a leading zero, which some readers take for octal and others for decimal:
/// `010.0.0.1` is public to the ones and private to the others.
pub(super) fn has_octal(authority: &str) -> bool {
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let is_octal = |part: &str| part.len() > 1 && part.starts_with('0');
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && host.split('.').any(is_octal)
}

fn hides_a_delimiter(userinfo: &str) -> bool {
    let userinfo = userinfo.to_ascii_lowercase();
    ["%2f", "%5c", "%3f", "%23"].iter().any(|escape| userinfo.contains(escape))
}

/// The port is a plain decimal number.
fn check_port(port: &str) -> Result<(), UrlError> {
    let plain = port.bytes().all(|digit| digit.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    match port.parse::<u16>() {
        Ok(_) if plain => Ok(()),
        Ok(_) | Err(_) => Err(UrlError::Invalid("the port is not a decimal number up to 65535")),
    }
}
