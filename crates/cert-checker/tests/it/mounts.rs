//! Stores beside plain PEM, and file systems that change, block or die while they are read.

use crate::mint::{DAY, Wish, block, pem};
use crate::world::{Found, World, judged_at};
use base64::Engine;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The form of a JKS, as keytool writes it: an entry of a key with its chain.
fn keystore(magic: u32, chain: &[&[u8]]) -> Vec<u8> {
    let of32 = |n: usize| u32::try_from(n).expect("small").to_be_bytes().to_vec();
    let text = |t: &str| [vec![0, t.len() as u8], t.as_bytes().to_vec()].concat();
    let certs: Vec<u8> =
        chain.iter().flat_map(|c| [text("X.509"), of32(c.len()), c.to_vec()].concat()).collect();
    let head = [magic.to_be_bytes().to_vec(), of32(2), of32(1), of32(1), text("web"), vec![0; 8]].concat();
    [head, of32(4), b"KEY!".to_vec(), of32(chain.len()), certs, vec![0; 20]].concat()
}

#[test]
fn java_keystores() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let leaf = Wish::server(&[]).between(-80 * DAY, 10 * DAY).signed_by(&root);
    let whole = keystore(0xfeed_feed, &[&leaf.der, &root.der]);
    world.file("store.jks", &whole);
    world.file("store.jceks", keystore(0xcece_cece, &[&leaf.der, &root.der]));
    world.file("cut.jks", &whole[..whole.len() - 60]);
    world.file("magic.jks", [b"\xfe\xed\xfe\xee".to_vec(), whole[4..].to_vec()].concat());
    for name in ["./store.jks", "./store.jceks"] {
        let ran = world.check(&[name, "--any-issuer"]);
        assert_eq!(ran.finding_ids(), ["expires warning"], "S4 {name}: {ran:?}");
        assert_eq!(ran.records()[0]["chain"].as_array().map(Vec::len), Some(2), "S4 {name}: {ran:?}");
    }
    assert_eq!(
        world.check(&["./cut.jks", "--any-issuer"]).finding_ids(),
        ["damaged unknown", "expires warning"],
        "S4"
    );
    assert_eq!(world.check(&["./magic.jks"]).finding_ids(), ["nothing-found unknown"], "S4");
}

#[test]
fn secrets_of_kubernetes() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let leaf = Wish::server(&[]).between(-80 * DAY, 10 * DAY).signed_by(&root);
    let text = pem(&[&leaf.der, &root.der]);
    let wrapped = base64::engine::general_purpose::STANDARD.encode(&text);
    let cases = [
        ("secret.yaml", format!("kind: Secret\ndata:\n  tls.crt: {wrapped}\n  tls.key: QUJD\n")),
        (
            "list.json",
            format!("{{\"kind\":\"List\",\"items\":[{{\"data\":{{\"tls.crt\":\"{wrapped}\"}}}}]}}"),
        ),
        ("plain.yaml", format!("stringData:\n  tls.crt: |\n    {}", text.replace('\n', "\n    "))),
        ("plain.json", format!("{{\"stringData\":{{\"tls.crt\":{text:?}}}}}")),
        ("kubeconfig", format!("users:\n- user:\n    client-certificate-data: {wrapped}\n")),
    ];
    for (name, content) in cases {
        world.file(name, content);
        assert_eq!(
            world.check(&[&format!("./{name}"), "--any-issuer"]).finding_ids(),
            ["expires warning"],
            "S5 {name}"
        );
    }
    world.file("broken.yaml", format!("data:\n  tls.crt: {}=A\n", &wrapped[..wrapped.len() / 2]));
    assert_eq!(world.check(&["./broken.yaml"]).finding_ids(), ["damaged unknown"], "S5");
}

#[test]
fn revocation_lists_are_fresh_or_not() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let cases: [(&str, i64, i64, &[&str]); 4] = [
        ("S10 fresh", -DAY, 6 * DAY, &[]),
        ("S10 soon", -7 * DAY, DAY / 2, &["crl-expires warning"]),
        ("S10 stale", -8 * DAY, -1, &["crl-expired critical"]),
        ("S10 at its end", -7 * DAY, 0, &["crl-expires warning"]),
    ];
    for (id, from, until, said) in cases {
        let list = crate::revoked::list_between(&root, from, until);
        world.file("a.crl", &list);
        world.file("a.pem", block("X509 CRL", &list));
        for name in ["./a.crl", "./a.pem"] {
            let ran = world.check(&[name]);
            let status = if said.is_empty() { 0 } else { 4 };
            assert_eq!(
                (ran.finding_ids(), ran.status),
                (said.iter().map(ToString::to_string).collect(), Some(status)),
                "{id} {name}: {ran:?}"
            );
            assert_eq!(ran.records()[0]["subject"], "revocation list of CN=Root", "{id}");
        }
    }
}

/// certbot replaces links while they are read: either certificate is seen, and never none.
#[test]
fn links_that_are_swapped_during_the_scan() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    for n in 1..=2 {
        world.file(&format!("archive/cert{n}.pem"), pem(&[&Wish::server(&[]).signed_by(&root).der]));
    }
    std::fs::create_dir(world.path("live")).expect("a folder");
    let (over, live) = (std::sync::atomic::AtomicBool::new(false), world.path("live/cert.pem"));
    let swap = |n: usize| {
        let next = world.path("live/next");
        std::os::unix::fs::symlink(format!("../archive/cert{n}.pem"), &next).expect("a link");
        std::fs::rename(&next, &live).expect("renamed");
    };
    swap(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                swap(1 + n % 2);
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let runs: Vec<_> = (0..20).map(|_| world.check(&["./live/cert.pem", "--any-issuer"])).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        for ran in runs {
            assert_eq!((ran.records().len(), ran.status), (1, Some(0)), "S6 {ran:?}");
        }
    });
}

/// A file system whose server never answers, as NFS without its host.
#[test]
fn a_dead_mount_ends_with_the_timeout() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    world.file("good.pem", pem(&[&made.der]));
    std::fs::create_dir(world.path("dead")).expect("a folder");
    let setup = format!(
        "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0,allow_other dead {}",
        world.path("dead")
    );
    let args = ["check", "--json", "--at", judged_at(), "--any-issuer", "--timeout", "1s"];
    let began = Instant::now();
    let ran = world.run_after(&setup, &[&args[..], &["./dead/cert.pem", "./good.pem"]].concat());
    assert_eq!((ran.finding_ids(), ran.status), (vec!["timeout unknown".into()], Some(4)), "{ran:?}");
    assert_eq!(ran.records().len(), 2, "the other target is checked: {ran:?}");
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[test]
fn told_to_stop_it_stops() {
    let world = World::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = silent.local_addr().expect("an address").to_string();
    let mut command = world.command(&["check", &target, "--timeout", "60s"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let _held = silent.accept().expect("asked");
    let began = Instant::now();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(75), "O6 {}", String::from_utf8_lossy(&ended.stderr));
    assert!(began.elapsed() < Duration::from_secs(2), "O6 {:?}", began.elapsed());
}

/// Two runs of one job: each ends well, and what is remembered stays readable.
#[test]
fn two_runs_at_once() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    let list: String = (0..200).fold(String::new(), |list, n| {
        world.file(&format!("certs/{n}.pem"), pem(&[&made.der]));
        list + &format!("./certs/{n}.pem any-issuer\n")
    });
    world.file("list", list);
    let start = || {
        let mut command = world.command(&["check", "--json", "--at", judged_at(), "-f", "list"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs")
    };
    for child in [start(), start()] {
        let ended = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.as_ref()), (Some(0), ""), "O6");
        assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 200, "O6");
    }
    let ran = world.check(&["-f", "list"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "O6: the memory is whole");
}
