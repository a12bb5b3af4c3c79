//! What Azure says of blobs: in the headers of an answer, and in pages of XML.

use super::super::dialect::{FoundObject, ListedPage};
use super::META;
use crate::error::{Context, Error, Result};
use crate::store::Attrs;
use serde::Deserialize;

/// Reads the headers of an answer to HEAD; none for a folder of an account with a hierarchical namespace.
pub(super) fn read_properties<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<FoundObject>> {
    let (mut found, mut size) = (FoundObject::default(), None);
    for (name, value) in headers {
        match name {
            "content-length" => size = value.parse().ok(),
            "last-modified" => found.modified = parse_time(value),
            "x-ms-access-tier" => found.class = unusual_tier(value),
            "x-ms-resource-type" if value == "directory" => return Ok(None),
            _ => {
                let ours = name.strip_prefix(META).map(|n| (n.replace('_', "-"), value.to_string()));
                found.metadata.extend(ours);
            }
        }
    }
    found.size = size.ok_or_else(|| Error::failed("the answer has no length"))?;
    Ok(Some(found))
}

/// Hot is the usual one, from which and from Cool and Cold everything can be read at once.
fn unusual_tier(tier: &str) -> Option<String> {
    (tier != "Hot" && !tier.is_empty()).then(|| tier.to_string())
}

/// `Mon, 30 Nov 2026 15:00:00 GMT`; the beginning of time for what does not read.
fn parse_time(text: &str) -> jiff::Timestamp {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnumerationResults {
    blobs: ListedBlobs,
    next_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedBlobs {
    #[serde(default)]
    blob: Vec<ListedBlob>,
    #[serde(default)]
    blob_prefix: Vec<BlobFolder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlobFolder {
    name: BlobName,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedBlob {
    name: BlobName,
    properties: ListedProperties,
}

/// Its attribute `Encoded` stands on names that XML cannot hold, which are none of ours.
#[derive(Deserialize)]
struct BlobName {
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct ListedProperties {
    #[serde(rename = "Last-Modified", default)]
    last_modified: String,
    #[serde(rename = "Content-Length", default)]
    content_length: u64,
    #[serde(rename = "AccessTier", default)]
    access_tier: String,
    #[serde(rename = "ResourceType", default)]
    resource_type: String,
}

/// Reads the answer to List Blobs.
///
/// # Errors
/// Failed when it is not what the service answers: a listing that is not whole must not count.
pub(super) fn read_page(xml: &[u8]) -> Result<ListedPage> {
    let text = str::from_utf8(xml).doing(|| "read the listing".into())?;
    let text = text.trim_start_matches('\u{feff}');
    let results: EnumerationResults = quick_xml::de::from_str(text).doing(|| "read the listing".into())?;
    let blobs = results.blobs.blob.into_iter().filter(|b| b.properties.resource_type != "directory");
    let found = |blob: ListedBlob| FoundObject {
        path: blob.name.text,
        size: blob.properties.content_length,
        modified: parse_time(&blob.properties.last_modified),
        class: unusual_tier(&blob.properties.access_tier),
        metadata: Attrs::new(),
    };
    Ok(ListedPage {
        objects: blobs.map(found).collect(),
        folders: results.blobs.blob_prefix.into_iter().map(|p| p.name.text).collect(),
        next: results.next_marker.filter(|m| !m.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c"><Prefix>p/</Prefix>
<Blobs><Blob><Name>p/a b&amp;c</Name><Properties><Creation-Time>Mon, 30 Nov 2026 15:00:00 GMT</Creation-Time>
<Last-Modified>Mon, 30 Nov 2026 15:00:01 GMT</Last-Modified><Etag>0x8</Etag><Content-Length>12</Content-Length>
<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType><AccessTier>Archive</AccessTier>
<AccessTierInferred>true</AccessTierInferred></Properties><OrMetadata /></Blob>
<BlobPrefix><Name>p/sub/</Name></BlobPrefix>
<Blob><Name Encoded="true">p%2Fodd%EF%BF%BE</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
<Blob><Name>p/folder</Name><Properties><Content-Length>0</Content-Length><ResourceType>directory</ResourceType>
</Properties></Blob></Blobs><NextMarker>2!92!x</NextMarker></EnumerationResults>"#;

    #[test]
    fn a_page_is_read() {
        let page = read_page(format!("\u{feff}{PAGE}").as_bytes()).expect("reads");
        let first = FoundObject {
            path: "p/a b&c".into(),
            size: 12,
            modified: "2026-11-30T15:00:01Z".parse().expect("a time"),
            class: Some("Archive".into()),
            metadata: Attrs::new(),
        };
        assert_eq!((page.objects.len(), &page.objects[0]), (2, &first));
        assert_eq!((page.folders, page.next), (vec!["p/sub/".to_string()], Some("2!92!x".to_string())));
        let last = PAGE.replace("<NextMarker>2!92!x</NextMarker>", "<NextMarker />");
        assert_eq!(read_page(last.as_bytes()).expect("reads").next, None);
        let empty = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        assert_eq!(read_page(empty.as_bytes()).expect("reads"), ListedPage::default());
        for broken in ["", "<html>", &PAGE[..PAGE.len() - 80], "<Error><Code>X</Code></Error>"] {
            assert!(read_page(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn headers_are_read() {
        let headers = [
            ("content-length", "5"),
            ("last-modified", "Mon, 30 Nov 2026 15:00:01 GMT"),
            ("x-ms-access-tier", "Hot"),
            ("x-ms-meta-toban_first_lsn", "0/1 = {\"x\"}"),
            ("x-ms-meta-others", "1"),
        ];
        let found = read_properties(headers.into_iter()).expect("reads").expect("a blob");
        assert_eq!((found.size, found.class), (5, None));
        assert_eq!(found.metadata, Attrs::from([("first-lsn".into(), "0/1 = {\"x\"}".into())]));
        let folder = headers.into_iter().chain([("x-ms-resource-type", "directory")]);
        assert_eq!(read_properties(folder).expect("reads"), None);
        assert!(read_properties([("etag", "x")].into_iter()).is_err());
    }
}
