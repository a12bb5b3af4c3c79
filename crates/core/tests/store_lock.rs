//! Object Lock, on SeaweedFS: what is put is locked, stays readable whatever is done over it, and is proven to be locked.

mod s3_child;

use jiff::{SignedDuration, Timestamp};
use s3_child::{fails, in_child, key, put, same, service};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;
use testkit::S3 as Service;
use testkit::contract::{self, Noise};
use toban_core::Kind;
use toban_core::config::LockMode;
use toban_core::repo::keys::is_passing;
use toban_core::store::{Attrs, Lock, LockRules, S3, S3Options, Store, Stored, read_small};

fn store(place: &str, lock: Option<Lock>) -> S3 {
    let locks = Some(LockRules { lock, is_passing });
    S3::open(place, &S3Options { locks, ..S3Options::default() }).expect("opened")
}

fn hours(mode: LockMode, hours: u64) -> Option<Lock> {
    Some(Lock { mode, span: Duration::from_secs(hours * 3600) })
}

/// Runs `body` in a child where the bucket has Object Lock.
fn with_locks(test: &str, bucket: &str, body: impl FnOnce()) {
    let parent = std::env::var_os("TOBAN_TEST_CHILD").is_none().then(Service::shared);
    if let Some(service) = &parent {
        service.locked_url(bucket);
    }
    in_child(test, bucket, &[], body);
}

#[test]
fn versions_keep_the_contract() {
    with_locks("versions_keep_the_contract", "versions", || contract::check(&store("versions/p", None)));
}

const WAL: &str = "main/7/wal/00000001/00000000/000000010000000000000002";
const INTENT: &str = "main/7/intent/20261121T030000Z-120034.json";

#[test]
fn what_is_put_is_locked_and_stays_what_it_was() {
    with_locks("what_is_put_is_locked_and_stays_what_it_was", "kept", || {
        for mode in [LockMode::Compliance, LockMode::Governance] {
            stays_what_it_was(mode);
        }
    });
}

fn stays_what_it_was(mode: LockMode) {
    let place = format!("kept/{mode:?}");
    let kept = store(&place, hours(mode, 2));
    let (wal, intent, large) = (key(WAL), key(INTENT), key("main/7/backup/x/pack/00000.tar.zst"));
    assert_eq!(put(&kept, WAL, b"ours").expect("stored"), Stored::New);
    assert_eq!(put(&kept, INTENT, b"{}").expect("stored"), Stored::New);
    kept.put(&large, &mut Noise::new(1, 20 << 20), &Attrs::new()).expect("stored");
    let ends_in = |key| {
        let until = kept.locked_until(key).expect("asked").expect("locked");
        (until.duration_since(Timestamp::now()) + SignedDuration::from_secs(30)).as_hours()
    };
    assert_eq!((ends_in(&wal), ends_in(&large)), (2, 2), "a small one and one in parts");
    assert_eq!(kept.locked_until(&intent).expect("asked"), None, "what goes again is not locked");
    assert_eq!(kept.locked_until(&key("main/7/wal/no")).expect("asked"), None);

    assert!(store(&place, hours(mode, 5)).renew_lock(&wal).expect("renewed"));
    assert_eq!(ends_in(&wal), 5);
    assert!(kept.renew_lock(&wal).expect("asked"), "it is there");
    assert_eq!(ends_in(&wal), 5, "never shorter");
    assert!(!kept.renew_lock(&key("main/7/wal/no")).expect("asked"), "it is not there");

    // Another version, then a delete marker, by somebody who may do everything but end a lock.
    let path = |key| format!("/{place}/{key}");
    let look = |method, path: &str| testkit::http(service(), method, path, &[]);
    assert_eq!(look("PUT", &path(WAL)).0, 200);
    let unconfigured = store(&place, None);
    for (what, method) in [("written over", "GET"), ("deleted", "DELETE")] {
        assert!(matches!(look(method, &path(WAL)).0, 200 | 204), "{what}");
        for reader in [&kept, &unconfigured, &store(&place, None)] {
            assert_eq!(read_small(reader, &wal, 100).expect("read").expect("there"), b"ours", "{what}");
            let stat = reader.stat(&wal).expect("asked").expect("there");
            let listed = reader.list("main/7/wal/").expect("listed");
            assert_eq!((stat.size, listed.len(), listed[0].size), (4, 1, 4), "{what}: {listed:?}");
            assert_eq!(listed[0].modified, stat.modified, "{what}");
            assert_eq!(reader.folders("main/7/").expect("listed"), ["backup", "intent", "wal"], "{what}");
        }
    }
    assert_eq!(look("DELETE", &path(INTENT)).0, 204);
    assert_eq!(unconfigured.stat(&intent).expect("asked"), None, "what is not locked can be deleted");
    assert_eq!(unconfigured.list("main/7/intent/").expect("listed"), []);

    fails(kept.remove(&wal), Kind::Failed, "AccessDenied", "wait for the retention to end");
    same(&kept, large.as_str(), 1, 20 << 20);
}

#[test]
fn a_service_that_locks_nothing_is_refused() {
    in_child("a_service_that_locks_nothing_is_refused", "open", &[], || {
        let lock = hours(LockMode::Governance, 1);
        let e =
            fails(put(&store("open", lock), WAL, b"x"), Kind::Failed, "without Object Lock", "take `lock`");
        assert!(e.chain().contains("s3://open cannot keep what `lock` promises"), "{e:?}");
        assert_eq!(store("open", None).list("").expect("listed"), [], "nothing was written before");

        let deaf = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let endpoint = Some(format!("http://{}", deaf.local_addr().expect("an address")));
        thread::spawn(move || answer_without_locks(&deaf));
        let locks = Some(LockRules { lock, is_passing });
        let ignoring = S3::open("b", &S3Options { endpoint, locks, ..S3Options::default() }).expect("opened");
        fails(put(&ignoring, WAL, b"x"), Kind::Failed, "does not lock them", "take `lock`");
    });
}

/// A service that takes every object and no lock.
fn answer_without_locks(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok());
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).expect("a body");
        let (status, body) = match head.split(' ').next() {
            Some("put") if head.contains("/.toban-probe") => ("412 Precondition Failed", String::new()),
            Some("put") => ("200 OK", String::new()),
            _ => ("404 Not Found", s3_child::says("NoSuchObjectLockConfiguration")),
        };
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).expect("answered");
    }
}
