//! Credentials come from the environment, which a process cannot safely change for itself; so each test of S3 runs
//! its body in a child that has the environment it needs, against one service that the tests share.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::process::Command;
use testkit::contract::Noise;
use testkit::{Cable, S3 as Service};
use toban_core::store::{Attrs, Key, S3, S3Options, Store, Stored};
use toban_core::sum::Measured;
use toban_core::{Error, Kind};

const CHILD: &str = "TOBAN_TEST_CHILD";

/// Runs `body` in a child with the environment of a running service and `extra`, and `bucket` in it; `body` ends
/// with its process. An empty value in `extra` removes the variable.
pub(crate) fn in_child(test: &str, bucket: &str, extra: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some_and(|c| c == test) {
        return body();
    }
    let service = Service::shared();
    service.url(bucket);
    run(child(&service, test, extra));
}

/// Runs `body` in a child with the environment `env`, which `parent` makes and may keep a service alive for.
pub(crate) fn in_child_with<T>(
    test: &str,
    parent: impl FnOnce() -> (T, Vec<(String, String)>),
    body: impl FnOnce(),
) {
    if std::env::var_os(CHILD).is_some_and(|c| c == test) {
        return body();
    }
    let (_service, env) = parent();
    let mut child = Command::new(std::env::current_exe().expect("exe"));
    child.args([test, "--exact", "--nocapture"]).env(CHILD, test).env("TOBAN_RETRY_FOR", "30s").envs(env);
    run(child);
}

/// The command that runs the child's part of `test`.
pub(crate) fn child(service: &Service, test: &str, extra: &[(&str, &str)]) -> Command {
    let mut child = Command::new(std::env::current_exe().expect("exe"));
    child.args([test, "--exact", "--nocapture"]).env(CHILD, test);
    child.envs(service.env()).env("AWS_CONFIG_FILE", "/dev/null").env("TOBAN_RETRY_FOR", "30s");
    child.env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").envs(extra.iter().copied());
    for (name, _) in extra.iter().filter(|(_, value)| value.is_empty()) {
        child.env_remove(name);
    }
    child
}

/// Runs a child's part to its end, which must be a good one.
pub(crate) fn run(mut child: Command) {
    let out = child.output().expect("run");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}\n{told}", String::from_utf8_lossy(&out.stdout));
    eprint!("{told}");
}

/// Where the service listens, in a child.
pub(crate) fn service() -> SocketAddr {
    let url = std::env::var("AWS_ENDPOINT_URL_S3").expect("set by the parent");
    url.trim_start_matches("http://").parse().expect("an address")
}

pub(crate) fn store(place: &str) -> S3 {
    S3::open(place, &S3Options::default()).expect("opened")
}

pub(crate) fn through(cable: &Cable, place: &str) -> S3 {
    let options = S3Options { endpoint: Some(cable.endpoint()), ..S3Options::default() };
    S3::open(place, &options).expect("opened")
}

pub(crate) fn key(name: &str) -> Key {
    name.parse().expect("a fine name")
}

pub(crate) fn put(store: &dyn Store, name: &str, body: &[u8]) -> toban_core::Result<Stored> {
    store.put(&key(name), &mut &body[..], &Attrs::new())
}

/// The object must be the noise of `seed` and `size`.
pub(crate) fn same(store: &dyn Store, name: &str, seed: u64, size: u64) {
    let sum = |reader: &mut dyn std::io::Read| {
        let mut measured = Measured::new(reader);
        std::io::copy(&mut measured, &mut std::io::sink()).expect("read");
        measured.sum()
    };
    let mut stored = store.get(&key(name), 0).expect("asked").expect("there");
    assert_eq!(sum(&mut stored), sum(&mut Noise::new(seed, size)), "{name}");
}

/// What an XML error of S3 looks like.
pub(crate) fn says(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code} was said</Message></Error>")
}

/// Unfinished uploads, by a look from outside.
pub(crate) fn uploads(bucket: &str) -> usize {
    let (status, xml) = testkit::http(service(), "GET", &format!("/{bucket}?uploads"), &[]);
    assert_eq!(status, 200, "{xml}");
    xml.matches("<UploadId>").count()
}

/// The error must be of `kind`, say `words`, and give `hint`.
pub(crate) fn fails<T>(result: toban_core::Result<T>, kind: Kind, words: &str, hint: &str) -> Error {
    let e = result.err().unwrap_or_else(|| panic!("{words} was expected"));
    assert_eq!(e.kind(), kind, "{e:?}");
    assert!(e.chain().contains(words), "{words:?} is not in {e:?}");
    assert!(
        e.find_hint().unwrap_or_default().contains(hint),
        "{hint:?} is not in {:?} of {e:?}",
        e.find_hint()
    );
    e
}
