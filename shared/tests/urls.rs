//! Which external URLs may be registered, and how they are normalised.
#![expect(clippy::panic, reason = "these are tests")]

use std::{fs, net::IpAddr, path::Path};

use proptest::prelude::*;
use serde_json::Value;
use shared::domain::external_url::{ExternalUrl, UrlError, UrlRules, address_allowed};

fn parse(text: &str) -> Result<ExternalUrl, UrlError> {
    ExternalUrl::parse(text, &UrlRules::default())
}

fn code(text: &str) -> &'static str {
    match parse(text) {
        Ok(url) => panic!("`{text}` was accepted as {url:?}"),
        Err(error) => error.code(),
    }
}

fn normalised(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}")).as_str().to_owned()
}

#[test]
fn every_register_vector_gets_its_verdict() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/urls.json");
    let vectors: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let register: Vec<_> = vectors.iter().filter(|vector| vector["stage"] == "register").collect();
    assert!(register.len() > 50, "only {} vectors", register.len());
    for vector in register {
        let (id, url) = (&vector["id"], vector["url"].as_str().unwrap());
        if vector["expect"] == "ACCEPT" {
            assert_eq!(Value::from(normalised(url)), vector["normalized"], "{id}");
        } else {
            assert_eq!(Value::from(code(url)), vector["code"], "{id}");
        }
    }
}

#[test]
fn schemes_other_than_https_are_refused() {
    for url in "
        http://artifacts.example.com/a ftp://artifacts.example.com/a file:///etc/passwd
        gopher://127.0.0.1:6379/_x data:text/plain,x ws://artifacts.example.com/a ldap://a.example.com/
        jar:https://a.example.com/a.jar!/x blob:https://a.example.com/1 HTTP://artifacts.example.com/a
        gs://bucket/key view-source:https://a.example.com/ mailto:a@example.com about:blank
    "
    .split_whitespace()
    {
        assert_eq!(code(url), "URL_SCHEME_NOT_ALLOWED", "{url}");
    }
}

#[test]
fn text_that_readers_understand_differently_is_invalid() {
    for url in [
        "",
        " ",
        "a",
        "//artifacts.example.com/a",
        "artifacts.example.com/a",
        "https:artifacts.example.com/a",
        "https:/artifacts.example.com/a",
        "https:///artifacts.example.com/a",
        "https://",
        "https:///a",
        "https://?a",
        "://artifacts.example.com/a",
        "https//artifacts.example.com",
        "1https://a.example.com/",
        " https://artifacts.example.com/a",
        "https://artifacts.example.com/a ",
        "https://artifacts.example.com/a b",
        "\thttps://artifacts.example.com/a",
        "ht\ntps://artifacts.example.com/",
        "https://arti\tfacts.example.com/a",
        "https://artifacts.example.com/a\n",
        "https://artifacts.example.com/\0",
        "https://artifacts.example.com/\u{7f}",
        "https://artifacts.example.com/\u{a0}",
        "https://artifacts.example.com/\u{2028}",
        "https://a.example.com\u{3000}/",
        "https://\u{feff}artifacts.example.com/",
        "https://artifacts\u{200b}.example.com/",
        "https://a.example.com/\u{202e}x",
        "https://artifacts.example.com/a#",
        "https://artifacts.example.com/a#frag",
        "https://a.example.com\\a",
        "https:\\\\artifacts.example.com/a",
        "https://artifacts.example.com/a\\b",
        "https://a.example.com/a?b\\c",
    ] {
        assert_eq!(code(url), "URL_INVALID", "{url:?}");
    }
}

#[test]
fn malformed_hosts_ports_and_escapes_are_invalid() {
    for url in "
        https://artifacts.example.com%00.evil.example/ https://artifacts.example.com%23@evil.example/
        https://%31%32%37.0.0.1/ https://artifacts.example.com%3f@evil.example/
        https://a.example.com/%0d%0aHost:x https://artifacts.example.com/a%00 https://a.example.com/%
        https://a.example.com/%zz https://[fe80::1%eth0]/a https://[::1]x/a https://[]/a https://[1.2.3.4]/
        https://[g::1]/ https://a-.example.com/a https://a.example.com../a https://./a https://../a
        https://1.2.3.4.5/a https://256.256.256.256/a https://a.0x7g.1/a https://artifacts.example.com:/a
        https://a.example.com:-1/ https://artifacts.example.com:65536/a https://a.example.com:+443/
        https://a.example.com:0443/ https://a.example.com:443:443/a https://a.example.com:https/
        https://a<b.example.com/ https://a,b.example.com/ https://a!b.example.com/ https://a*b.example.com/
        https://xn--.example.com/ https://xn--zzzzzzzz.example.com/ https://exa℀mple.com/
        https://example.com＠evil.com/ https://example.com／a https://example.com：443/a
        https://a.127.0.0.1/a https://08.8.8.8/a https://[v1.a]/
    "
    .split_whitespace()
    {
        assert_eq!(code(url), "URL_INVALID", "{url}");
    }
    assert_eq!(code(&format!("https://{}.example.com/", "a".repeat(64))), "URL_INVALID");
}

#[test]
fn a_url_of_2048_bytes_is_accepted_and_one_more_is_not() {
    let base = "https://artifacts.example.com/";
    let longest = format!("{base}{}", "a".repeat(2048 - base.len()));
    assert_eq!(normalised(&longest), longest);
    assert_eq!(code(&format!("{longest}a")), "URL_INVALID");
    let grows = format!("{base}{}", "ü".repeat(1000));
    assert!(grows.len() > 2020 && grows.len() <= 2048, "{}", grows.len());
    assert_eq!(code(&grows), "URL_INVALID", "each `ü` is six bytes when encoded");
}

#[test]
fn userinfo_is_refused_and_never_repeated() {
    for url in "
        https://user:hunter2@artifacts.example.com/a https://:hunter2@artifacts.example.com/a
        https://hunter2@artifacts.example.com/a https://@artifacts.example.com/a
        https://a@b@artifacts.example.com/ https://user:hunter2%40x@artifacts.example.com/a
        https://artifacts.example.com@127.0.0.1/hunter2
        https://artifacts.example.com:443@169.254.169.254/hunter2 https://:@artifacts.example.com/
    "
    .split_whitespace()
    {
        assert_eq!(code(url), "URL_CREDENTIALS", "{url}");
        let error = parse(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn hosts_of_the_inside_are_refused_in_every_spelling() {
    for host in "
        127.0.0.1 127.0.0.1. 127.255.255.254 2130706433 0x7f000001 0x7f.1 0177.0.0.1 0 0.0.0.0 127.0.1
        10.0.0.1 10.255.255.255 012.0.0.1 167772161 172.16.0.1 172.31.255.255 192.168.1.1 192.168.257
        169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 169.254.0.1 100.100.100.200
        100.127.255.255 168.63.129.16 192.0.0.8 192.0.0.192 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1
        224.0.0.1 239.255.255.255 255.255.255.255 4294967295 １２７.0.0.1 127。0。0。1 169．254．169．254
        ⑯⑨.②⑤④.⑯⑨.②⑤④ [::] [::1] [0:0:0:0:0:0:0:1] [::7f00:1] [::127.0.0.1] [::ffff:10.0.0.1]
        [::ffff:a9fe:a9fe] [::ffff:8.8.8.8] [::ffff:0:127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b::8.8.8.8]
        [2001::1] [2001:db8::1] [2001:20::1] [2001:2::1] [3fff::1] [fd00::1] [fd00:ec2::254] [fe80::1]
        [fec0::1] [ff00::1] [ff05::1] [5f00::1] [100:0:0:1::1] [4000::1] localhost. LocalHost. a.b.localhost
        localhost.localdomain localhost6.localdomain6 foo.local printer.local. intranet metadata metadata.google.internal.
        METADATA.GOOGLE.INTERNAL metadata.goog x.metadata.google.internal instance-data
        ip-10-0-0-1.ec2.internal db.intranet a.lan a.home a.home.arpa 1.0.0.127.in-addr.arpa abc.onion
        a.invalid a.alt a.private kubernetes.default.svc kubernetes.default.svc.cluster.local
        host.docker.internal ⓛⓞⓒⓐⓛⓗⓞⓢⓣ com com. foo.internal. ＬＯＣＡＬＨＯＳＴ
    "
    .split_whitespace()
    .chain(["local\u{ad}host"])
    {
        assert_eq!(code(&format!("https://{host}/a")), "URL_HOST_NOT_ALLOWED", "{host}");
    }
}

#[test]
fn an_address_that_is_octal_or_decimal_by_the_reader_is_refused() {
    for host in "010.0.0.1 0127.0.0.1 8.8.8.010 00010.8.8.8 010.0.0.1:8443 0127.0.0.1.".split_whitespace() {
        assert_eq!(code(&format!("https://{host}/a")), "URL_INVALID", "{host}");
    }
    assert_eq!(normalised("https://0x08080808/a"), "https://8.8.8.8/a");
    assert_eq!(normalised("https://01.example.com/a"), "https://01.example.com/a");
}

#[test]
fn ports_below_1024_and_of_daemons_are_refused() {
    for port in "
        0 1 21 25 80 442 444 1023 1433 2376 2379 3306 5432 9200 11211 27017
    "
    .split_whitespace()
    {
        assert_eq!(
            code(&format!("https://artifacts.example.com:{port}/a")),
            "URL_PORT_NOT_ALLOWED",
            "{port}"
        );
    }
    for port in ["1024", "8443", "8080", "9000", "9443", "65535"] {
        let url = format!("https://artifacts.example.com:{port}/a");
        assert_eq!(normalised(&url), url);
    }
    let mut rules = UrlRules { denied_ports: [8443].into(), ..UrlRules::default() };
    assert!(ExternalUrl::parse("https://artifacts.example.com:6379/a", &rules).is_ok());
    assert_eq!(
        ExternalUrl::parse("https://artifacts.example.com:8443/a", &rules).unwrap_err().code(),
        "URL_PORT_NOT_ALLOWED"
    );
    rules.allow_plain_http = true;
    assert_eq!(
        ExternalUrl::parse("http://artifacts.example.com:443/a", &rules).unwrap_err().code(),
        "URL_PORT_NOT_ALLOWED"
    );
    assert_eq!(
        ExternalUrl::parse("http://artifacts.example.com:80/a", &rules).unwrap().as_str(),
        "http://artifacts.example.com/a"
    );
}

#[test]
fn what_is_accepted_is_normalised_once_and_for_all() {
    for (given, wanted) in [
        ("https://artifacts.example.com:443/a.msi", "https://artifacts.example.com/a.msi"),
        ("HTTPS://artifacts.example.com/a.msi", "https://artifacts.example.com/a.msi"),
        ("https://artifacts.example.com", "https://artifacts.example.com/"),
        ("https://artifacts.example.com?a=B", "https://artifacts.example.com/?a=B"),
        ("https://artifacts.example.com./a", "https://artifacts.example.com/a"),
        (
            "https://artifacts.example.com/a%2Fb%2fc?x=%C3%bc&y=@:/",
            "https://artifacts.example.com/a%2Fb%2fc?x=%C3%bc&y=@:/",
        ),
        ("https://artifacts.example.com/a//b", "https://artifacts.example.com/a//b"),
        ("https://artifacts.example.com/a/../b/./c", "https://artifacts.example.com/b/c"),
        ("https://artifacts.example.com/ü", "https://artifacts.example.com/%C3%BC"),
        ("https://BÜCHER.example/a", "https://xn--bcher-kva.example/a"),
        ("https://xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"),
        ("https://8.8.8.8/a", "https://8.8.8.8/a"),
        ("https://[2606:4700:0:0:0:0:0:1111]/a", "https://[2606:4700::1111]/a"),
        ("https://172.32.0.1/a", "https://172.32.0.1/a"),
        ("https://my_bucket.s3.amazonaws.com/a+b@c~d", "https://my_bucket.s3.amazonaws.com/a+b@c~d"),
        ("https://notlocalhost.com/a", "https://notlocalhost.com/a"),
        ("https://mylocal.host/a", "https://mylocal.host/a"),
        ("https://internal.example.com/a", "https://internal.example.com/a"),
    ] {
        assert_eq!(normalised(given), wanted);
        assert_eq!(normalised(wanted), wanted, "normalising twice changes nothing");
    }
}

#[test]
fn allow_private_opens_private_hosts_but_no_metadata() {
    let rules = UrlRules::default().private(true);
    let verdict =
        |host: &str| ExternalUrl::parse(&format!("https://{host}/a"), &rules).map_err(|error| error.code());
    for host in "
        10.0.0.1 127.0.0.1 192.168.1.1 172.16.0.1 [::1] [fd12::1] artifactory localhost a.corp a.internal
        nas.local a.home.arpa artifacts.example.com
    "
    .split_whitespace()
    {
        assert!(verdict(host).is_ok(), "{host}: {:?}", verdict(host));
    }
    for host in "
        169.254.169.254 169.254.170.2 [fe80::1] [fd00:ec2::254] [fd20:ce::254] metadata.google.internal
        metadata 100.100.100.200 168.63.129.16 192.0.0.192 0.0.0.0 [::] 224.0.0.1 [::ffff:127.0.0.1]
        [::ffff:169.254.169.254] [64:ff9b::a9fe:a9fe] a.onion a.invalid 255.255.255.255 1.10.in-addr.arpa
    "
    .split_whitespace()
    {
        assert_eq!(verdict(host), Err("URL_HOST_NOT_ALLOWED"), "{host}");
    }
}

#[test]
fn debug_output_has_no_query() {
    let url = parse("https://bucket.s3.amazonaws.com/a?X-Amz-Signature=s3cret").unwrap();
    assert_eq!(format!("{url:?}"), "ExternalUrl(https://bucket.s3.amazonaws.com/a?…)");
    assert_eq!(url.path_and_query(), "/a?X-Amz-Signature=s3cret");
}

#[test]
fn the_edges_of_the_special_blocks_are_exact() {
    for (address, allowed) in [
        ("9.255.255.255", true),
        ("11.0.0.0", true),
        ("100.63.255.255", true),
        ("100.128.0.0", true),
        ("126.255.255.255", true),
        ("128.0.0.0", true),
        ("169.253.255.255", true),
        ("169.255.0.0", true),
        ("172.15.255.255", true),
        ("172.32.0.0", true),
        ("192.0.1.0", true),
        ("192.0.3.0", true),
        ("198.17.255.255", true),
        ("198.20.0.0", true),
        ("223.255.255.255", true),
        ("168.63.129.15", true),
        ("168.63.129.17", true),
        ("1.0.0.0", true),
        ("0.255.255.255", false),
        ("2001:200::", true),
        ("2001:1ff:ffff::", false),
        ("2001:db7::1", true),
        ("2001:db9::1", true),
        ("2003::1", true),
        ("2001:ffff::", true),
        ("3fff:fff:ffff::", false),
        ("3fff:1000::", true),
        ("3ffd::1", true),
        ("2a00:1450::1", true),
        ("1fff::1", false),
        ("4000::", false),
    ] {
        assert_eq!(address_allowed(address.parse().unwrap(), false), allowed, "{address}");
    }
}

proptest! {
    #[test]
    fn an_accepted_address_is_never_private(bits: u32) {
        let v4 = std::net::Ipv4Addr::from_bits(bits);
        let inside = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!(inside && address_allowed(IpAddr::V4(v4), false)));
        prop_assert!(!address_allowed(IpAddr::V6(v4.to_ipv6_mapped()), true));
        prop_assert_eq!(parse(&format!("https://{bits}/a")).is_ok(), address_allowed(IpAddr::V4(v4), false));
    }

    #[test]
    fn no_text_makes_the_parser_fail_or_normalise_twice(text in "(https://)?[a-z0-9.:/?%@\\[\\]#\\\\ü①-]{0,40}") {
        if let Ok(url) = parse(&text) {
            prop_assert_eq!(&parse(url.as_str()).unwrap(), &url);
        }
    }
}
