//! The URL of an artifact: `https`, no userinfo, and one meaning for every reader.

use url::{Host, Url};

/// Why a URL may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It has characters that readers treat differently: white space, control characters, backslashes, non-ASCII.
    #[error("it has characters other than visible ascii, or a backslash")]
    Characters,
    /// It is no absolute URL with a host.
    #[error("it is no absolute url with a host")]
    Form,
    /// It carries a user name or password.
    #[error("it has userinfo")]
    Userinfo,
    /// It is neither `https` nor, where the switch allows it, `http` to a loopback host.
    #[error("it is not https")]
    Scheme,
}

/// Whether an artifact may be fetched from `text`; plain `http` only from a loopback host and behind the switch.
pub(super) fn check_location(text: &str, allow_loopback_http: bool) -> Result<(), LocationError> {
    // The URL standard repairs what it reads (tabs go, backslashes turn, slashes are added): nothing is left to repair.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(LocationError::Characters);
    }
    let (_, rest) = text.split_once("://").ok_or(LocationError::Form)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(LocationError::Userinfo);
    }
    let url = Url::parse(text).map_err(|_| LocationError::Form)?;
    let host = url.host().filter(|_| !authority.is_empty()).ok_or(LocationError::Form)?;
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_loopback_http && is_loopback(&host) => Ok(()),
        _ => Err(LocationError::Scheme),
    }
}

/// Whether a host is this machine: 127.0.0.0/8, `::1` or `localhost`.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_with_a_host_will_do() {
        for url in [
            "https://dl.example.com/x",
            "https://dl.example.com:8443/a%20b?q=a@b#c",
            "https://[2001:db8::1]/",
            "https://1.2.3.4",
            "HTTPS://E.example/",
        ] {
            assert_eq!(check_location(url, false), Ok(()), "{url}");
        }
    }

    #[test]
    fn userinfo_is_refused_however_empty() {
        for url in [
            "https://user@e.example/",
            "https://user:secret@e.example/",
            "https://@e.example/",
            "https://:@e.example/",
            "https://good.example@evil.example/",
            "http://u@127.0.0.1/",
        ] {
            assert_eq!(check_location(url, true), Err(LocationError::Userinfo), "{url}");
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in [
            "http://e.example/",
            "ftp://e.example/",
            "file://e.example/x",
            "ws://e.example/",
            "httpss://e.example/",
            "git+https://e.example/",
        ] {
            assert_eq!(check_location(url, true), Err(LocationError::Scheme), "{url}");
        }
        assert_eq!(check_location("http://127.0.0.1/", false), Err(LocationError::Scheme));
    }

    #[test]
    fn the_switch_covers_loopback_hosts_alone() {
        for url in [
            "http://127.0.0.1:8080/x",
            "http://127.255.0.9/",
            "http://[::1]:80/",
            "http://localhost/",
            "http://LOCALHOST:1/",
        ] {
            assert_eq!(check_location(url, true), Ok(()), "{url}");
        }
        for url in [
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://128.0.0.1/",
            "http://[::2]/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://localhost.evil.example/",
        ] {
            assert_eq!(check_location(url, true), Err(LocationError::Scheme), "{url}");
        }
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        for url in [
            "",
            "https:",
            "https:e.example",
            "https:/e.example",
            "https:///e.example",
            "https://",
            "https://?x",
            "//e.example/",
            "/x",
            "e.example/x",
            "javascript:alert(1)",
            "data:,x",
            "https://e.example:99999/",
            "https://e_%ff/",
            "x://",
        ] {
            assert!(check_location(url, true).is_err(), "{url}");
        }
        for url in [
            " https://e.example/",
            "https://e.example/ ",
            "https://e.example/a b",
            "ht\ntps://e.example/",
            "https://e.example\\@x/",
            "https:\\\\e.example/",
            "https://ä.example/",
            "https://e.example/\u{0}",
            "https://e.example/\t",
        ] {
            assert_eq!(check_location(url, true), Err(LocationError::Characters), "{url:?}");
        }
    }
}
