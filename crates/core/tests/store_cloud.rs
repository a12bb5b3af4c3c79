//! Azure Blob Storage on Azurite and Google Cloud Storage on fake-gcs-server: the promises of a store.

mod s3_child;

use s3_child::{fails, in_child_with, key, put, same, says};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use testkit::contract::{self, Noise};
use testkit::{Azure, Cable, Dice, Gcs};
use toban_core::store::{Attrs, AzureOptions, Store, StoreOptions, Stored, open};
use toban_core::{Error, Kind};

type Env = Vec<(String, String)>;

/// The shared Azurite with this container.
fn azure(container: &str) -> (Arc<Azure>, Env) {
    let azure = Azure::shared();
    azure.url(container);
    let env = azure.env();
    (azure, env)
}

fn gcs(bucket: &str) -> (Gcs, Env) {
    let gcs = Gcs::start(&[bucket]);
    let env = gcs.env();
    (gcs, env)
}

fn store(url: &str) -> Arc<dyn Store> {
    open(url, &StoreOptions::default()).expect("opened")
}

#[test]
fn azure_keeps_the_contract() {
    in_child_with(
        "azure_keeps_the_contract",
        || azure("contract"),
        || {
            contract::check(&*store("az://contract/some/prefix"));
            assert_eq!(store("az://contract").list("").expect("listed"), []);
        },
    );
}

#[test]
fn gcs_keeps_the_contract() {
    in_child_with(
        "gcs_keeps_the_contract",
        || gcs("contract"),
        || {
            contract::check(&*store("gs://contract/some/prefix"));
            assert_eq!(store("gs://contract").list("").expect("listed"), []);
        },
    );
}

#[test]
fn a_missing_container_is_not_an_absent_object() {
    let missing = |url: &str, words: &str, hint: &str| {
        let store = store(url);
        fails(store.stat(&key("a")), Kind::Failed, words, hint);
        fails(store.get(&key("a"), 0).map(|_| ()), Kind::Failed, words, hint);
        fails(store.list(""), Kind::Failed, words, hint);
        fails(put(&*store, "a", b"x"), Kind::Failed, words, hint);
        fails(store.put(&key("l"), &mut Noise::new(1, 18 << 20), &Attrs::new()), Kind::Failed, words, hint);
        fails(store.remove(&key("a")), Kind::Failed, words, hint);
    };
    const NAME: &str = "a_missing_container_is_not_an_absent_object";
    in_child_with(
        NAME,
        || (azure("there"), gcs("there")).into_env(),
        || {
            missing("az://missing/p", "ContainerNotFound", "create the container");
            missing("gs://missing/p", "ot", "create the bucket");
            assert_eq!(store("gs://there").stat(&key("a")).expect("asked"), None);
        },
    );
}

trait IntoEnv {
    fn into_env(self) -> ((Arc<Azure>, Gcs), Env);
}

impl IntoEnv for ((Arc<Azure>, Env), (Gcs, Env)) {
    fn into_env(self) -> ((Arc<Azure>, Gcs), Env) {
        let ((azure, mut env), (gcs, more)) = self;
        env.extend(more);
        ((azure, gcs), env)
    }
}

#[test]
fn names_of_people_and_long_bodies_come_back() {
    const NAME: &str = "names_of_people_and_long_bodies_come_back";
    in_child_with(
        NAME,
        || (azure("people"), gcs("people")).into_env(),
        || {
            for url in ["az://people/p", "gs://people/p"] {
                let store = store(url);
                for name in ["a b+c%20d?e#f&g=h'(i)", "ümlaut/日本", "2026-11-30T03:00:00Z,x;y@z"] {
                    assert_eq!(put(&*store, name, b"x").expect("stored"), Stored::New, "{url} {name}");
                    assert_eq!(
                        store.stat(&key(name)).expect("asked").expect("there").size,
                        1,
                        "{url} {name}"
                    );
                    let listed = store.list(name).expect("listed");
                    assert_eq!(listed.len(), 1, "{url} {name}: {listed:?}");
                }
                assert_eq!(
                    store.put(&key("l"), &mut Noise::new(3, 60 << 20), &Attrs::new()).expect("put"),
                    Stored::New
                );
                same(&*store, "l", 3, 60 << 20);
            }
        },
    );
}

/// Every answer that can be lost is: what was stored is ours all the same.
#[test]
fn azure_knows_its_own_objects() {
    in_child_with(
        "azure_knows_its_own_objects",
        || azure("lost"),
        || {
            let cable = Cable::http(azure_service());
            let store = through(&cable, "az://lost");
            put(&*store, "warm", b"x").expect("stored");
            let sizes = [
                ("small", 1000, ""),
                ("large", 30 << 20, "?comp=blocklist"),
                ("block", 30 << 20, "?comp=block&"),
            ];
            for (n, (name, size, query)) in sizes.into_iter().enumerate() {
                cable.lose_answer(&format!("PUT /devstoreaccount1/lost/{name}{query}"));
                let stored = store.put(&key(name), &mut Noise::new(5, size), &Attrs::new());
                assert_eq!(stored.expect("stored"), Stored::New, "{name}");
                assert_eq!(cable.cuts(), n + 1, "the answer of {name} was not lost");
                same(&*store, name, 5, size);
            }
            // What a killed upload left hinders nobody.
            let mut broken = Noise::new(1, 20 << 20).chain(Broken);
            store.put(&key("again"), &mut broken, &Attrs::new()).expect_err("it broke");
            assert_eq!(put(&*store, "again", b"x").expect("stored"), Stored::New);
            assert_eq!(put(&*store, "again", b"y").expect("asked"), Stored::Exists);
        },
    );
}

/// fake-gcs-server takes the question how far an upload came for its end: only the last part can lose its answer here.
#[test]
fn gcs_knows_its_own_objects() {
    const SIZE: &str = "TOBAN_TEST_SIZE";
    for (request, size) in [("POST", 1), ("PUT", 17 << 20)] {
        let parent = || {
            let gcs = Gcs::start(&["lost"]);
            gcs.cable().lose_answer(&format!("{request} /upload/storage/v1/b/lost/o?uploadType="));
            let env = gcs.env().into_iter().chain([(SIZE.to_string(), size.to_string())]).collect();
            (gcs, env)
        };
        in_child_with("gcs_knows_its_own_objects", parent, || {
            let (store, name) = (store("gs://lost"), toban_core::random::mark());
            let size = std::env::var(SIZE).expect("set by the parent").parse().expect("a number");
            let stored = store.put(&key(&name), &mut Noise::new(5, size), &Attrs::new());
            assert_eq!(stored.expect("stored"), Stored::New, "the answer was lost");
            same(&*store, &name, 5, size);
            assert_eq!(put(&*store, &name, b"y").expect("asked"), Stored::Exists);
        });
    }
}

#[test]
fn azure_keeps_its_word_while_the_cable_is_cut() {
    in_child_with(
        "azure_keeps_its_word_while_the_cable_is_cut",
        || azure("cut"),
        || {
            let mut dice = Dice::new(testkit::seed());
            let cable = Cable::http(azure_service());
            let store = through(&cable, "az://cut");
            for round in 0..testkit::rounds(10) {
                let (seed, size) = (dice.below(1000), dice.below(24 << 20));
                let name = format!("object/{round}");
                cable.cut_after(dice.below(size + 2000));
                let stored = store.put(&key(&name), &mut Noise::new(seed, size), &Attrs::new());
                assert_eq!(stored.expect("stored in the end"), Stored::New, "round {round}");
                cable.cut_after(dice.below(size + 2000));
                same(&*store, &name, seed, size);
                assert_eq!(store.list("object/").expect("listed").len(), round + 1);
            }
            assert!(cable.cuts() > 0, "nothing was cut");
            cable.mend();
            // A reading goes on with the same object or not at all.
            let mut body = store.get(&key("object/0"), 0).expect("asked").expect("there");
            body.read_exact(&mut [0; 100]).expect("the beginning");
            store.remove(&key("object/0")).expect("removed");
            put(&*store, "object/0", b"another").expect("stored");
            cable.cut_after(0);
            store.list("object/").expect("listed");
            if let Err(e) = std::io::copy(&mut body, &mut std::io::sink()) {
                assert!(e.to_string().contains("az://cut/object/0 changed while it was read"), "{e}");
            }
        },
    );
}

#[test]
fn azure_refuses_clearly() {
    in_child_with(
        "azure_refuses_clearly",
        || azure("refuses"),
        || {
            let cable = Cable::http(azure_service());
            let store = through(&cable, "az://refuses");
            put(&*store, "a", b"x").expect("stored");
            cable.answer(403, &says("AuthorizationPermissionMismatch"), 1);
            fails(store.stat(&key("a")), Kind::Failed, "look at az://refuses/a", "Storage Blob Data Reader");
            cable.answer(403, &says("AuthorizationPermissionMismatch"), 1);
            fails(put(&*store, "b", b"x"), Kind::Failed, "Mismatch was said", "create and write (cw)");
            cable.answer(403, &says("AuthorizationPermissionMismatch"), 1);
            fails(store.remove(&key("a")), Kind::Failed, "remove az://refuses/a", "delete (d)");
            cable.answer(409, &says("BlobArchived"), 1);
            fails(store.get(&key("a"), 0).map(|_| ()), Kind::Failed, "BlobArchived was said", "set-tier");
            cable.answer(503, &says("ServerBusy"), 3);
            assert_eq!(store.list("").expect("in the end").len(), 1);
            cable.answer(404, "", 1);
            assert_eq!(store.stat(&key("a")).expect("asked"), None, "the container was looked into");
        },
    );
}

#[test]
fn memory_does_not_grow_with_the_body_of_either() {
    const NAME: &str = "memory_does_not_grow_with_the_body_of_either";
    in_child_with(
        NAME,
        || (azure("memory"), gcs("memory")).into_env(),
        || {
            let peak = || {
                let status = std::fs::read_to_string("/proc/self/status").expect("status");
                let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM");
                line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") >> 10
            };
            for url in ["az://memory", "gs://memory"] {
                let store = store(url);
                put(&*store, "small", b"x").expect("stored");
                let before = peak();
                store.put(&key("a"), &mut Noise::new(1, 150 << 20), &Attrs::new()).expect("stored");
                same(&*store, "a", 1, 150 << 20);
                eprintln!("{url}: peak RSS {before} MiB at first, {} in the end", peak());
                assert!(peak() < before + 64, "{url}: {before} → {} MiB", peak());
            }
        },
    );
}

/// Where Azurite listens, in a child.
fn azure_service() -> SocketAddr {
    let url = std::env::var("AZURE_STORAGE_ENDPOINT").expect("set by the parent");
    let address = url.trim_start_matches("http://").split('/').next().expect("a part");
    address.parse().expect("an address")
}

fn through(cable: &Cable, url: &str) -> Arc<dyn Store> {
    let endpoint = Some(format!("{}/devstoreaccount1", cable.endpoint()));
    let azure = AzureOptions { endpoint, ..AzureOptions::default() };
    open(url, &StoreOptions { azure, ..StoreOptions::default() }).expect("opened")
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(Error::corrupt("the source broke").into())
    }
}
