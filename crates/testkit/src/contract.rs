//! The promises of a store, as checks: one function each, for every implementation.
//!
//! They are ordinary code and not tests, so that a new store, or one behind a cable that is being cut, is judged by
//! the same page. A broken promise panics with its name.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;
use toban_core::store::{Attrs, Key, Object, Store, Stored, read_small};
use toban_core::sum::{self, Measured, Sum};
use toban_core::{Error, Kind, random};

/// Panics with the promise that `store` breaks. Everything is written under a prefix of its own and removed again.
pub fn check(store: &dyn Store) {
    let place = Place { store, prefix: format!("contract-{}", random::mark()) };
    what_was_put_comes_back(&place);
    an_empty_object_is_an_object(&place);
    a_long_body_comes_back(&place);
    a_name_is_given_once(&place);
    of_two_at_once_one_is_new(&place);
    a_broken_body_leaves_nothing(&place);
    what_is_not_there_is_none(&place);
    reading_begins_anywhere(&place);
    attributes_that_cannot_be_kept_are_refused(&place);
    listing_is_by_prefix_and_sorted(&place);
    listing_has_no_end(&place);
    folders_are_told_without_what_lies_below(&place);
    removing_is_final_and_repeatable(&place);
    a_long_name_is_a_name(&place);
    sweeping_spares_objects(&place);
    place.clear();
}

fn what_was_put_comes_back(at: &Place<'_>) {
    let key = at.key("plain/object");
    let attrs = attrs(&[("sha256", "abc"), ("first-lsn", "0/1000000 = {\"x\": ~}")]);
    assert_eq!(at.put(&key, b"hello", &attrs), Stored::New);
    assert_eq!(at.read(&key), b"hello", "get gives what was put");
    let object = at.stat(&key).expect("stat sees what was put");
    assert_eq!((&object.key, object.size), (&key, 5), "stat tells name and size");
    assert_eq!(object.attrs, attrs, "stat tells the attributes");
    let age = jiff::Timestamp::now().duration_since(object.modified).abs();
    assert!(age < jiff::SignedDuration::from_hours(1), "stat tells when it was written: {}", object.modified);
}

fn an_empty_object_is_an_object(at: &Place<'_>) {
    let key = at.key("empty");
    assert_eq!(at.put(&key, b"", &Attrs::new()), Stored::New);
    assert_eq!(at.read(&key), b"");
    let object = at.stat(&key).expect("an empty object is there");
    assert_eq!((object.size, object.attrs), (0, Attrs::new()));
    assert_eq!(at.names("empty"), ["empty"], "an empty object is listed");
}

fn a_long_body_comes_back(at: &Place<'_>) {
    let key = at.key("big");
    let put = at.store.put(&key, &mut Noise::new(7, 20 << 20), &attrs(&[("kind", "long")]));
    assert_eq!(put.expect("a long body is stored"), Stored::New);
    assert_eq!(at.sum(&key, 0), measure(Noise::new(7, 20 << 20)), "20 MiB come back");
    let object = at.stat(&key).expect("a long object is there");
    assert_eq!((object.size, object.attrs), (20 << 20, attrs(&[("kind", "long")])));
}

fn a_name_is_given_once(at: &Place<'_>) {
    let key = at.key("once");
    assert_eq!(at.put(&key, b"first", &attrs(&[("n", "1")])), Stored::New);
    assert_eq!(at.put(&key, b"second", &attrs(&[("n", "2")])), Stored::Exists, "the name was taken");
    let long = at.store.put(&key, &mut Noise::new(1, 18 << 20), &Attrs::new());
    assert_eq!(long.expect("asked"), Stored::Exists, "the name was taken, for a long body too");
    assert_eq!(at.read(&key), b"first", "the object is as it was");
    assert_eq!(at.stat(&key).expect("there").attrs, attrs(&[("n", "1")]), "its attributes are as they were");
}

fn of_two_at_once_one_is_new(at: &Place<'_>) {
    for (round, size) in [10, 10, 100 << 10, 9 << 20].into_iter().enumerate() {
        let new = race(at, &at.key(&format!("race/{round}")), size);
        assert_eq!(new.len(), 1, "exactly one writer of {size} bytes is New: {new:?}");
    }
    race(at, &at.key("race/long"), 18 << 20);
}

/// Four writers at once; those that were told theirs is new. What is there must be one of these, whole.
fn race(at: &Place<'_>, key: &Key, size: u64) -> Vec<u64> {
    let put = |n: u64| {
        let attrs = attrs(&[("writer", &n.to_string())]);
        (n, at.store.put(key, &mut Noise::new(n, size), &attrs).expect("each writer gets an answer"))
    };
    let answers = at_once(4, put).into_iter();
    let new: Vec<u64> = answers.filter(|(_, s)| *s == Stored::New).map(|(n, _)| n).collect();
    let writer: u64 = at.stat(key).expect("there").attrs["writer"].parse().expect("a number");
    assert!(new.contains(&writer), "{writer} stays, {new:?} were told so");
    assert_eq!(at.sum(key, 0), measure(Noise::new(writer, size)), "content and attributes are of one writer");
    new
}

fn a_broken_body_leaves_nothing(at: &Place<'_>) {
    for (name, size) in [("broken/short", 1000), ("broken/long", 18 << 20)] {
        let key = at.key(name);
        let mut body = Noise::new(3, size).chain(Broken);
        let e = at.store.put(&key, &mut body, &attrs(&[("a", "b")])).expect_err("the body broke");
        assert_eq!(e.kind(), Kind::Corrupt, "the body's error keeps its kind: {e:?}");
        assert!(e.chain().contains("the source broke"), "the body's error is told: {e:?}");
        assert_eq!(at.stat(&key), None, "nothing is visible of a broken body");
        assert_eq!(at.names(name), [""; 0], "nothing is listed of a broken body");
        assert_eq!(at.put(&key, b"whole", &Attrs::new()), Stored::New, "the name is still free");
        assert_eq!(
            at.stat(&key).expect("there").attrs,
            Attrs::new(),
            "nothing of the broken one sticks to it"
        );
    }
}

fn what_is_not_there_is_none(at: &Place<'_>) {
    for name in ["nowhere", "no/such/folder/object", "plain", "plain/object/below"] {
        let key = at.key(name);
        assert_eq!(at.stat(&key), None, "stat of {key}");
        assert!(at.store.get(&key, 0).expect("asked").is_none(), "get of {key}");
        assert!(at.store.get(&key, 5).expect("asked").is_none(), "get of {key} from 5");
    }
}

fn reading_begins_anywhere(at: &Place<'_>) {
    let key = at.key("ranges");
    let body: Vec<u8> = (0..=255).collect();
    at.put(&key, &body, &Attrs::new());
    for from in [0_usize, 1, 100, 255, 256, 257, 10_000] {
        let mut seen = Vec::new();
        let reader = at.store.get(&key, from as u64).expect("asked");
        reader.expect("it is there").read_to_end(&mut seen).expect("read");
        assert_eq!(seen, body.get(from..).unwrap_or_default(), "from {from}");
    }
    let mut whole = Vec::new();
    Noise::new(7, 20 << 20).read_to_end(&mut whole).expect("noise");
    let expected = measure(&whole[13_000_000..]);
    assert_eq!(at.sum(&at.key("big"), 13_000_000), expected, "from the middle of a long one");
}

fn attributes_that_cannot_be_kept_are_refused(at: &Place<'_>) {
    let key = at.key("refused");
    let long = "x".repeat(2000);
    for (name, value) in
        [("Upper", "x"), ("", "x"), ("a", "é"), ("a", "two\nlines"), ("a", " x"), ("a", &long)]
    {
        let put = at.store.put(&key, &mut &b"x"[..], &attrs(&[(name, value)]));
        assert_eq!(put.expect_err("refused").kind(), Kind::Usage, "{name:?} = {value:?}");
    }
    assert_eq!(at.stat(&key), None, "a refused object is not stored");
}

fn listing_is_by_prefix_and_sorted(at: &Place<'_>) {
    let names = ["l/a", "l/a-b", "l/a.c", "l/a0", "l/ab/c", "l/ab/d.json", "l/ab.x", "l/b/a/b/c", "l/z"];
    for name in names.iter().rev() {
        at.put(&at.key(name), name.as_bytes(), &attrs(&[("n", name)]));
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for prefix in
        ["l/", "l", "l/a", "l/ab", "l/ab/", "l/ab/d", "l/b/a", "l/z", "l/zz", "l/a/", "l/../l", "l//a"]
    {
        let expected: Vec<&str> = sorted.iter().copied().filter(|n| n.starts_with(prefix)).collect();
        assert_eq!(at.names(prefix), expected, "prefix {prefix:?}");
    }
    for object in at.list("l/") {
        assert_eq!(object.size, (object.key.as_str().len() - at.prefix.len() - 1) as u64, "{object:?}");
        assert_eq!(object.attrs, Attrs::new(), "listings have no attributes");
    }
}

fn listing_has_no_end(at: &Place<'_>) {
    let put = |thread: u64| {
        for n in 0..138 {
            at.put(&at.key(&format!("many/{thread}/{n:04}")), b"x", &Attrs::new());
        }
    };
    at_once(8, put);
    let names = at.names("many/");
    let expected: Vec<String> =
        (0..8).flat_map(|t| (0..138).map(move |n| format!("many/{t}/{n:04}"))).collect();
    assert_eq!(names, expected, "a listing of 1,104 objects");
}

fn folders_are_told_without_what_lies_below(at: &Place<'_>) {
    let folders = |prefix: &str| {
        let prefix = format!("{}/{prefix}", at.prefix);
        at.store.folders(&prefix).unwrap_or_else(|e| panic!("folders of {prefix}: {e:?}"))
    };
    // Those of the listings above.
    assert_eq!(folders("l/"), ["ab", "b"], "an object is no folder");
    assert_eq!(folders("l/b/"), ["a"]);
    assert_eq!(folders("many/"), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    for none in ["l/b/a/b/", "no/such/", "l/a/", "l/../l/"] {
        assert_eq!(folders(none), [""; 0], "{none:?}");
    }
}

fn removing_is_final_and_repeatable(at: &Place<'_>) {
    let key = at.key("remove/me");
    at.put(&key, b"old", &attrs(&[("n", "old")]));
    for _ in 0..2 {
        at.store.remove(&key).expect("removing what is gone is fine");
        assert_eq!(at.stat(&key), None, "removed");
        assert_eq!(at.names("remove/"), [""; 0], "removed");
    }
    assert_eq!(at.put(&key, b"new", &Attrs::new()), Stored::New, "the name is free again");
    assert_eq!(
        at.stat(&key).expect("there").attrs,
        Attrs::new(),
        "the old attributes went with the old object"
    );
    at.store.remove(&at.key("no/such/folder/object")).expect("removing what never was is fine");
}

fn a_long_name_is_a_name(at: &Place<'_>) {
    let mut name = "n".repeat(190);
    while at.prefix.len() + name.len() + 192 < 900 {
        name = format!("{name}/{}", "+=@%-_.x".repeat(24).get(..190).expect("192 bytes"));
    }
    let key = at.key(&name);
    assert_eq!(at.put(&key, b"x", &attrs(&[("n", "1")])), Stored::New);
    assert_eq!(at.read(&key), b"x");
    assert_eq!(at.names(&name), [name.as_str()]);
}

fn sweeping_spares_objects(at: &Place<'_>) {
    let before = at.list("");
    at.store.sweep(Duration::from_secs(3600)).expect("swept");
    assert_eq!(at.list(""), before, "a sweep removes no object");
}

/// Where one run of the checks works.
struct Place<'a> {
    store: &'a dyn Store,
    prefix: String,
}

impl Place<'_> {
    fn key(&self, name: &str) -> Key {
        format!("{}/{name}", self.prefix).parse().expect("a fine name")
    }

    fn put(&self, key: &Key, body: &[u8], attrs: &Attrs) -> Stored {
        self.store.put(key, &mut &body[..], attrs).unwrap_or_else(|e| panic!("put {key}: {e:?}"))
    }

    fn stat(&self, key: &Key) -> Option<Object> {
        self.store.stat(key).unwrap_or_else(|e| panic!("stat {key}: {e:?}"))
    }

    fn read(&self, key: &Key) -> Vec<u8> {
        let read = read_small(self.store, key, 1 << 20).unwrap_or_else(|e| panic!("get {key}: {e:?}"));
        read.unwrap_or_else(|| panic!("{key} is not there"))
    }

    fn sum(&self, key: &Key, from: u64) -> Sum {
        let reader = self.store.get(key, from).unwrap_or_else(|e| panic!("get {key}: {e:?}"));
        measure(reader.unwrap_or_else(|| panic!("{key} is not there")))
    }

    fn list(&self, prefix: &str) -> Vec<Object> {
        let prefix = format!("{}/{prefix}", self.prefix);
        self.store.list(&prefix).unwrap_or_else(|e| panic!("list {prefix}: {e:?}"))
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let whole = self.prefix.len() + 1;
        self.list(prefix).iter().map(|o| o.key.as_str()[whole..].to_string()).collect()
    }

    fn clear(&self) {
        let objects = self.list("");
        let remove = |n: u64| {
            for object in objects.iter().skip(usize::try_from(n).expect("small")).step_by(8) {
                self.store.remove(&object.key).unwrap_or_else(|e| panic!("remove {}: {e:?}", object.key));
            }
        };
        at_once(8, remove);
        assert_eq!(self.list(""), [], "all is removed");
    }
}

fn attrs(pairs: &[(&str, &str)]) -> Attrs {
    pairs.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect::<BTreeMap<_, _>>()
}

fn at_once<T: Send>(threads: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let begun: Vec<_> = (0..threads)
            .map(|n| {
                scope.spawn({
                    let run = &run;
                    move || run(n)
                })
            })
            .collect();
        begun.into_iter().map(|t| t.join().expect("a writer panicked")).collect()
    })
}

fn measure(body: impl Read) -> Sum {
    let mut measured = Measured::new(body);
    io::copy(&mut measured, &mut io::sink())
        .unwrap_or_else(|e| panic!("read: {:?}", Error::retry("").because(e)));
    measured.sum()
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(Error::corrupt("the source broke").into())
    }
}

/// A body of `size` bytes that nothing compresses; the same seed gives the same bytes.
pub struct Noise {
    block: [u8; 32],
    used: usize,
    left: u64,
}

impl Noise {
    /// `size` bytes that `seed` decides.
    pub fn new(seed: u64, size: u64) -> Noise {
        Noise { block: sum::sha256(&seed.to_be_bytes()), used: 0, left: size }
    }

    /// `size` bytes that were never seen before.
    pub fn fresh(size: u64) -> Noise {
        Noise::new(random::number(), size)
    }
}

impl Read for Noise {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() {
            self.block = sum::sha256(&self.block);
            self.used = 0;
        }
        let n = (self.block.len() - self.used).min(buf.len());
        let n = usize::try_from(self.left.min(n as u64)).expect("at most 32");
        buf[..n].copy_from_slice(&self.block[self.used..self.used + n]);
        self.used += n;
        self.left -= n as u64;
        Ok(n)
    }
}
