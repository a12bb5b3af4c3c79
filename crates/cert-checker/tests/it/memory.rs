//! What is remembered from run to run: nothing is told that has not changed, and every change is told of its own thing.

use crate::mint::{Authority, DAY, Made, Wish, pem};
use crate::server::{self, Server};
use crate::world::{Found, World, findings};
use rcgen::ExtendedKeyUsagePurpose;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use testkit::{Dice, rounds, seed};

/// Findings about changes, by the first place of their record.
fn told(world: &World, args: &[&str]) -> BTreeMap<String, Vec<String>> {
    let ran = world.check(args);
    let mut all = BTreeMap::new();
    for record in ran.records() {
        let place = record["places"][0].as_str().expect("a place");
        let about = |f: &String| f.starts_with("changed-") || f.starts_with("key-reused");
        let said: Vec<String> = findings(&record).into_iter().filter(about).collect();
        if !said.is_empty() {
            all.entry(place.to_string()).or_insert_with(Vec::new).extend(said);
        }
    }
    all
}

fn nothing() -> BTreeMap<String, Vec<String>> {
    BTreeMap::new()
}

/// A site as certbot keeps it: links from live/ into archive/.
fn certbot(world: &World, site: &str, number: usize, leaf: &Made, issuer: &Authority) {
    let archive = |name: &str| format!("archive/{site}/{name}{number}.pem");
    world.file(&archive("cert"), pem(&[&leaf.der]));
    world.file(&archive("chain"), pem(&[&issuer.der]));
    world.file(&archive("fullchain"), pem(&[&leaf.der, &issuer.der]));
    world.file(&archive("privkey"), leaf.key.serialize_pem());
    let live = world.dir.path().join("live").join(site);
    std::fs::create_dir_all(&live).expect("folders");
    for name in ["cert", "chain", "fullchain", "privkey"] {
        let link = live.join(format!("{name}.pem"));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("../../{}", archive(name)), link).expect("a link");
    }
}

#[test]
fn sites_as_certbot_keeps_them() {
    let world = World::new();
    let (one, two) = (Wish::authority("One").root(), Wish::authority("Two").root());
    let args = ["./live", "--any-issuer"];
    let site = |name: &str| Wish::server(&[name]);
    for (at, name) in ["a.example", "b.example", "c.example", "d.example"].into_iter().enumerate() {
        let issuer = if at % 2 == 0 { &one } else { &two };
        certbot(&world, name, 1, &site(name).signed_by(issuer), issuer);
    }
    assert_eq!(told(&world, &args), nothing(), "the first run");
    assert_eq!(told(&world, &args), nothing(), "nothing has changed");
    certbot(&world, "b.example", 2, &site("b.example").between(-DAY, 89 * DAY).signed_by(&one), &one);
    let changed = ["changed-issuer ok", "changed-key ok"].map(String::from).to_vec();
    // Its issuer's certificate, which lies beside it, is another one too, and not the old one's successor.
    let renewed = BTreeMap::from([("./live/b.example/cert.pem".to_string(), changed)]);
    assert_eq!(told(&world, &args), renewed, "one site of four");
    assert_eq!(told(&world, &args), nothing(), "told once");
    // The same file by another target is the same thing.
    assert_eq!(told(&world, &["./live/b.example/cert.pem", "--any-issuer"]), nothing());
}

/// Roots of one file: two of one name, one that leaves, one that joins, one renewed under its name.
#[test]
fn a_bundle_of_authorities() {
    let world = World::new();
    let named = |name: &str| Wish::authority(name).root();
    let (twin, other) = (named("Twin"), named("Twin"));
    let mut bundle: Vec<Authority> = (0..40).map(|n| named(&format!("Root {n}"))).collect();
    bundle.extend([twin, other]);
    let write = |all: &[&Authority]| {
        let ders: Vec<&[u8]> = all.iter().map(|a| a.der.as_slice()).collect();
        world.file("bundle.pem", pem(&ders));
    };
    let all: Vec<&Authority> = bundle.iter().collect();
    write(&all);
    let args = ["./bundle.pem"];
    assert_eq!((told(&world, &args), told(&world, &args)), (nothing(), nothing()));
    let turned: Vec<&Authority> = bundle.iter().rev().collect();
    write(&turned);
    assert_eq!(told(&world, &args), nothing(), "another order");
    let joined = named("Joined");
    write(&[&all[1..], &[&joined]].concat());
    assert_eq!(told(&world, &args), nothing(), "one left, another joined");
    let renewed = named("Root 7");
    let without: Vec<&Authority> = all.iter().copied().filter(|a| a.der != bundle[7].der).collect();
    write(&[&without[1..], &[&joined, &renewed]].concat());
    let changed = BTreeMap::from([("./bundle.pem".to_string(), vec!["changed-key ok".to_string()])]);
    assert_eq!(told(&world, &args), changed, "one under its old name");
}

/// One port, a certificate for each name: what is asked for another name is another thing.
#[test]
fn names_addresses_and_kinds_of_one_port() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let made = |name: &str| Arc::new(Mutex::new(Wish::server(&[name]).signed_by(&root)));
    let sites = [("a.example", made("a.example")), ("b.example", made("b.example"))];
    let shown = sites.clone();
    let server = Server::start(move |stream| {
        let mut hello = vec![0; 4096];
        let n = stream.peek(&mut hello).unwrap_or(0);
        let asked = |name: &str| hello[..n].windows(name.len()).any(|w| w == name.as_bytes());
        let (_, made) = shown.iter().find(|(name, _)| asked(name)).unwrap_or(&shown[0]);
        let config = {
            let made = made.lock().expect("whole");
            Arc::new(server::config(&server::chain(&made, &[]), &made, rustls::ALL_VERSIONS))
        };
        server::handshake(&config, stream);
    });
    let t = server.target();
    world.file("list", format!("{t} name=a.example\n{t} name=b.example\n{t} sni=b.example name=b.example\n"));
    let args = ["--any-issuer", "-f", "list"];
    assert_eq!((told(&world, &args), told(&world, &args)), (nothing(), nothing()));
    *sites[1].1.lock().expect("whole") =
        Wish::server(&["b.example"]).between(-DAY, 89 * DAY).signed_by(&root);
    let changed = vec!["changed-key ok".to_string(); 2];
    assert_eq!(told(&world, &args), BTreeMap::from([(t, changed)]), "two of the three ask for it");
    assert_eq!(told(&world, &args), nothing());
}

/// A name whose address is another one every time is one thing, whatever it shows there.
#[test]
fn a_name_that_moves() {
    let world = World::new();
    let root = Wish::authority("Root").root();
    let present = Arc::new(Mutex::new(Wish::server(&["moving.example"]).signed_by(&root)));
    let shown = Arc::clone(&present);
    let server = Server::listen("0.0.0.0:0", move |stream| {
        let config = {
            let made = shown.lock().expect("whole");
            Arc::new(server::config(&server::chain(&made, &[]), &made, rustls::ALL_VERSIONS))
        };
        server::handshake(&config, stream);
    });
    let target = format!("moving.example:{}", server.at.port());
    let run = |address: &str| {
        let hosts = world.file("hosts", format!("{address} moving.example\n"));
        let setup = format!("mount --bind {} /etc/hosts", hosts.display());
        let args = ["check", "--json", "--at", crate::world::judged_at(), "--any-issuer", &target];
        world.run_after(&setup, &args).finding_ids()
    };
    assert_eq!((run("127.0.0.1"), run("127.0.0.2")), (vec![], vec![]));
    *present.lock().expect("whole") =
        Wish::server(&["moving.example"]).between(-DAY, 89 * DAY).signed_by(&root);
    assert_eq!((run("127.0.0.3"), run("127.0.0.4")), (vec!["changed-key ok".to_string()], vec![]));
}

#[test]
fn uses_that_are_lost() {
    use ExtendedKeyUsagePurpose::{ClientAuth, EmailProtection, ServerAuth};
    let world = World::new();
    let root = Wish::authority("Root").root();
    let write = |uses: &[ExtendedKeyUsagePurpose]| {
        let mut wish = Wish::server(&["a.example"]);
        wish.0.extended_key_usages = uses.to_vec();
        world.file("a.pem", pem(&[&wish.signed_by(&root).der]));
        told(&world, &["./a.pem", "--any-issuer"]).remove("./a.pem").unwrap_or_default()
    };
    let (key, usage) = ("changed-key ok", "changed-usage ok");
    assert_eq!(write(&[ServerAuth, ClientAuth]), [""; 0]);
    assert_eq!(write(&[ServerAuth]), [key, usage], "clientAuth, as public authorities take it away");
    assert_eq!(write(&[ServerAuth, ClientAuth]), [key], "one more is no loss");
    assert_eq!(write(&[ClientAuth, ServerAuth, EmailProtection]), [key], "another order");
    assert_eq!(write(&[]), [key], "for every use");
    assert_eq!(write(&[ServerAuth]), [key, usage], "no longer for every use");
    let ran = world.check(&["./a.pem", "--any-issuer"]);
    assert_eq!(ran.finding_ids(), [""; 0]);
}

/// Sites are renewed at random, with the old key or a new one, by the same issuer or another, with all names or fewer;
/// folders, bundles and lone files mixed. Each run tells exactly what was done since the last one.
#[test]
fn random_renewals_are_told_where_they_happened() {
    let mut dice = Dice::new(seed());
    let issuers = [Wish::authority("One").root(), Wish::authority("Two").root()];
    for round in 0..rounds(3) {
        let world = World::new();
        let mut sites: Vec<Site> = (0..dice.below(8) + 2).map(|n| Site::new(n, &issuers)).collect();
        sites.iter().for_each(|s| s.write(&world));
        let args = ["./etc", "--any-issuer"];
        assert_eq!(told(&world, &args), nothing(), "round {round}");
        for step in 0..4 {
            let mut expected = nothing();
            for site in &mut sites {
                if dice.below(3) == 0 {
                    let said = site.renew(&mut dice, &issuers);
                    expected.insert(site.place(), said);
                    site.write(&world);
                }
            }
            assert_eq!(told(&world, &args), expected, "round {round}, step {step}");
        }
    }
}

struct Site {
    number: u64,
    issuer: usize,
    names: Vec<String>,
    key: rcgen::KeyPair,
    der: Vec<u8>,
}

impl Site {
    fn new(number: u64, issuers: &[Authority]) -> Site {
        let names = (0..3).map(|n| format!("n{n}.s{number}.example")).collect();
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut site = Site { number, issuer: 0, names, key, der: Vec::new() };
        site.sign(issuers);
        site
    }

    fn sign(&mut self, issuers: &[Authority]) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let wish = Wish::server(&names);
        let cert = wish.0.signed_by(&self.key, issuers[self.issuer].issuer()).expect("a certificate");
        self.der = cert.der().to_vec();
    }

    fn place(&self) -> String {
        format!("./etc/s{}.pem", self.number)
    }

    fn write(&self, world: &World) {
        world.file(&self.place(), pem(&[&self.der]));
    }

    /// Changes something or other; the codes that must be told, sorted as they are told.
    fn renew(&mut self, dice: &mut Dice, issuers: &[Authority]) -> Vec<String> {
        let mut said = Vec::new();
        if dice.below(2) == 0 {
            self.issuer = 1 - self.issuer;
            said.push("changed-issuer ok".to_string());
        }
        match dice.below(2) {
            0 => said.push("key-reused ok".into()),
            _ => {
                self.key = rcgen::KeyPair::generate().expect("a key");
                said.push("changed-key ok".into());
            }
        }
        if dice.below(3) == 0 && self.names.len() > 1 {
            self.names.pop();
            said.push("changed-names ok".into());
        }
        self.sign(issuers);
        said
    }
}
