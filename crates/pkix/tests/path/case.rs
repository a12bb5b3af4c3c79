//! One question to the validator and the answer it must give, in the profiles it must give it in.

use crate::der::pem;
use crate::pki::Pair;
use pkix::{Code, Crl, PathVerdict, PeerName, Pool, Profile, Purpose, Request, validate_path};
use std::process::Command;

/// 2024-01-01T00:00:00Z, when nothing else is said.
pub(crate) const NEW_YEAR: i64 = 1_704_067_200;

pub(crate) const STRICT: &[Profile] = &[Profile::Both, Profile::Rfc5280, Profile::Webpki];
pub(crate) const WEB: &[Profile] = &[Profile::Both, Profile::Webpki];
pub(crate) const EVERY: &[Profile] = &[Profile::Both, Profile::Rfc5280, Profile::Webpki, Profile::Basic];

/// A case, named as the public suites name theirs where they have it.
pub(crate) struct Case {
    id: &'static str,
    leaf: Vec<u8>,
    roots: Vec<Vec<u8>>,
    via: Vec<Vec<u8>>,
    names: Vec<PeerName>,
    purpose: Option<Purpose>,
    at: i64,
    crls: Vec<Vec<u8>>,
    need_crl: bool,
    max_depth: Option<usize>,
}

/// A case that asks for example.com.
pub(crate) fn case(id: &'static str, leaf: &Pair, roots: &[&Pair]) -> Case {
    Case {
        id,
        leaf: leaf.der.clone(),
        roots: roots.iter().map(|p| p.der.clone()).collect(),
        via: Vec::new(),
        names: vec![PeerName::parse("example.com").expect("a name")],
        purpose: None,
        at: NEW_YEAR,
        crls: Vec::new(),
        need_crl: false,
        max_depth: None,
    }
}

impl Case {
    pub(crate) fn via(mut self, all: &[&Pair]) -> Case {
        self.via = all.iter().map(|p| p.der.clone()).collect();
        self
    }

    pub(crate) fn name(mut self, name: &str) -> Case {
        self.names = vec![PeerName::parse(name).expect("a name")];
        self
    }

    pub(crate) fn names(mut self, names: &[&str]) -> Case {
        self.names = names.iter().map(|n| PeerName::parse(n).expect("a name")).collect();
        self
    }

    pub(crate) fn purpose(mut self, purpose: Purpose) -> Case {
        self.purpose = Some(purpose);
        self
    }

    pub(crate) fn at(mut self, at: i64) -> Case {
        self.at = at;
        self
    }

    pub(crate) fn crls(mut self, all: &[&Vec<u8>]) -> Case {
        self.crls = all.iter().map(|c| (*c).clone()).collect();
        self
    }

    pub(crate) fn need_crl(mut self) -> Case {
        self.need_crl = true;
        self
    }

    pub(crate) fn depth(mut self, most: usize) -> Case {
        self.max_depth = Some(most);
        self
    }

    pub(crate) fn verdict(&self, profile: Profile) -> PathVerdict {
        let (crls, unreadable): (Vec<_>, Vec<_>) =
            self.crls.iter().map(|der| Crl::parse(der)).partition(Result::is_ok);
        let crls: Vec<Crl> = crls.into_iter().flatten().collect();
        validate_path(&Request {
            leaf: &self.leaf,
            sent: &Pool::new(&self.via),
            roots: &Pool::new(&self.roots),
            names: &self.names,
            purpose: self.purpose,
            at: self.at,
            crls: &crls,
            unreadable_crl: (!unreadable.is_empty()).then_some("it cannot be read"),
            need_crl: self.need_crl,
            profile,
            max_depth: self.max_depth,
        })
    }

    /// Valid in these profiles.
    #[track_caller]
    pub(crate) fn valid(self, profiles: &[Profile]) -> Case {
        for profile in profiles {
            let verdict = self.verdict(*profile);
            assert!(verdict.valid, "{} in {profile:?} must be valid: {:?}", self.id, verdict.reasons);
            assert_eq!(verdict.path.first(), Some(&self.leaf), "{}", self.id);
            assert!(verdict.path.last().is_some_and(|top| self.roots.contains(top)), "{}", self.id);
        }
        self
    }

    /// Refused in these profiles, for this reason above all.
    #[track_caller]
    pub(crate) fn refused(self, profiles: &[Profile], code: Code) -> Case {
        for profile in profiles {
            let verdict = self.verdict(*profile);
            let first = verdict.reasons.first().map(|r| r.code);
            assert!(!verdict.valid, "{} in {profile:?} must be refused for {code}", self.id);
            assert_eq!(first, Some(code), "{} in {profile:?}: {:?}", self.id, verdict.reasons);
        }
        self
    }

    /// `openssl verify` says the same as the profile `basic`, or with `strict` as `rfc5280`.
    #[track_caller]
    pub(crate) fn agrees_with_openssl(self, strict: bool) -> Case {
        let ours = self.verdict(if strict { Profile::Rfc5280 } else { Profile::Basic });
        let theirs = self.openssl(strict);
        assert_eq!(ours.valid, theirs.is_ok(), "{}: {:?} here, {theirs:?} by openssl", self.id, ours.reasons);
        self
    }

    fn openssl(&self, strict: bool) -> Result<(), String> {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, ders: &[Vec<u8>]| {
            let text: String = ders.iter().map(|d| pem("CERTIFICATE", d)).collect();
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let mut run = Command::new("openssl");
        run.args([
            "verify",
            "-policy",
            "2.5.29.32.0",
            "-partial_chain",
            "-purpose",
            "sslserver",
            "-no-CAfile",
            "-no-CApath",
        ]);
        run.args(["-attime", &self.at.to_string()]).arg("-trusted").arg(write("roots", &self.roots));
        if strict {
            run.arg("-x509_strict");
        }
        if !self.crls.is_empty() {
            let text: String = self.crls.iter().map(|d| pem("X509 CRL", d)).collect();
            let path = dir.path().join("lists");
            std::fs::write(&path, text).expect("a file");
            run.args(["-crl_check", "-extended_crl"]).arg("-CRLfile").arg(path);
        }
        if !self.via.is_empty() {
            run.arg("-untrusted").arg(write("via", &self.via));
        }
        match self.names.first() {
            Some(PeerName::Dns(name)) => drop(run.args(["-verify_hostname", name.as_str()])),
            Some(PeerName::Ip(ip)) => drop(run.args(["-verify_ip", &ip.to_string()])),
            Some(PeerName::Email(mail)) => drop(run.args(["-verify_email", mail])),
            None => {}
        }
        let ran = run.arg(write("leaf", std::slice::from_ref(&self.leaf))).output().expect("openssl runs");
        match ran.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }
}
