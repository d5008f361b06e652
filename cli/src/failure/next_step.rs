//! What to do about a refusal, by its stable code: the codes of `docs/api/README.md`, and those of `bp` itself.

/// What to do about a stable code.
pub(super) fn of_code(code: &str) -> Option<&'static str> {
    of_bp(code).or_else(|| of_request(code)).or_else(|| of_bytes(code)).or_else(|| of_release(code))
}

/// What to do about a status whose code is not known here.
pub(super) fn of_status(status: u16) -> Option<&'static str> {
    match status {
        401 => of_code("UNAUTHORIZED"),
        403 => of_code("FORBIDDEN"),
        404 => of_code("NOT_FOUND"),
        409 => of_code("CONFLICT"),
        412 => of_code("PRECONDITION_FAILED"),
        422 => Some("correct the member that the message names"),
        429 | 502..=504 => of_code("UNAVAILABLE"),
        500 => of_code("INTERNAL_ERROR"),
        _ => None,
    }
}

/// What `bp` finds by itself.
fn of_bp(code: &str) -> Option<&'static str> {
    Some(match code {
        "UNREACHABLE" => "is the service running, and is --base-url (BP_BASE_URL) right? `bp health` asks it",
        "TIMEOUT" => "the work goes on without you: look again later, or run the same command again",
        "USAGE" => "`bp help` and `bp help COMMAND` show what is accepted",
        "CLOCK" => "set this machine's clock right: nothing is known about updates until then",
        "UNHEALTHY" => "do what the report says about what is bad, then `bp artifact verify`",
        "KEYSET" => "give the keyset as `bp keyset show --json` prints it",
        "KID_UNKNOWN" => "the keyset is of another deployment, or too old: compare it with `bp keyset show`",
        "RELEASE_REJECTED" => {
            "`bp artifact verification ARTIFACT` tells why; the version is free to be used again"
        }
        _ => return None,
    })
}

/// Any request.
fn of_request(code: &str) -> Option<&'static str> {
    Some(match code {
        "BAD_REQUEST" | "METHOD_NOT_ALLOWED" | "UNSUPPORTED_MEDIA_TYPE" => {
            "`bp` and the service may be of different versions: `bp --version`, `bp health`"
        }
        "UNAUTHORIZED" => "set BP_API_TOKEN (or --token-file) to a token that is neither expired nor revoked",
        "FORBIDDEN" => {
            "use a token with the scope that this needs: `bp token create --scope …` with an admin's token"
        }
        "NOT_FOUND" => "check the id; what a token may not see is not found either",
        "KEY_CONFLICT" => "`bp key list` shows the keys and which one signs",
        "KEY_NOT_CONFIGURED" => {
            "configure it as the next key and restart, or promote with --force where other processes have it"
        }
        "SIGNED_KEYSET_REFUSED" => {
            "clients would refuse it, too: `bp root verify` says why, without a service"
        }
        "GC_REFUSED" => {
            "`bp gc` shows what would go; docs/lifecycle.md tells how a store and its records belong together"
        }
        "CONFLICT" => "look at the present state, then decide",
        "PRECONDITION_FAILED" => "somebody else changed it: read it again, then repeat with the new etag",
        "IDEMPOTENCY_KEY_REUSED" => "the key belongs to another request: choose a new --idempotency-key",
        "IDEMPOTENCY_IN_PROGRESS" => "the same request is being worked on: run the command again in a minute",
        "INVALID_MEMBER" => "correct the member that the details name",
        "PAYLOAD_TOO_LARGE" => "shorten what you send: JSON bodies may have 1 MiB",
        "RATE_LIMITED" | "UNAVAILABLE" => "wait, then try again",
        "INTERNAL_ERROR" => "tell the operators the request id",
        _ => return None,
    })
}

/// Artifacts, uploads and downloads.
fn of_bytes(code: &str) -> Option<&'static str> {
    Some(match code {
        "ACCESS_DENIED" => "the signed url has died or is for another request: run the same command again",
        "CHECKSUM_MISMATCH" => {
            "the bytes are not the declared ones: hash the file again and start a new upload"
        }
        "SIZE_MISMATCH" => {
            "the bytes are not as many as declared: look at the file again and start a new upload"
        }
        "UPLOAD_FAILED" => "start again: `bp artifact upload FILE` begins a new upload",
        "UPLOAD_IN_PROGRESS" => {
            "somebody is completing it already: `bp artifact upload-status UPLOAD` shows how far"
        }
        "UPLOAD_COMPLETED" => "`bp artifact upload-status UPLOAD` shows the artifact that it ended in",
        "UPLOAD_EXPIRED" | "UPLOAD_ABORTED" => {
            "the upload is over: `bp artifact upload FILE` begins a new one"
        }
        "OBJECT_NOT_UPLOADED" => {
            "no bytes have arrived: run `bp artifact upload FILE` again, it goes on where it was"
        }
        "ARTIFACT_NOT_ACCESSIBLE" => {
            "open the url to the service or configure a repository, then `bp artifact verify ARTIFACT`"
        }
        "ARTIFACT_NOT_AVAILABLE" => "`bp artifact show ARTIFACT` tells its state and why",
        "LINK_REFUSED" => {
            "let the repository's credentials sign links, or register the file with `client_authenticates`"
        }
        "ARTIFACT_IN_USE" => "revoke the releases that name it first: `bp release revoke RELEASE --reason …`",
        "ARTIFACT_EXISTS" => {
            "the same bytes are there with other access: use that artifact, its id is in the details"
        }
        "ARTIFACT_REVOKED" => "these bytes were revoked for good: publish other bytes under a new version",
        "RANGE_NOT_SATISFIABLE" => "ask for a range inside the artifact",
        "URL_INVALID" | "URL_SCHEME_NOT_ALLOWED" => "correct the url: https, well formed, without a fragment",
        "URL_CREDENTIALS" => "take the credentials out of the url, and configure a repository that has them",
        "URL_HOST_NOT_ALLOWED" => "use a public host, or configure a repository with `allow_private`",
        "URL_PORT_NOT_ALLOWED" => "use port 443, or an allowed one above 1023",
        _ => return None,
    })
}

/// Products and releases.
fn of_release(code: &str) -> Option<&'static str> {
    Some(match code {
        "PRODUCT_EXISTS" => "`bp product show PRODUCT` shows the one that is there",
        "RELEASE_EXISTS" => {
            "`bp release list PRODUCT` shows the release that has this version in this channel"
        }
        "VERSION_USED" => "a version means one set of bytes for ever: publish these under a new version",
        "RELEASE_NOT_PUBLISHED" => "`bp release show RELEASE` tells its status and why",
        "RELEASE_REVOKED" => "a revoked release stays revoked: publish a new version",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_documentation_has_a_next_step() {
        let table = include_str!("../../../docs/api/README.md");
        let codes: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter(|(_, rest)| rest.get(..3).is_some_and(|status| status.parse::<u16>().is_ok()))
            .map(|(code, _)| code)
            .collect();
        assert!(codes.len() > 30, "{codes:?}");
        let without: Vec<&&str> = codes.iter().filter(|code| of_code(code).is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
