//! Azure Blob Storage on Azurite and Google Cloud Storage on fake-gcs-server: the promises of a store.

mod s3_child;

use s3_child::{fails, in_child_with, key, put, same};
use std::sync::Arc;
use testkit::contract::{self, Noise};
use testkit::{Azure, Gcs};
use toban_core::Kind;
use toban_core::store::{Attrs, Store, StoreOptions, Stored, open};

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
