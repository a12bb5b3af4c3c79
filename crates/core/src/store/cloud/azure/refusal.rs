//! What Azure's error codes mean ("Common REST API error codes", "Blob Storage error codes").

use super::super::dialect::Absence;
use crate::store::ask::Need;

/// The code, and the first line of the message. HEAD has no body, so no message.
pub(super) fn read_refusal(header: Option<&str>, body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(inside, _)| inside)
    };
    let code = header.or_else(|| between("Code")).unwrap_or_default();
    let message = between("Message").and_then(|m| m.lines().next()).unwrap_or_default();
    (code.to_string(), message.trim().trim_end_matches('.').to_string())
}

/// Of a creation with `If-None-Match: *`. Also what an overwriting alone is refused for: there is a blob then.
pub(super) fn is_taken(code: &str) -> bool {
    let codes =
        ["BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite", "BlobImmutableDueToPolicy"];
    codes.contains(&code)
}

pub(super) fn absence(code: &str) -> Absence {
    match code {
        "BlobNotFound" => Absence::OfObject,
        "ContainerNotFound" | "ContainerBeingDeleted" => Absence::OfContainer,
        _ => Absence::Unclear,
    }
}

pub(super) fn remedy(status: u16, code: &str, need: Need) -> Option<&'static str> {
    Some(match code {
        "ContainerNotFound" | "ResourceNotFound" => {
            "create the container, or correct its name in the repository's URL"
        }
        "AuthenticationFailed" => {
            "the key or signature is not this account's, or has expired: check AZURE_STORAGE_KEY or \
             AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ACCOUNT, and this machine's clock"
        }
        "KeyBasedAuthenticationNotPermitted" => {
            "the account takes no keys: use a service principal or a managed identity"
        }
        "AuthorizationFailure" => {
            "check AZURE_STORAGE_KEY, or the rights in AZURE_STORAGE_SAS_TOKEN, and whether the account's network rules let \
             this machine in"
        }
        "BlobArchived" => {
            "the blob is in the archive tier: bring it back first by `az storage blob set-tier --tier Hot`, \
             which takes up to 15 hours"
        }
        "BlobImmutableDueToPolicy" => "an immutability policy protects the blob: wait for its end",
        _ if status == 403 => match need {
            Need::Read => "grant the role Storage Blob Data Reader, or read (r) in the signature",
            Need::List => "grant the role Storage Blob Data Reader, or list (l) in the signature",
            Need::Write => {
                "grant the role Storage Blob Data Contributor, or create and write (cw) in the signature"
            }
            _ => "grant the role Storage Blob Data Contributor, or delete (d) in the signature",
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_and_judged() {
        let body = b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error><Code>BlobNotFound</Code>\
            <Message>The specified blob does not exist.\nRequestId:1\nTime:2</Message></Error>";
        let said = ("BlobNotFound".to_string(), "The specified blob does not exist".to_string());
        assert_eq!(read_refusal(None, body), said);
        assert_eq!(read_refusal(Some("BlobNotFound"), b""), (said.0, String::new()));
        assert_eq!(read_refusal(None, b"<html>"), (String::new(), String::new()));
        let absences = [("BlobNotFound", Absence::OfObject), ("ContainerNotFound", Absence::OfContainer)];
        for (code, proven) in absences.into_iter().chain([("", Absence::Unclear)]) {
            assert_eq!(absence(code), proven, "{code}");
        }
        assert!(is_taken("BlobAlreadyExists") && is_taken("ConditionNotMet") && !is_taken("LeaseIdMissing"));
        let cures = [
            (403, "AuthenticationFailed", Need::Read, "AZURE_STORAGE_KEY"),
            (403, "AuthorizationPermissionMismatch", Need::Write, "Contributor"),
            (403, "", Need::List, "list (l)"),
            (409, "BlobArchived", Need::Read, "set-tier"),
            (404, "ContainerNotFound", Need::List, "create the container"),
        ];
        for (status, code, need, part) in cures {
            let hint = remedy(status, code, need);
            assert!(hint.is_some_and(|h| h.contains(part)), "{code}: {hint:?}");
        }
        assert_eq!(remedy(503, "ServerBusy", Need::Read), None);
    }
}
