//! S3 as a store, on SeaweedFS: its promises, its credentials, its clear refusals.

mod s3_child;

use s3_child::{child, fails, in_child, key, put, run, same, service, store, through, uploads};
use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use testkit::contract::{self, Noise};
use testkit::{Cable, S3 as Service};
use toban_core::Kind;
use toban_core::store::{Attrs, Store, Stored};

#[test]
fn keeps_the_contract() {
    in_child("keeps_the_contract", "contract", &[], || {
        contract::check(&store("contract/some/prefix"));
        assert_eq!(uploads("contract"), 0, "a broken body left an upload");
        // The probe is there, and it is not in the way.
        assert_eq!(store("contract").list("").expect("listed"), []);
        let (status, _) = testkit::http(service(), "HEAD", "/contract/some/prefix/.toban-probe", &[]);
        assert_eq!(status, 200);
    });
}

#[test]
fn a_missing_bucket_is_not_an_absent_object() {
    in_child("a_missing_bucket_is_not_an_absent_object", "present", &[], || {
        let store = store("missing-bucket/p");
        fails(store.stat(&key("a")), Kind::Failed, "NoSuchBucket", "create the bucket");
        fails(store.get(&key("a"), 0).map(|_| ()), Kind::Failed, "NoSuchBucket", "create the bucket");
        fails(store.list(""), Kind::Failed, "NoSuchBucket", "create the bucket");
        fails(put(&store, "a", b"x"), Kind::Failed, "NoSuchBucket", "create the bucket");
        fails(store.remove(&key("a")), Kind::Failed, "NoSuchBucket", "create the bucket");
    });
}

#[test]
fn a_wrong_secret_is_told() {
    let wrong = [("AWS_SECRET_ACCESS_KEY", "not-the-secret")];
    in_child("a_wrong_secret_is_told", "secret", &wrong, || {
        let e =
            fails(store("secret").list(""), Kind::Failed, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY");
        assert!(!format!("{e:?}").contains("not-the-secret"));
        fails(
            put(&store("secret"), "a", b"x"),
            Kind::Failed,
            "SignatureDoesNotMatch",
            "AWS_SECRET_ACCESS_KEY",
        );
        // HEAD has no body that could name the reason.
        fails(store("secret").stat(&key("a")), Kind::Failed, "403", "check the keys");
    });
}

#[test]
fn an_unknown_access_key_is_told() {
    in_child("an_unknown_access_key_is_told", "access", &[("AWS_ACCESS_KEY_ID", "AKNOBODY")], || {
        fails(store("access").list(""), Kind::Failed, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID");
    });
}

const NO_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

/// The address that would give a machine in EC2 its role does not answer at all.
#[test]
fn no_credentials_is_one_line_and_soon() {
    let deaf = TcpListener::bind(("127.0.0.1", 0)).expect("port");
    let address = format!("http://{}", deaf.local_addr().expect("address"));
    let metadata = [("AWS_EC2_METADATA_DISABLED", ""), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*address)];
    let extra: Vec<(&str, &str)> = NO_KEYS.into_iter().chain(metadata).collect();
    in_child("no_credentials_is_one_line_and_soon", "nobody", &extra, || {
        let began = Instant::now();
        fails(store("nobody").list(""), Kind::Failed, "find credentials for S3", "set AWS_ACCESS_KEY_ID");
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    });
}

#[test]
fn credentials_come_from_a_profile_or_a_process() {
    let folder = tempfile::tempdir().expect("tempdir");
    let env: HashMap<String, String> = Service::env_at("").into_iter().collect();
    let (id, secret) = (&env["AWS_ACCESS_KEY_ID"], &env["AWS_SECRET_ACCESS_KEY"]);
    let json = format!(r#"{{"Version":1,"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
    let (keys, file) = (folder.path().join("keys.json"), folder.path().join("credentials"));
    std::fs::write(&keys, json).expect("write");
    let plain = format!("[plain]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    let asked = format!("[asked]\ncredential_process=cat {}\n", keys.display());
    std::fs::write(&file, plain + &asked).expect("write");
    for profile in ["plain", "asked"] {
        let file = file.to_str().expect("UTF-8");
        let more = [("AWS_SHARED_CREDENTIALS_FILE", file), ("AWS_PROFILE", profile)];
        let extra: Vec<(&str, &str)> = NO_KEYS.into_iter().chain(more).collect();
        in_child("credentials_come_from_a_profile_or_a_process", "profile", &extra, || {
            put(&store("profile"), &testkit::seed().to_string(), b"x").expect("stored");
        });
    }
}

#[test]
fn locked_buckets_take_objects_because_each_has_its_checksum() {
    let parent = std::env::var_os("TOBAN_TEST_CHILD").is_none().then(Service::shared);
    if let Some(service) = &parent {
        service.locked_url("locked");
    }
    in_child("locked_buckets_take_objects_because_each_has_its_checksum", "locked", &[], || {
        let (_, xml) = testkit::http(service(), "GET", "/locked?object-lock", &[]);
        assert!(xml.contains("<ObjectLockEnabled>Enabled"), "{xml}");
        let cable = Cable::http(service());
        let store = through(&cable, "locked");
        put(&store, "small", b"x").expect("stored");
        assert_eq!(put(&store, "small", b"y").expect("asked"), Stored::Exists);
        store.put(&key("large"), &mut Noise::new(1, 20 << 20), &Attrs::new()).expect("stored");
        same(&store, "large", 1, 20 << 20);
        let heads = cable.requests();
        let bodies: Vec<&String> = heads.iter().filter(|h| h.starts_with("PUT ")).collect();
        assert!(bodies.len() >= 6, "{bodies:?}");
        for head in bodies {
            let head = head.to_ascii_lowercase();
            assert!(head.contains("\nx-amz-checksum-sha256: ") && !head.contains("chunked"), "{head}");
        }
    });
}

#[test]
fn memory_does_not_grow_with_the_body() {
    in_child("memory_does_not_grow_with_the_body", "memory", &[], || {
        let peak = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("status");
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") >> 10
        };
        let store = store("memory");
        put(&store, "small", b"x").expect("stored");
        let before = peak();
        store.put(&key("a"), &mut Noise::new(1, 200 << 20), &Attrs::new()).expect("stored");
        let written = peak();
        same(&store, "a", 1, 200 << 20);
        eprintln!(
            "peak RSS, MiB: {before} at first, {written} after writing 200 MiB, {} after reading",
            peak()
        );
        assert!(peak() < before + 64, "{before} → {written} → {} MiB", peak());
    });
}

#[test]
fn what_a_killed_upload_left_is_swept() {
    const NAME: &str = "what_a_killed_upload_left_is_swept";
    match std::env::var("TOBAN_TEST_ROLE").as_deref() {
        Ok("upload") => {
            let _ = store("killed/p").put(&key("a"), &mut Noise::new(1, 4 << 30), &Attrs::new());
        }
        Ok("sweep") => sweep(),
        _ => {
            let service = Service::shared();
            service.url("killed");
            let role = |role| child(&service, NAME, &[("TOBAN_TEST_ROLE", role)]);
            kill_once_uploading(&service, role("upload").stdout(Stdio::null()).spawn().expect("run"));
            run(role("sweep"));
        }
    }
}

fn sweep() {
    let hour = Duration::from_secs(3600);
    let mine = store("killed/p");
    assert_eq!(uploads("killed"), 1);
    assert_eq!(mine.sweep(hour).expect("swept"), 0, "it is not old yet");
    assert_eq!(store("killed/other").sweep(Duration::ZERO).expect("swept"), 0, "it is not theirs");
    assert_eq!(mine.sweep(Duration::ZERO).expect("swept"), 1);
    assert_eq!((uploads("killed"), mine.list("").expect("listed")), (0, vec![]));
    assert_eq!(put(&mine, "a", b"x").expect("stored"), Stored::New);
}

fn until_uploading(service: &Service, bucket: &str) {
    testkit::until("an upload is under way", Duration::from_secs(30), || {
        let (_, xml) = service.http("GET", &format!("/{bucket}?uploads"), &[]);
        xml.contains("<UploadId>").then_some(()).ok_or(xml)
    });
}

fn kill_once_uploading(service: &Service, mut uploading: Child) {
    until_uploading(service, "killed");
    uploading.kill().expect("kill");
    uploading.wait().expect("reap");
}

/// The child is a tool whose arguments are those of a test.
#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    common: toban_core::cli::Common,
    test: String,
    #[arg(long)]
    exact: bool,
    #[arg(long)]
    nocapture: bool,
}

impl toban_core::Cli for Args {
    fn common(&self) -> &toban_core::cli::Common {
        &self.common
    }
}

#[test]
fn an_upload_that_is_told_to_stop_leaves_nothing() {
    const NAME: &str = "an_upload_that_is_told_to_stop_leaves_nothing";
    if std::env::var_os("TOBAN_TEST_CHILD").is_some() {
        let status = toban_core::main(|args: Args, _| {
            assert!(args.exact && args.nocapture && args.test == NAME);
            store("stopped").put(&key("a"), &mut Noise::new(1, 4 << 30), &Attrs::new()).map(|_| ())
        });
        assert_eq!(format!("{status:?}"), format!("{:?}", std::process::ExitCode::from(75)));
        return assert_eq!(uploads("stopped"), 0);
    }
    let service = Service::shared();
    service.url("stopped");
    let mut uploading =
        child(&service, NAME, &[]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("run");
    until_uploading(&service, "stopped");
    let pid = rustix::process::Pid::from_child(&uploading);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("tell it to stop");
    let (began, status) = (Instant::now(), uploading.wait().expect("reap"));
    let mut told = String::new();
    uploading.stderr.take().expect("piped").read_to_string(&mut told).expect("UTF-8");
    assert!(status.success() && told.contains("stopped by a signal"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}
