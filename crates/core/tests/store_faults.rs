//! S3 as a store behind a cable that is cut, stalled, refused, or that answers by itself.

mod s3_child;

use s3_child::{fails, in_child, key, put, same, says, service, through, uploads};
use std::io::Read;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::contract::{self, Noise};
use testkit::{Cable, Dice};
use toban_core::Kind;
use toban_core::store::{Attrs, S3, S3Options, Store, Stored, read_small};

#[test]
fn keeps_its_word_while_the_cable_is_cut() {
    in_child("keeps_its_word_while_the_cable_is_cut", "cut", &[], || {
        let mut dice = Dice::new(testkit::seed());
        let cable = Cable::http(service());
        let store = through(&cable, "cut");
        for round in 0..testkit::rounds(10) {
            let (seed, size) = (dice.below(1000), dice.below(24 << 20));
            let name = format!("object/{round}");
            cable.cut_after(dice.below(size + 2000));
            let stored = store.put(&key(&name), &mut Noise::new(seed, size), &Attrs::new());
            assert_eq!(stored.expect("stored in the end"), Stored::New, "round {round}");
            cable.cut_after(dice.below(size + 2000));
            same(&store, &name, seed, size);
            assert_eq!(store.list("object/").expect("listed").len(), round + 1);
        }
        cable.mend();
        assert!(cable.cuts() > 0, "nothing was cut");
        store.sweep(Duration::ZERO).expect("swept");
        assert_eq!(uploads("cut"), 0);
    });
}

#[test]
fn keeps_the_contract_while_the_cable_is_cut() {
    in_child("keeps_the_contract_while_the_cable_is_cut", "cutcontract", &[], || {
        let mut dice = Dice::new(testkit::seed());
        let cable = Cable::http(service());
        let store = through(&cable, "cutcontract");
        std::thread::scope(|scope| {
            let checked = scope.spawn(|| contract::check(&store));
            for round in 0..testkit::rounds(20) {
                // Some soon, in the middle of small requests; some so late that a part of 8 MiB gets through.
                cable.cut_after(if round % 2 == 0 { dice.below(64 << 10) } else { dice.below(96 << 20) });
                while cable.cuts() == round && !checked.is_finished() {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
            cable.mend();
        });
        eprintln!("{} cuts", cable.cuts());
    });
}

/// A service with archive classes says so in its listings, and when one reads what lies there.
#[test]
fn names_what_is_in_an_archive() {
    in_child("names_what_is_in_an_archive", "archive", &[], || {
        let cable = Cable::http(service());
        let store = through(&cable, "archive");
        let listed = |name: &str, class: &str| {
            format!(
                "<Contents><Key>{name}</Key><Size>7</Size><LastModified>2026-11-21T03:00:00.000Z</LastModified>\
                 <StorageClass>{class}</StorageClass></Contents>"
            )
        };
        let all = [("a", "STANDARD"), ("b", "GLACIER"), ("c", "DEEP_ARCHIVE"), ("d", "GLACIER_IR")];
        let contents: String = all.iter().map(|(name, class)| listed(name, class)).collect();
        cable.answer(200, &format!("<ListBucketResult>{contents}</ListBucketResult>"), 1);
        let found = store.list("").expect("listed");
        let cold: Vec<&str> = found.iter().filter(|o| o.is_cold()).map(|o| o.key.as_str()).collect();
        assert_eq!((found.len(), cold), (4, vec!["b", "c"]));
        assert_eq!((found[0].class.as_deref(), found[3].class.as_deref()), (None, Some("GLACIER_IR")));
        cable.answer(403, "<Error><Code>InvalidObjectState</Code></Error>", 1);
        let e = store.get(&key("b"), 0).map(drop).expect_err("it must be brought back first");
        assert!(e.find_hint().is_some_and(|hint| hint.contains("restore-object")), "{e:?}");
    });
}

/// The answer to a PUT, and that to the end of a multipart upload, get lost after the object was made.
#[test]
fn recognises_its_own_upload() {
    in_child("recognises_its_own_upload", "lost", &[], || {
        let cable = Cable::http(service());
        let store = through(&cable, "lost");
        put(&store, "first", b"so that the probe is done").expect("stored");
        for (name, size, request) in
            [("a", 1 << 20, "PUT /lost/a"), ("b", 18 << 20, "POST /lost/b?uploadId=")]
        {
            cable.lose_answer(request);
            let stored = store.put(&key(name), &mut Noise::new(5, size), &Attrs::new());
            assert_eq!(stored.expect("stored"), Stored::New, "{request}");
            same(&store, name, 5, size);
        }
        assert_eq!(cable.cuts(), 2, "the answers were not lost");
        assert_eq!(uploads("lost"), 0);
    });
}

#[test]
fn waits_while_it_is_throttled() {
    in_child("waits_while_it_is_throttled", "slow", &[("TOBAN_RETRY_FOR", "9s")], || {
        let cable = Cable::http(service());
        let store = through(&cable, "slow");
        cable.answer(503, &says("SlowDown"), 3);
        assert_eq!(put(&store, "a", b"x").expect("in the end"), Stored::New);
        cable.answer(429, "", 2);
        assert_eq!(read_small(&store, &key("a"), 9).expect("in the end").as_deref(), Some(&b"x"[..]));
        cable.answer(500, &says("InternalError"), 2);
        assert_eq!(store.list("").expect("in the end").len(), 1);
        cable.answer(503, &says("SlowDown"), 10_000);
        let e = fails(put(&store, "b", b"x"), Kind::Retry, "SlowDown was said (status 503)", "");
        assert!(e.chain().starts_with("store s3://slow/b: gave up after "), "{e:?}");
    });
}

#[test]
fn a_stalled_connection_is_dropped() {
    in_child("a_stalled_connection_is_dropped", "stalled", &[("TOBAN_RETRY_FOR", "9s")], || {
        let cable = Cable::http(service());
        let store = through(&cable, "stalled");
        put(&store, "a", b"x").expect("stored");
        cable.stall();
        let began = Instant::now();
        fails(put(&store, "b", b"x"), Kind::Retry, "no answer within 3.0 s", "");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| read_small(&store, &key("a"), 9));
            let waiting = Instant::now();
            testkit::until("one attempt has passed", Duration::from_secs(9), || {
                (waiting.elapsed() > Duration::from_millis(3200)).then_some(()).ok_or_else(String::new)
            });
            cable.mend();
            assert_eq!(reading.join().expect("joined").expect("in the end").as_deref(), Some(&b"x"[..]));
        });
    });
}

/// A body that stops coming is asked for again from where it stopped.
#[test]
fn a_stalled_body_goes_on() {
    in_child("a_stalled_body_goes_on", "half", &[("TOBAN_RETRY_FOR", "9s")], || {
        let cable = Cable::http(service());
        let store = through(&cable, "half");
        store.put(&key("a"), &mut Noise::new(9, 20 << 20), &Attrs::new()).expect("stored");
        let mut body = store.get(&key("a"), 0).expect("asked").expect("there");
        let mut start = vec![0; 1 << 20];
        body.read_exact(&mut start).expect("the beginning");
        cable.stall();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut rest = Vec::new();
                body.read_to_end(&mut rest).map(|_| rest)
            });
            let waiting = Instant::now();
            testkit::until("one attempt has passed", Duration::from_secs(9), || {
                (waiting.elapsed() > Duration::from_millis(3500)).then_some(()).ok_or_else(String::new)
            });
            cable.mend();
            start.extend(reading.join().expect("joined").expect("in the end"));
        });
        let mut whole = Vec::new();
        Noise::new(9, 20 << 20).read_to_end(&mut whole).expect("noise");
        assert!(start == whole, "the body is not what was stored");
        let ranged =
            cable.requests().iter().filter(|h| h.to_ascii_lowercase().contains("\nrange: bytes=")).count();
        assert!(ranged > 0, "nothing was asked by range");
    });
}

#[test]
fn unreachable_means_try_again() {
    in_child("unreachable_means_try_again", "gone", &[("TOBAN_RETRY_FOR", "1s")], || {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("port").local_addr().expect("address");
        let options = S3Options { endpoint: Some(format!("http://{free}")), ..S3Options::default() };
        let store = S3::open("gone", &options).expect("opened");
        fails(put(&store, "a", b"x"), Kind::Retry, "onnection refused", "");
        fails(store.stat(&key("a")), Kind::Retry, "onnection refused", "");
        let cable = Cable::http(service());
        cable.refuse();
        fails(through(&cable, "gone").list(""), Kind::Retry, "list s3://gone/", "");
    });
}

#[test]
fn forbidden_is_not_absent() {
    in_child("forbidden_is_not_absent", "forbidden", &[], || {
        let cable = Cable::http(service());
        let store = through(&cable, "forbidden");
        cable.answer(403, &says("AccessDenied"), 1);
        fails(store.stat(&key("a")), Kind::Failed, "look at s3://forbidden/a", "s3:ListBucket");
        cable.answer(403, &says("AccessDenied"), 1);
        fails(store.get(&key("a"), 0).map(|_| ()), Kind::Failed, "AccessDenied was said", "s3:ListBucket");
        cable.answer(403, &says("AccessDenied"), 1);
        fails(put(&store, "a", b"x"), Kind::Failed, "AccessDenied was said", "s3:PutObject");
        cable.answer(400, &says("ExpiredToken"), 1);
        fails(store.list(""), Kind::Failed, "ExpiredToken was said", "have expired");
        assert_eq!(store.stat(&key("a")).expect("asked"), None);
    });
}

/// A part that is refused ends the upload; nothing stays behind.
#[test]
fn a_refused_part_leaves_nothing() {
    in_child("a_refused_part_leaves_nothing", "refused", &[], || {
        let cable = Cable::http(service());
        let store = through(&cable, "refused");
        put(&store, "warm", b"x").expect("stored");
        let refuse = || cable.answer(403, &says("AccessDenied"), 1);
        let mut body = Noise::new(1, 30 << 20).chain(Then(Some(refuse)));
        let stored = store.put(&key("a"), &mut body, &Attrs::new());
        fails(stored, Kind::Failed, "AccessDenied was said", "s3:PutObject");
        assert_eq!((uploads("refused"), store.stat(&key("a")).expect("asked")), (0, None));
    });
}

/// The end of a body at which something happens.
struct Then<F>(Option<F>);

impl<F: FnOnce()> Read for Then<F> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        if let Some(happens) = self.0.take() {
            happens();
        }
        Ok(0)
    }
}

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, m: &log::Metadata<'_>) -> bool {
        m.level() <= log::Level::Warn && m.target().starts_with("toban")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.lock().expect("lock").push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The cable answers 200 to both probes, as a service does that ignores the header.
#[test]
fn a_service_that_ignores_the_condition_is_looked_at_first() {
    in_child("a_service_that_ignores_the_condition_is_looked_at_first", "ignores", &[], || {
        log::set_logger(&Logger).expect("the only logger");
        log::set_max_level(log::LevelFilter::Warn);
        let cable = Cable::http(service());
        let store = through(&cable, "ignores");
        cable.answer(200, "", 2);
        assert_eq!(put(&store, "a", b"first").expect("stored"), Stored::New);
        assert_eq!(put(&store, "a", b"second").expect("asked"), Stored::Exists);
        let large = |n| store.put(&key("l"), &mut Noise::new(n, 18 << 20), &Attrs::new()).expect("stored");
        assert_eq!((large(1), large(2)), (Stored::New, Stored::Exists));
        assert_eq!(read_small(&store, &key("a"), 9).expect("asked").as_deref(), Some(&b"first"[..]));
        let heads = cable.requests();
        let conditional = heads.iter().filter(|h| h.to_ascii_lowercase().contains("if-none-match")).count();
        assert_eq!(conditional, 2, "only the probes asked");
        let logged = LOGGED.lock().expect("lock").clone();
        assert_eq!(logged.len(), 1, "{logged:?}");
        assert!(logged[0].starts_with("s3://ignores ignores If-None-Match"), "{logged:?}");
    });
}

#[test]
fn an_object_that_changes_while_it_is_read_is_not_mixed() {
    in_child("an_object_that_changes_while_it_is_read_is_not_mixed", "changes", &[], || {
        let cable = Cable::http(service());
        let store = through(&cable, "changes");
        let write = |n| store.put(&key("a"), &mut Noise::new(n, 20 << 20), &Attrs::new()).expect("stored");
        write(1);
        let mut body = store.get(&key("a"), 0).expect("asked").expect("there");
        body.read_exact(&mut [0; 1000]).expect("the beginning");
        store.remove(&key("a")).expect("removed");
        write(2);
        cable.cut_after(0);
        put(&store, "cuts", b"x").expect("stored");
        let e = std::io::copy(&mut body, &mut std::io::sink()).expect_err("another object");
        assert!(e.to_string().contains("s3://changes/a changed while it was read"), "{e}");
    });
}

/// A server whose certificate nobody vouches for, or only `SSL_CERT_FILE`; it hangs up after the handshake.
#[test]
fn an_untrusted_certificate_is_told_at_once() {
    const NAME: &str = "an_untrusted_certificate_is_told_at_once";
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("tempdir");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).expect("write");
    let port = hang_up_after_handshake(&made);
    let endpoint = format!("https://localhost:{port}");
    let env = [("TOBAN_TEST_TLS", endpoint.as_str()), ("TOBAN_RETRY_FOR", "2s"), ("SSL_CERT_FILE", "")];
    let child = || {
        let endpoint = std::env::var("TOBAN_TEST_TLS").expect("set by the parent");
        let options = S3Options { endpoint: Some(endpoint), ..S3Options::default() };
        let listed = S3::open("tls", &options).expect("opened").list("");
        match std::env::var_os("SSL_CERT_FILE") {
            None => fails(listed, Kind::Failed, "does not know the authority", "SSL_CERT_FILE"),
            Some(_) => fails(listed, Kind::Retry, "gave up after", ""),
        };
    };
    in_child(NAME, "tls", &env, child);
    in_child(NAME, "tls", &[env[0], env[1], ("SSL_CERT_FILE", file.to_str().expect("UTF-8"))], child);
}

fn hang_up_after_handshake(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).expect("a pair");
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("port");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let _ = session.complete_io(&mut stream);
        }
    });
    port
}
