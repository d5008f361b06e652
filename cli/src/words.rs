//! The words of the API that the command line checks before it asks.

/// Platforms.
pub(crate) const PLATFORMS: [&str; 3] = ["windows", "macos", "linux"];
/// Architectures.
pub(crate) const ARCHES: [&str; 3] = ["x86_64", "x86", "arm64"];
/// Installer types.
pub(crate) const INSTALLER_TYPES: [&str; 10] =
    ["msi", "msix", "exe", "dmg", "pkg", "deb", "rpm", "appimage", "zip", "tar.gz"];

/// The platform of this machine, where the API has a word for it.
pub(crate) fn this_platform() -> &'static str {
    match std::env::consts::OS {
        "windows" => "windows",
        "macos" => "macos",
        _ => "linux",
    }
}

/// The architecture of this machine, where the API has a word for it.
pub(crate) fn this_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86" => "x86",
        "aarch64" => "arm64",
        _ => "x86_64",
    }
}

/// The parser of a rollout percentage: 0 to 100 with at most two decimals.
pub(crate) fn percentage(text: &str) -> Result<serde_json::Number, String> {
    let bad = || "expected a number from 0 to 100 with at most two decimals".to_owned();
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 3) || !digits(decimals, 2) {
        return Err(bad());
    }
    let value: f64 = text.parse().map_err(|_| bad())?;
    if value > 100.0 {
        return Err(bad());
    }
    // A whole number is sent as one.
    match (whole.parse::<u32>(), decimals.bytes().all(|digit| digit == b'0')) {
        (Ok(whole), true) => Ok(whole.into()),
        _ => serde_json::Number::from_f64(value).ok_or_else(bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_sent_as_it_was_written() {
        for (text, sent) in
            [("0", "0"), ("100", "100"), ("12.5", "12.5"), ("33.33", "33.33"), ("50.00", "50")]
        {
            assert_eq!(percentage(text).unwrap().to_string(), sent);
        }
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "100.01", "101", "-1", "1.234", "1e1", "NaN", ".5", "5.", "+5"] {
            assert!(percentage(text).is_err(), "{text}");
        }
    }
}
