//! What Google Cloud Storage says, in JSON ("JSON API reference", Objects).

use super::super::dialect::{FoundObject, ListedPage};
use crate::error::{Context, Result};
use crate::store::Attrs;
use crate::store::ask::Need;
use serde::Deserialize;

/// The resource that an upload creates.
pub(super) fn describe_object(path: &str, metadata: &Attrs) -> String {
    serde_json::json!({ "name": path, "metadata": metadata }).to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectResource {
    name: String,
    /// A number as text, as all 64-bit numbers of this API.
    #[serde(default)]
    size: String,
    #[serde(default)]
    time_created: String,
    #[serde(default)]
    storage_class: String,
    #[serde(default)]
    metadata: Attrs,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectsPage {
    #[serde(default)]
    items: Vec<ObjectResource>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

impl ObjectResource {
    fn into_found(self) -> Result<FoundObject> {
        let class = Some(self.storage_class).filter(|c| !c.is_empty() && c != "STANDARD");
        Ok(FoundObject {
            size: self.size.parse().doing(|| format!("read the size of {}", self.name))?,
            path: self.name,
            modified: self.time_created.parse().unwrap_or_default(),
            class,
            metadata: self.metadata,
        })
    }
}

/// Reads an object's resource.
///
/// # Errors
/// Failed when it is none.
pub(super) fn read_object(json: &[u8]) -> Result<FoundObject> {
    let resource: ObjectResource = serde_json::from_slice(json).doing(|| "read the answer".into())?;
    resource.into_found()
}

/// Reads a page of a listing.
///
/// # Errors
/// Failed when it is none: a listing that is not whole must not count.
pub(super) fn read_page(json: &[u8]) -> Result<ListedPage> {
    let page: ObjectsPage = serde_json::from_slice(json).doing(|| "read the listing".into())?;
    let objects = page.items.into_iter().map(ObjectResource::into_found).collect::<Result<_>>()?;
    Ok(ListedPage { objects, folders: page.prefixes, next: page.next_page_token.filter(|t| !t.is_empty()) })
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<ErrorReason>,
}

#[derive(Deserialize)]
struct ErrorReason {
    #[serde(default)]
    reason: String,
}

/// The reason and the message; some answers are a line of plain text.
pub(super) fn read_refusal(body: &[u8]) -> (String, String) {
    match serde_json::from_slice::<ErrorAnswer>(body) {
        Ok(ErrorAnswer { error }) => {
            let reason = error.errors.into_iter().next().map(|e| e.reason).unwrap_or_default();
            (reason, error.message.trim_end_matches('.').to_string())
        }
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            (String::new(), text.lines().next().unwrap_or_default().chars().take(200).collect())
        }
    }
}

pub(super) fn remedy(status: u16, need: Need) -> Option<&'static str> {
    Some(match (status, need) {
        (404, Need::List | Need::Write) => "create the bucket, or correct its name in the repository's URL",
        (401, _) => {
            "the credentials are not accepted: check GOOGLE_APPLICATION_CREDENTIALS and this machine's clock"
        }
        (403, Need::Read | Need::List) => "grant the role Storage Object Viewer on the bucket",
        (403, Need::Write) => "grant the role Storage Object Creator on the bucket",
        (403, _) => {
            "grant storage.objects.delete on the bucket (role Storage Object User); an object under a retention policy \
             cannot be removed before its end"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_and_pages_are_read() {
        let object = r#"{"kind":"storage#object","name":"p/a b","size":"12","generation":"17","storageClass":"ARCHIVE",
            "timeCreated":"2026-11-30T15:00:01.5Z","metadata":{"first-lsn":"0/1"}}"#;
        let found = FoundObject {
            path: "p/a b".into(),
            size: 12,
            modified: "2026-11-30T15:00:01.5Z".parse().expect("a time"),
            class: Some("ARCHIVE".into()),
            metadata: Attrs::from([("first-lsn".into(), "0/1".into())]),
        };
        assert_eq!(read_object(object.as_bytes()).expect("reads"), found);
        let page = format!(r#"{{"items":[{object}],"prefixes":["p/s/"],"nextPageToken":"x="}}"#);
        let read = read_page(page.as_bytes()).expect("reads");
        let expected =
            ListedPage { objects: vec![found], folders: vec!["p/s/".into()], next: Some("x=".into()) };
        assert_eq!(read, expected);
        assert_eq!(read_page(br#"{"kind":"storage#objects"}"#).expect("reads"), ListedPage::default());
        for broken in ["", "[]", r#"{"items":[{}]}"#, r#"{"items":[{"name":"a","size":"x"}]}"#] {
            assert!(read_page(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn refusals_are_read() {
        let body =
            br#"{"error":{"code":412,"message":"At least one.","errors":[{"reason":"conditionNotMet"}]}}"#;
        assert_eq!(read_refusal(body), ("conditionNotMet".into(), "At least one".into()));
        assert_eq!(read_refusal(b"Not Found\nmore"), (String::new(), "Not Found".into()));
        assert!(remedy(404, Need::List).is_some_and(|h| h.contains("create the bucket")));
        assert_eq!((remedy(404, Need::Read), remedy(503, Need::List)), (None, None));
    }
}
