//! What a configuration means, and what is said of a wrong one.

use super::*;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::read(text, &environment, Path::new("/data"))
}

#[test]
fn nothing_said_means_one_machine_under_the_data_folder() {
    let config = read("", &[("BP_API_TOKEN", "x"), ("BP_TEST", "y"), ("PATH", "/bin")]).unwrap();
    assert_eq!(config.storage, Storage::Filesystem { root: "/data/objects".into() });
    assert_eq!(config.metadata, Metadata::Sqlite { path: "/data/bigpicture.db".into() });
    assert_eq!(config.base_url, None);
    assert_eq!(config.upload_expires_in_seconds, 86_400);
}

#[test]
fn the_environment_is_laid_over_the_file() {
    let text = "base_url: https://a.example\nuploads: { expires_in_seconds: 60 }\n";
    let config =
        read(text, &[("BP_UPLOADS__EXPIRES_IN_SECONDS", "90"), ("BP_BASE_URL", "https://b.example/")]);
    let config = config.unwrap();
    assert_eq!(config.upload_expires_in_seconds, 90);
    assert_eq!(config.base_url.as_deref(), Some("https://b.example"));
}

#[test]
fn every_bad_value_is_reported_together() {
    let text = "base_url: ftp://x\nuploads: { expires_in_seconds: soon, max_size_bytes: 0 }\nstrange: 1\n\
                storage: { type: tape }\nsigning: { mode: sideways, budget: { burst: 4 } }\nexternal: { allow_declared: 3, typo: 1 }\n\
                repositories: [{ name: x, type: tape, url_prefix: 'https://a.example/b/../c' }]\nlog: { level: all }\n";
    let error = read(text, &[]).unwrap_err();
    for key in [
        "base_url",
        "uploads.expires_in_seconds",
        "uploads.max_size_bytes",
        "strange",
        "storage.type",
        "signing.mode",
        "signing.budget.burst",
        "external.allow_declared",
        "external.typo",
        "repositories[0]",
        "log.level",
    ] {
        let of_key = |problem: &&String| {
            problem.starts_with(&format!("`{key}`")) || problem.starts_with(&format!("{key}: "))
        };
        assert!(error.problems.iter().any(|problem| of_key(&problem)), "{key}: {error}");
    }
    assert!(!error.to_string().contains("`repositories`: there is no such key"), "{error}");
}

#[test]
fn a_bucket_of_google_is_opened_by_a_key_file_or_by_the_machine() {
    let text = "storage: { type: gcs, gcs: { bucket: b, project: p } }\n";
    let Storage::Gcs(bucket) = read(text, &[]).unwrap().storage else { panic!("it is a bucket of Google") };
    assert_eq!((bucket.name.as_str(), bucket.endpoint, bucket.credentials), ("b", None, None));
    let referred = "storage: { type: gcs, gcs: { bucket: b, endpoint: 'http://127.0.0.1:4443/', credentials: 'env:KEY' } }\n";
    let config = read(referred, &[("KEY", "{\"a\":\"hush\"}")]).unwrap();
    let Storage::Gcs(bucket) = &config.storage else { panic!("{config:?}") };
    assert_eq!(bucket.endpoint.as_deref(), Some("http://127.0.0.1:4443"));
    assert_eq!(bucket.credentials.as_ref().unwrap().reveal(), "{\"a\":\"hush\"}");
    assert!(config.aws.is_none() && !format!("{config:?}").contains("hush"));
    assert!(read(referred, &[]).unwrap_err().to_string().contains("storage.gcs.credentials"));
    assert!(read("storage: { type: gcs }", &[]).unwrap_err().to_string().contains("storage.gcs.bucket"));
}

#[test]
fn repositories_take_credentials_by_reference_alone() {
    let text = "repositories:\n- { name: a, type: https, url_prefix: 'https://files.example.com/x', \
                credentials: 'env:FILES_AUTH', products: [editor] }\n";
    let config = read(text, &[("FILES_AUTH", "Bearer abc")]).unwrap();
    let entry = &config.repositories[0];
    let Some(SecretSource::Read(secret)) = &entry.credentials else { panic!("{entry:?}") };
    assert_eq!(secret.reveal(), "Bearer abc");
    assert!(!format!("{config:?}").contains("abc"));
    let missing = read(text, &[]).unwrap_err().to_string();
    assert!(missing.contains("FILES_AUTH") && !missing.contains("abc"), "{missing}");
    assert!(config.aws.is_none());
    let plain = read(&text.replace("env:FILES_AUTH", "Bearer abc"), &[]).unwrap_err().to_string();
    assert!(plain.contains("env:NAME") && !plain.contains("abc"), "{plain}");
}

#[test]
fn credentials_that_are_kept_on_aws_are_named_and_want_to_know_how_aws_is_reached() {
    let text = |reference: &str| {
        format!(
            "secrets: {{ endpoint: 'http://127.0.0.1:4566/' }}\nrepositories:\n- {{ name: a, type: s3, \
             url_prefix: 'https://a.s3.amazonaws.com/', credentials: '{reference}' }}\n"
        )
    };
    let aws = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let arn = "secretsmanager:arn:aws:secretsmanager:eu-central-1:123456789012:secret:releases-AbCdEf";
    for (reference, region) in [(arn, Some("eu-central-1")), ("ssm:/big-picture/releases", None)] {
        let config = read(&text(reference), &aws).unwrap();
        let Some(SecretSource::Kept(kept)) = &config.repositories[0].credentials else {
            panic!("{config:?}")
        };
        assert_eq!((kept.to_string().as_str(), kept.region()), (reference, region));
        assert_eq!(config.secrets_endpoint.as_deref(), Some("http://127.0.0.1:4566"));
        assert!(config.aws.is_some());
        let missing = read(&text(reference), &[]).unwrap_err().to_string();
        assert!(missing.contains("AWS_REGION") && missing.contains("AWS_ACCESS_KEY_ID"), "{missing}");
    }
    for wrong in ["ssm:", "secretsmanager: x", "vault:x"] {
        let said = read(&text(wrong), &aws).unwrap_err().to_string();
        assert!(said.contains("secretsmanager:ARN") && said.contains("ssm:NAME"), "{said}");
    }
}

#[test]
fn a_bucket_of_minio_needs_its_server_and_credentials_by_reference() {
    let text = "storage: { type: minio, minio: { bucket: b, endpoint: 'https://minio.example.com/', credentials: 'env:KEYS' } }\n";
    let config = read(text, &[("KEYS", "id:hush\n")]).unwrap();
    let Storage::S3(bucket) = &config.storage else { panic!("{config:?}") };
    assert_eq!((bucket.name.as_str(), bucket.region.as_deref()), ("b", Some("us-east-1")));
    assert_eq!(bucket.endpoint.as_deref(), Some("https://minio.example.com"));
    assert_eq!(bucket.credentials.as_ref().unwrap().reveal(), "id:hush");
    assert!(config.aws.is_none(), "nothing of AWS is asked of the environment");
    assert!(!format!("{config:?}").contains("hush"));

    let nothing = read("storage: { type: minio }", &[]).unwrap_err().to_string();
    for key in ["storage.minio.bucket", "storage.minio.endpoint", "storage.minio.credentials"] {
        assert!(nothing.contains(key), "{nothing}");
    }
    let missing = read(text, &[]).unwrap_err().to_string();
    assert!(missing.contains("storage.minio.credentials") && missing.contains("KEYS"), "{missing}");
    let plain = read(&text.replace("env:KEYS", "id:s3cret"), &[]).unwrap_err().to_string();
    assert!(plain.contains("env:NAME") && !plain.contains("s3cret"), "{plain}");
}

#[test]
fn a_bucket_of_minio_as_it_is_documented_is_opened_by_the_environment() {
    let text = "storage:\n  type: minio\n  minio: { bucket: bigpicture-artifacts, region: us-east-1, endpoint: \"https://minio.example.com:9000\" }\n";
    let aws = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let session = [aws[0], aws[1], ("AWS_SESSION_TOKEN", "t0ken")];
    let own = [("MINIO_ROOT_USER", "root"), ("MINIO_ROOT_PASSWORD", "passw0rd")];
    for (environment, opened) in [
        (&aws[..], "id:s3cret"),
        (&session, "id:s3cret:t0ken"),
        (&own, "root:passw0rd"),
        (&[&own[..], &aws].concat(), "id:s3cret"),
    ] {
        let config = read(text, environment).unwrap();
        let Storage::S3(bucket) = &config.storage else { panic!("{config:?}") };
        assert_eq!(bucket.credentials.as_ref().unwrap().reveal(), opened);
        assert!(config.aws.is_none() && !format!("{config:?}").contains("s3cret"));
    }
    for (environment, said) in [
        (&[][..], "MINIO_ROOT_USER"),
        (&aws[..1], "`AWS_SECRET_ACCESS_KEY` is not"),
        (&own[1..], "`MINIO_ROOT_USER` is not"),
        (&[own[0], ("MINIO_ROOT_PASSWORD", "s3:cret")], "no colon"),
    ] {
        let refused = read(text, environment).unwrap_err().to_string();
        assert!(refused.contains("`storage.minio.credentials`") && refused.contains(said), "{refused}");
        assert!(!refused.contains("cret\n") && !refused.contains("passw0rd"), "{refused}");
    }
}

#[test]
fn a_bucket_of_s3_is_opened_by_the_environment_or_by_a_reference() {
    let aws = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let text = "storage: { type: s3, s3: { bucket: b } }\n";
    assert!(read(text, &aws).unwrap().aws.is_some());
    assert!(read(text, &[]).unwrap_err().to_string().contains("AWS_ACCESS_KEY_ID"));
    let referred = "storage: { type: s3, s3: { bucket: b, credentials: 'env:KEYS' } }\n";
    let config = read(referred, &[("KEYS", "id:secret"), aws[0]]).unwrap();
    let Storage::S3(bucket) = &config.storage else { panic!("{config:?}") };
    assert_eq!((bucket.region.as_deref(), config.aws.is_some()), (Some("eu-west-1"), false));
    assert!(read(referred, &[("KEYS", "id:secret")]).unwrap_err().to_string().contains("AWS_REGION"));
}

#[test]
fn what_another_choice_would_need_is_not_read() {
    let text = "storage: { type: filesystem, minio: { bucket: b, credentials: 'env:NOWHERE' }, gcs: { bucket: b } }\n";
    assert_eq!(read(text, &[]).unwrap().storage, Storage::Filesystem { root: "/data/objects".into() });
}

#[test]
fn a_cdn_signs_with_a_key_and_its_id_or_not_at_all() {
    let open = read("cdn_url: https://cdn.example.com/\n", &[]).unwrap().cdn.unwrap();
    assert_eq!((open.url.as_str(), open.key.is_none()), ("https://cdn.example.com", true));
    let environment = [
        ("BP_CDN_URL", "https://cdn.example.com"),
        ("BP_CDN__KEY_PAIR_ID", "K2JCJMDEHXQW5F"),
        ("BP_CDN__PRIVATE_KEY", "env:CDN_KEY"),
        ("CDN_KEY", "a secret"),
    ];
    let key = read("", &environment).unwrap().cdn.unwrap().key.unwrap();
    assert_eq!(key.key_pair_id, "K2JCJMDEHXQW5F");
    assert!(matches!(key.private_key, SecretSource::Read(_)) && !format!("{key:?}").contains("a secret"));
    for (text, said) in [
        ("cdn_url: https://a.example\ncdn: { key_pair_id: K2 }\n", "both are needed"),
        ("cdn_url: https://a.example\ncdn: { private_key: 'ssm:b' }\n", "both are needed"),
        (
            "cdn_url: https://a.example\ncdn: { key_pair_id: K2, private_key: pasted-by-mistake }\n",
            "expected a reference",
        ),
        (
            "cdn_url: https://a.example\ncdn: { key_pair_id: 'K&', private_key: 'env:X' }\n",
            "letters and digits",
        ),
        ("cdn: { key_pair_id: K2, private_key: 'ssm:b' }\n", "`cdn_url`: needed"),
    ] {
        let error = read(text, &[("AWS_REGION", "eu-central-1")]).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("pasted-by-mistake"), "{text}: {error}");
    }
}
