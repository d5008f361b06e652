//! Which repository a URL belongs to, and the end that a URL carries in itself.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use shared::domain::external_url::{
    Expiry, ExternalUrl, RepositoryPrefix, RepositoryRule, UrlError, UrlRules, admit, expiry, pick,
};

fn parse(text: &str) -> Result<ExternalUrl, UrlError> {
    ExternalUrl::parse(text, &UrlRules::default())
}

fn end(query: &str) -> Expiry {
    expiry(&parse(&format!("https://a.example.com/a?{query}")).unwrap())
}

#[test]
fn a_url_tells_when_it_dies() {
    for (query, at) in [
        ("X-Amz-Date=20260801T120000Z&X-Amz-Expires=3600", 1_785_589_200),
        ("x-amz-expires=3600&x-amz-date=20260801T120000Z", 1_785_589_200),
        ("X-Goog-Date=20260801T120000Z&X-Goog-Expires=60", 1_785_585_660),
        ("Expires=1785585600&Signature=x", 1_785_585_600),
        ("se=2026-08-01T12%3A00%3A00Z&sig=x", 1_785_585_600),
        ("se=2026-08-01T14%3A00%3A00%2B02%3A00&sig=x", 1_785_585_600),
        ("se=2026-08-01T12:00Z&sig=x", 1_785_585_600),
        ("se=2026-08-01&sig=x", 1_785_542_400),
        ("se=2026-08-01", 1_785_542_400),
    ] {
        assert_eq!(end(query), Expiry::At(at), "{query}");
    }
}

#[test]
fn of_several_ends_the_earliest_counts() {
    for query in ["Expires=1785585600&se=2026-08-01", "Expires=1785542400&expires=1785585600"] {
        assert_eq!(end(query), Expiry::At(1_785_542_400), "{query}");
    }
}

#[test]
fn a_url_that_ends_at_a_time_nobody_can_read_says_so() {
    for query in [
        "X-Amz-Expires=3600",
        "X-Amz-Expires=3600&X-Amz-Date=",
        "X-Amz-Date=20261301T120000Z&X-Amz-Expires=3600",
        "X-Amz-Date=2026080ⅠT120000Z&X-Amz-Expires=3600",
        "X-Amz-Date=2026-08-01T12:00:00Z&X-Amz-Expires=3600",
        "X-Amz-Date=20260801T120000Z&X-Amz-Date=20270801T120000Z&X-Amz-Expires=3600",
        "X-Amz-Date=20260801T120000Z&X-Amz-Expires=an+hour",
        "X-Amz-Date=20260801T120000Z&X-Amz-Expires=%2B3600",
        "X-Goog-Date=20260801T120000Z&X-Goog-Expires=",
        "X-Goog-Expires=60&X-Amz-Date=20260801T120000Z",
        "Expires=2030-01-01T00:00:00Z",
        "Expires=never",
        "Expires=",
        "Expires=1785585600000",
        "Expires=1785585600&Expires=never",
        "se=tomorrow&sig=x",
    ] {
        assert_eq!(end(query), Expiry::Unreadable, "{query}");
    }
}

#[test]
fn a_url_without_a_word_of_an_end_has_none() {
    for query in ["", "se=web", "X-Amz-Date=20260801T120000Z", "v=1&expiry=1785585600", "expires_in=60"] {
        assert_eq!(end(query), Expiry::Never, "{query}");
    }
}

#[derive(Debug)]
struct Entry(RepositoryPrefix, bool);

impl RepositoryRule for Entry {
    fn prefix(&self) -> &RepositoryPrefix {
        &self.0
    }

    fn allow_private(&self) -> bool {
        self.1
    }
}

fn entries(prefixes: &[&str]) -> Vec<Entry> {
    prefixes
        .iter()
        .map(|prefix| Entry(RepositoryPrefix::parse(prefix).unwrap(), prefix.contains("10.")))
        .collect()
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let entries = entries(&[
        "https://repo.example.com/",
        "https://repo.example.com/team/a/",
        "https://repo.example.com/team",
        "https://repo.example.com:8443/other",
    ]);
    for (url, wanted) in [
        ("https://repo.example.com/x", Some(0)),
        ("https://REPO.example.com:443/team/x", Some(2)),
        ("https://repo.example.com/team", Some(2)),
        ("https://repo.example.com/teams/x", Some(0)),
        ("https://repo.example.com/Team/x", Some(0)),
        ("https://repo.example.com/team/a/x?q=%2e%2e//", Some(1)),
        ("https://repo.example.com/te%61m/%61/x", Some(1)),
        ("https://repo.example.com/team/ab", Some(2)),
        ("https://repo.example.com:8443/other/x", Some(3)),
        ("https://repo.example.com:8443/x", None),
        ("https://other.example.com/team/a", None),
    ] {
        let picked = pick(&entries, &parse(url).unwrap()).unwrap();
        assert_eq!(
            picked.map(|entry| entry.0.as_str()),
            wanted.map(|index: usize| entries[index].0.as_str()),
            "{url}"
        );
    }
}

#[test]
fn a_path_with_two_readings_under_a_prefix_is_refused() {
    let entries = entries(&["https://repo.example.com/team/a"]);
    for path in "
        /team/a/../x /team/a/.. /team/a/%2e%2e/x /team/a/%2E./x /team/a/x%2fy /team/a/x%2Fy /team/a//x
        /team//a/x //team/a/x /x/../team/a/y /x/%2e%2e/team/a/y /x%2f..%2fteam/a/y /team%2fa/x /team/./a/x
        /team/a/x%5cy /team/a/x%2emsi /team/a/..;/x /team/b/../a/x /./team/a/x
    "
    .split_whitespace()
    {
        let url = parse(&format!("https://repo.example.com{path}")).unwrap();
        let error = pick(&entries, &url).unwrap_err();
        assert_eq!((error.code(), error), ("URL_INVALID", UrlError::PathNotPlain), "{path}");
    }
    for path in ["/other//x", "/team/b%2fc", "/x/../y", "/team/a.msi"] {
        assert!(
            pick(&entries, &parse(&format!("https://repo.example.com{path}")).unwrap()).unwrap().is_none(),
            "{path}"
        );
    }
}

#[test]
fn private_hosts_are_open_under_their_own_entry_alone() {
    let entries = entries(&["https://10.1.2.3:8443/repo", "https://repo.example.com/"]);
    let rules = UrlRules::default();
    let (url, entry) = admit("https://10.1.2.3:8443/repo/a", &rules, &entries).unwrap();
    assert_eq!((url.host(), entry.map(|entry| entry.1)), ("10.1.2.3", Some(true)));
    for url in [
        "https://10.1.2.3:8443/a",
        "https://10.1.2.3/repo/a",
        "https://10.1.2.4:8443/repo/a",
        "https://localhost/",
    ] {
        assert_eq!(admit(url, &rules, &entries).unwrap_err().code(), "URL_HOST_NOT_ALLOWED", "{url}");
    }
    assert!(admit("https://repo.example.com/a", &rules, &entries).unwrap().1.is_some());
}

#[test]
fn a_prefix_has_one_reading_too() {
    for text in [
        "https://a.example.com/x?y",
        "https://a.example.com/x/../y",
        "https://a.example.com//x",
        "a.example.com",
        "https://u:p@a.example.com/",
        "https://a.example.com/x#y",
    ] {
        assert!(RepositoryPrefix::parse(text).is_err(), "{text}");
    }
}
