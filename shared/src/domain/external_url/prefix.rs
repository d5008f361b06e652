//! Which repository a URL belongs to.

use super::{ExternalUrl, UrlError, UrlRules};

/// The part of the web that belongs to a repository: a scheme, a host, a port, and the beginning of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryPrefix {
    url: ExternalUrl,
    segments: Vec<String>,
}

/// What the guard needs to know of a repository's entry in the configuration.
pub trait RepositoryRule {
    /// Where the repository begins.
    fn prefix(&self) -> &RepositoryPrefix;
    /// Whether private and loopback addresses are open for this entry.
    fn allow_private(&self) -> bool;
}

impl RepositoryPrefix {
    /// Reads the `url_prefix` of a repository. Its host may be a private one; a trailing `/` makes no difference.
    ///
    /// # Errors
    /// [`UrlError`] where it is no URL, has a query, or its path could be read in two ways.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = ExternalUrl::parse(text, &UrlRules::widest())?;
        if url.as_str().contains('?') {
            return Err(UrlError::Invalid("a prefix has no query"));
        }
        if !is_plain(url.raw_path()) {
            return Err(UrlError::PathNotPlain);
        }
        let segments = segments(url.path());
        Ok(Self { url, segments })
    }

    /// The prefix as normalised.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether the URL lies under this prefix.
    ///
    /// # Errors
    /// [`UrlError::PathNotPlain`] where it lies there for some readers, but its path can be read in two ways.
    pub fn contains(&self, url: &ExternalUrl) -> Result<bool, UrlError> {
        if !self.url.same_origin(url) {
            return Ok(false);
        }
        let begins = |path: &[String]| path.starts_with(&self.segments);
        if is_plain(url.raw_path()) {
            return Ok(begins(&segments(url.path())));
        }
        let decoded = segments(&decode_delimiters(url.raw_path()));
        let merged: Vec<String> = decoded.into_iter().filter(|segment| !segment.is_empty()).collect();
        if begins(&segments(url.path())) || begins(&merged) || begins(&resolved(&merged)) {
            return Err(UrlError::PathNotPlain);
        }
        Ok(false)
    }
}

/// The entry whose prefix is the longest of those that the URL lies under; the first of equals.
///
/// # Errors
/// [`UrlError::PathNotPlain`] where the path can be read in two ways and one of them lies under a prefix.
pub fn pick<'a, R: RepositoryRule>(entries: &'a [R], url: &ExternalUrl) -> Result<Option<&'a R>, UrlError> {
    let mut longest: Option<&R> = None;
    for entry in entries {
        let wins = longest.is_none_or(|best| entry.prefix().segments.len() > best.prefix().segments.len());
        if entry.prefix().contains(url)? && wins {
            longest = Some(entry);
        }
    }
    Ok(longest)
}

/// Judges a URL that a caller sent, by the rules and by the entry it belongs to, which may open private hosts.
///
/// # Errors
/// [`UrlError`] says which rule the text breaks.
pub fn admit<'a, R: RepositoryRule>(
    text: &str,
    rules: &UrlRules,
    entries: &'a [R],
) -> Result<(ExternalUrl, Option<&'a R>), UrlError> {
    let loose = ExternalUrl::parse(text, &rules.clone().private(true))?;
    let entry = pick(entries, &loose)?;
    if entry.is_some_and(RepositoryRule::allow_private) {
        return Ok((loose, entry));
    }
    Ok((ExternalUrl::parse(text, rules)?, entry))
}

/// Whether a path has one reading only: no encoded delimiters, no empty segments, no `.` and `..`.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    !["%2e", "%2f", "%5c"].iter().any(|escape| lower.contains(escape))
        && !lower.contains("//")
        && !lower.split('/').any(is_dots)
}

/// The segments with needless encoding undone, without the empty one after a trailing `/`.
fn segments(path: &str) -> Vec<String> {
    let mut segments: Vec<String> =
        path.strip_prefix('/').unwrap_or(path).split('/').map(decode_unreserved).collect();
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    segments
}

/// Undoes the encoding of unreserved characters and writes the other escapes in upper case (RFC 3986, 6.2.2).
fn decode_unreserved(segment: &str) -> String {
    let mut pieces = segment.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        match u8::from_str_radix(escape, 16) {
            Ok(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                out.push(char::from(byte));
            }
            Ok(_) | Err(_) => {
                out.push('%');
                out.push_str(&escape.to_ascii_uppercase());
            }
        }
        out.push_str(rest);
    }
    out
}

/// The path as a careless server reads it.
fn decode_delimiters(path: &str) -> String {
    path.replace("%2e", ".")
        .replace("%2E", ".")
        .replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%5c", "/")
        .replace("%5C", "/")
}

/// The segments with `.` and `..` resolved.
fn resolved(segments: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for segment in segments {
        match segment.split(';').next() {
            Some(".") => {}
            Some("..") => {
                out.pop();
            }
            Some(_) | None => out.push(segment.clone()),
        }
    }
    out
}
