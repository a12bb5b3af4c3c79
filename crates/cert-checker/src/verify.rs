//! `verify`: a certificate's path, judged from files alone.

mod input;
mod record;

use crate::cli_verify::Verify;
use input::Source;
use pkix::{Crl, Pool, Purpose, Request};
use record::Judged;
use toban_core::{Error, Kind, Out, Result};

/// Runs the verb.
///
/// # Errors
/// Findings when the certificate is not valid; a failure when a file cannot be read or holds nothing to judge.
pub(crate) fn run(args: &Verify, out: &mut Out<'_>) -> Result<()> {
    let mut source = Source::default();
    let mut leaf = source.certificates(&args.leaf)?.into_iter();
    let first = leaf.next().ok_or_else(|| input::nothing(&args.leaf, "certificate"))?;
    let mut sent: Vec<Vec<u8>> = leaf.collect();
    for file in &args.intermediates {
        sent.extend(source.certificates(file)?);
    }
    let (crls, unreadable) = crls(args, &mut source)?;
    let ask = Request {
        leaf: &first,
        sent: &readable(&sent, "intermediate"),
        extra: &Pool::default(),
        roots: &roots(args, &mut source)?,
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
    out.emit(&Judged::new(&args.leaf, &ask, &verdict))?;
    match verdict.reasons.first() {
        None => Ok(()),
        Some(reason) => Err(Error::new(Kind::Findings, format!("not valid: {reason}"))),
    }
}

fn roots(args: &Verify, source: &mut Source) -> Result<Pool> {
    if args.trust.is_empty() {
        return Ok(Pool::new(&input::system_roots()?));
    }
    let mut all = Vec::new();
    let purpose = args.purpose.unwrap_or_else(|| Purpose::suggested(&args.name));
    for file in &args.trust {
        let found = source.anchors(file, purpose.accepted_usages())?;
        if found.is_empty() {
            return Err(input::nothing(file, "certificate"));
        }
        all.extend(found);
    }
    Ok(readable(&all, "trusted"))
}

/// What cannot be read is not part of any path; that is said, for it may be why there is none.
fn readable(ders: &[Vec<u8>], kind: &str) -> Pool {
    let pool = Pool::new(ders);
    for (place, reason) in &pool.unreadable {
        log::warn!("{kind} certificate {} is left out: {}", place + 1, reason.detail);
    }
    pool
}

/// The lists, and why one of them cannot be read: such a one never says that anything is right.
fn crls(args: &Verify, source: &mut Source) -> Result<(Vec<Crl>, Option<String>)> {
    let (mut all, mut unreadable) = (Vec::new(), None);
    for file in &args.crl {
        let found = source.crls(file)?;
        if found.is_empty() {
            return Err(input::nothing(file, "revocation list"));
        }
        for der in found {
            match Crl::parse(&der) {
                Ok(crl) => all.push(crl),
                Err(reason) => unreadable = Some(format!("{}: {}", file.display(), reason.detail)),
            }
        }
    }
    Ok((all, unreadable))
}
