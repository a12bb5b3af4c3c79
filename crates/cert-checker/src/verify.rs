//! `verify`: a certificate's path, judged from files alone.

use crate::cli::VerifyArgs;
use crate::facts::fingerprint;
use crate::files::pem;
use crate::judge::load_system_roots;
use pkix::{Cert, Crl, OtherPath, PathVerdict, Pool, Purpose, Reason, Request, format_time};
use serde::Serialize;
use std::io::Read;
use std::path::Path;
use toban_core::{Context, Error, Kind, Out, Record, Result};

/// Runs the verb.
///
/// # Errors
/// Findings when the certificate is not valid; a failure when a file cannot be read or holds nothing to judge.
pub(crate) fn run_verify(args: &VerifyArgs, out: &mut Out<'_>) -> Result<()> {
    let mut input = InputFiles::default();
    // In a file as servers have it the leaf comes first, and its issuers after it.
    let mut leaf = input.read_certificates(&args.leaf)?.into_iter();
    let first = leaf.next().ok_or_else(|| nothing_in(&args.leaf, "certificate"))?;
    let mut sent: Vec<Vec<u8>> = leaf.collect();
    for file in &args.intermediates {
        sent.extend(input.read_certificates(file)?);
    }
    let (crls, unreadable) = read_lists(args, &mut input)?;
    let ask = Request {
        leaf: &first,
        sent: &make_pool(&sent, "intermediate"),
        roots: &read_roots(args, &mut input)?,
        names: &args.name,
        purpose: args.purpose,
        at: args.at.unwrap_or_else(|| jiff::Timestamp::now().as_second()),
        crls: &crls,
        unreadable_crl: unreadable.as_deref(),
        need_crl: args.require_crl,
        profile: args.profile,
        max_depth: args.max_depth,
    };
    let verdict = pkix::validate_path(&ask);
    out.emit(&VerifyRecord::new(&args.leaf, &ask, &verdict))?;
    match verdict.reasons.first() {
        None => Ok(()),
        Some(reason) => Err(Error::new(Kind::Findings, format!("not valid: {reason}"))),
    }
}

fn read_roots(args: &VerifyArgs, input: &mut InputFiles) -> Result<Pool> {
    if args.trust.is_empty() {
        return Ok(Pool::new(&load_system_roots()?));
    }
    let mut all = Vec::new();
    let purpose = args.purpose.unwrap_or_else(|| Purpose::suggested_by(&args.name));
    for file in &args.trust {
        let found = input.read_anchors(file, purpose.accepted_usages())?;
        if found.is_empty() {
            return Err(nothing_in(file, "certificate"));
        }
        all.extend(found);
    }
    Ok(make_pool(&all, "trusted"))
}

/// What cannot be read is not part of any path; a warning says so, for it may be why there is none.
fn make_pool(ders: &[Vec<u8>], kind: &str) -> Pool {
    let pool = Pool::new(ders);
    for (place, reason) in &pool.unreadable {
        log::warn!("{kind} certificate {} is left out: {}", place + 1, reason.detail);
    }
    pool
}

/// The lists, and why one of them cannot be read: such a one never proves that anything is right.
fn read_lists(args: &VerifyArgs, input: &mut InputFiles) -> Result<(Vec<Crl>, Option<String>)> {
    let (mut all, mut unreadable) = (Vec::new(), None);
    for file in &args.crl {
        let found = input.read_lists(file)?;
        if found.is_empty() {
            return Err(nothing_in(file, "revocation list"));
        }
        for der in found {
            // A list that is cut off must not clear a certificate that its missing half revokes: pkix refuses the leaf then.
            match Crl::parse(&der) {
                Ok(crl) => all.push(crl),
                Err(reason) => unreadable = Some(format!("{}: {}", file.display(), reason.detail)),
            }
        }
    }
    Ok((all, unreadable))
}

/// Above this a file holds no certificates; the largest revocation lists have some 50 MiB.
const MOST_BYTES: u64 = 256 << 20;

/// Reads files, and standard input at most once.
#[derive(Default)]
struct InputFiles {
    stdin_read: bool,
}

impl InputFiles {
    /// The certificates of a file, in DER; none when it holds none.
    fn read_certificates(&mut self, file: &Path) -> Result<Vec<Vec<u8>>> {
        self.read_ders(file, pem::Block::is_certificate)
    }

    /// The same, but for those that are marked there as not to be trusted for any of these uses.
    fn read_anchors(&mut self, file: &Path, uses: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        self.read_ders(file, |block| block.is_certificate() && block.trust.allows(uses))
    }

    /// The revocation lists of a file, in DER; none when it holds none.
    fn read_lists(&mut self, file: &Path) -> Result<Vec<Vec<u8>>> {
        self.read_ders(file, pem::Block::is_list)
    }

    fn read_ders(&mut self, file: &Path, of_kind: impl Fn(&pem::Block) -> bool) -> Result<Vec<Vec<u8>>> {
        let bytes = self.read_bytes(file)?;
        let ders: std::result::Result<_, String> = pem::select_ders(&bytes, of_kind).into_iter().collect();
        ders.map_err(|why| Error::failed(format!("read {} as PEM: {why}", file.display())))
    }

    fn read_bytes(&mut self, file: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if file == Path::new("-") {
            if std::mem::replace(&mut self.stdin_read, true) {
                return Err(Error::usage("standard input is named twice"));
            }
            let read = std::io::stdin().take(MOST_BYTES).read_to_end(&mut bytes);
            return read.map(|_| bytes).doing(|| "read standard input".into());
        }
        let opened = std::fs::File::open(file).doing(|| format!("open {}", file.display()))?;
        let read = opened.take(MOST_BYTES).read_to_end(&mut bytes);
        read.map(|_| bytes).doing(|| format!("read {}", file.display()))
    }
}

/// The error for a file that holds nothing of its kind.
fn nothing_in(file: &Path, kind: &str) -> Error {
    Error::failed(format!("there is no {kind} in {}", file.display()))
        .hint("it must be PEM (BEGIN CERTIFICATE, BEGIN X509 CRL) or DER")
}

/// One certificate, judged.
#[derive(Debug, Serialize)]
struct VerifyRecord {
    leaf: String,
    valid: bool,
    /// The weightiest reason's code; none when valid.
    code: Option<&'static str>,
    reasons: Vec<ReasonRecord>,
    profile: &'static str,
    at: String,
    names: Vec<String>,
    path: Vec<PathMember>,
    others: Vec<OtherPathRecord>,
}

#[derive(Debug, Serialize)]
struct ReasonRecord {
    code: &'static str,
    subject: String,
    detail: String,
}

#[derive(Debug, Default, Serialize)]
struct PathMember {
    subject: String,
    not_before: String,
    not_after: String,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct OtherPathRecord {
    path: Vec<PathMember>,
    reason: Option<ReasonRecord>,
}

impl VerifyRecord {
    fn new(leaf: &Path, ask: &Request<'_>, verdict: &PathVerdict) -> VerifyRecord {
        let other = |o: &OtherPath| OtherPathRecord {
            path: path_members(&o.path),
            reason: o.reason.as_ref().map(reason_record),
        };
        VerifyRecord {
            leaf: leaf.display().to_string(),
            valid: verdict.valid,
            code: verdict.reasons.first().map(|r| r.code.as_str()),
            reasons: verdict.reasons.iter().map(reason_record).collect(),
            profile: ask.profile.as_str(),
            at: format_time(ask.at),
            names: ask.names.iter().map(ToString::to_string).collect(),
            path: path_members(&verdict.path),
            others: verdict.others.iter().map(other).collect(),
        }
    }
}

fn reason_record(reason: &Reason) -> ReasonRecord {
    let Reason { code, subject, detail } = reason.clone();
    ReasonRecord { code: code.as_str(), subject, detail }
}

fn path_members(path: &[Vec<u8>]) -> Vec<PathMember> {
    path.iter().map(|der| path_member(der)).collect()
}

fn path_member(der: &[u8]) -> PathMember {
    let sha256 = fingerprint(der);
    match Cert::parse(der) {
        Ok(cert) => {
            let (begin, end) = cert.validity();
            PathMember {
                subject: cert.subject(),
                not_before: format_time(begin),
                not_after: format_time(end),
                sha256,
            }
        }
        Err(_) => PathMember { sha256, ..PathMember::default() },
    }
}

impl Record for VerifyRecord {
    const SCHEMA: &'static str = "cert-checker.verify/1";
    const HEAD: &'static [&'static str] = &["verdict", "code", "reason", "path"];

    fn cells(&self) -> Vec<String> {
        let verdict = if self.valid { "valid" } else { "not-valid" };
        let reason = self.reasons.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>().join("; ");
        let path = self.path.iter().map(|m| m.subject.as_str()).collect::<Vec<_>>().join(" < ");
        vec![
            verdict.into(),
            self.code.unwrap_or("-").into(),
            if self.valid { "-".into() } else { reason },
            path,
        ]
    }
}
