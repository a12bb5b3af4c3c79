//! What an S3 error means: which exit status, which remedy.

use crate::error::{Error, Kind};
use crate::store::ask::{Need, Refusal, parse_retry_after};
use crate::store::failure::{deepest_cause, explain_failure};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Judges `e`, the answer to a request that needs `need`.
pub(super) fn judge_error<E>(e: SdkError<E, HttpResponse>, need: Need) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = e.raw_response().map_or(0, |r| r.status().as_u16());
    let code = e.code().unwrap_or_default().to_string();
    let error = match &e {
        SdkError::ServiceError(said) => explain_answer(status, &code, said.err().message(), need),
        SdkError::ConstructionFailure(_) => Error::failed("make the request").because(deepest_cause(&e)),
        _ => explain_failure(&e),
    };
    let retry_after = parse_retry_after(e.raw_response().and_then(|r| r.headers().get("retry-after")));
    Refusal { status, code, retry_after, attempts: 0, error }
}

fn explain_answer(status: u16, code: &str, message: Option<&str>, need: Need) -> Error {
    let what = match (code, message.unwrap_or_default()) {
        ("", _) => format!("the service answered {status}"),
        (code, "") => format!("{code} (status {status})"),
        (code, message) => format!("{code}: {message} (status {status})"),
    };
    let e = Error::new(kind_of_answer(status, code), what);
    match remedy(status, code, need) {
        Some(hint) => e.hint(hint),
        None => e,
    }
}

fn kind_of_answer(status: u16, code: &str) -> Kind {
    match code {
        "SlowDown"
        | "RequestTimeout"
        | "ServiceUnavailable"
        | "InternalError"
        | "Throttling"
        | "RequestLimitExceeded"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Kind::Retry,
        // 409 is an upload of the same name that has not ended: whoever asks again learns how it ended (S3 API,
        // "PutObject", ConditionalRequestConflict).
        _ if matches!(status, 408 | 409 | 429 | 500 | 502 | 503 | 504) => Kind::Retry,
        _ => Kind::Failed,
    }
}

fn remedy(status: u16, code: &str, need: Need) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" => "create the bucket, or correct its name in the repository's URL",
        "InvalidAccessKeyId" => {
            "the service does not know this access key: check AWS_ACCESS_KEY_ID or the profile"
        }
        "SignatureDoesNotMatch" => {
            "the secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY or the profile"
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            "the session credentials have expired: renew them"
        }
        "InvalidToken" => "AWS_SESSION_TOKEN does not belong to the access key: renew or unset it",
        "InvalidObjectState" => {
            "the object is in an archive class: bring it back first by `aws s3api restore-object`, which takes hours"
        }
        "RequestTimeTooSkewed" => "set this machine's clock",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region: set AWS_REGION or s3_region"
        }
        _ if status == 403 => need.describe_grant(),
        _ if status == 301 => "the bucket is in another region: set AWS_REGION or s3_region",
        _ => return None,
    })
}

impl Need {
    fn describe_grant(self) -> &'static str {
        match self {
            Need::Read => {
                "check the keys; grant s3:GetObject on the objects, and s3:ListBucket on the bucket: without that S3 answers 403 for an object that is not there"
            }
            Need::Write => {
                "grant s3:PutObject on the objects (and s3:PutObjectRetention if the bucket asks for it)"
            }
            Need::List => "grant s3:ListBucket on the bucket",
            Need::ListVersions => "grant s3:ListBucketVersions on the bucket, which has Object Lock",
            Need::ReadLifecycle => "grant s3:GetLifecycleConfiguration on the bucket",
            Need::ReadLock => "grant s3:GetObjectRetention on the objects",
            Need::WriteLock => "grant s3:PutObjectRetention on the objects",
            Need::Delete => {
                "grant s3:DeleteObject on the objects; where they are locked, wait for the retention to end"
            }
            Need::Abort => "grant s3:AbortMultipartUpload on the objects",
            Need::Sweep => "grant s3:ListBucketMultipartUploads on the bucket",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_cures() {
        let table = [
            (503, "SlowDown", Kind::Retry, None),
            (429, "", Kind::Retry, None),
            (500, "InternalError", Kind::Retry, None),
            (400, "RequestTimeout", Kind::Retry, None),
            (409, "ConditionalRequestConflict", Kind::Retry, None),
            (404, "NoSuchBucket", Kind::Failed, Some("create the bucket")),
            (403, "AccessDenied", Kind::Failed, Some("s3:ListBucket")),
            (403, "", Kind::Failed, Some("s3:ListBucket")),
            (400, "ExpiredToken", Kind::Failed, Some("renew")),
            (403, "SignatureDoesNotMatch", Kind::Failed, Some("AWS_SECRET_ACCESS_KEY")),
            (412, "PreconditionFailed", Kind::Failed, None),
        ];
        for (status, code, kind, hint) in table {
            let e = explain_answer(status, code, None, Need::Read);
            assert_eq!(e.kind(), kind, "{status} {code}");
            match hint {
                Some(part) => {
                    assert!(e.find_hint().is_some_and(|c| c.contains(part)), "{status} {code}: {e:?}");
                }
                None => assert_eq!(e.find_hint(), None, "{status} {code}"),
            }
        }
    }
}
