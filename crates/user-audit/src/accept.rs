//! `accept`: somebody has looked at a pack and answers for it.

use crate::audit::reviews_dir;
use crate::cli::{self, Decision};
use crate::pack::{self, Contents, Database};
use crate::review::{self, Review, SCHEMA};
use crate::{population, settings};
use serde::Serialize;
use std::path::Path;
use toban_core::config::Config;
use toban_core::{Context, Error, Out, Record, Result, durable, evidence};

/// One database's review was recorded.
#[derive(Serialize)]
struct AcceptedReview<'a> {
    source: &'a str,
    verb: &'a str,
    decision: &'a str,
    reviewer: &'a str,
    ticket: &'a str,
    rights: usize,
    accounts: u64,
    pack: &'a str,
    /// Who signed the pack, where that was asked for.
    signer: &'a str,
    /// `recorded`, or in a dry run `would be recorded`.
    state: &'static str,
}

impl Record for AcceptedReview<'_> {
    const SCHEMA: &'static str = "user-audit.accept/1";
    const HEAD: &'static [&'static str] =
        &["source", "verb", "decision", "reviewer", "ticket", "rights", "accounts", "pack", "state"];
    fn cells(&self) -> Vec<String> {
        let (rights, accounts) = (self.rights.to_string(), self.accounts.to_string());
        [
            self.source,
            self.verb,
            self.decision,
            self.reviewer,
            self.ticket,
            &rights,
            &accounts,
            self.pack,
            self.state,
        ]
        .map(String::from)
        .to_vec()
    }
}

/// Runs the verb. The pack and every one before it must be whole: nobody accepts what was changed.
pub(crate) fn accept_pack(args: &cli::Accept, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read_settings(config)?;
    // Before anything is read of it: each manifest has the sum of the one before, so that a pack that was changed or
    // left out later shows.
    let chain = evidence::verify_chain(&args.pack, &pack::read_name)?;
    let dir = reviews_dir(args.reviews.as_deref());
    evidence::check_chain(&dir, &chain)?;
    let allowed = args.allowed_signers.as_deref().or(settings.allowed_signers.as_deref());
    let signer =
        allowed.map(|file| evidence::verify_signature(&args.pack, file, "user-audit")).transpose()?;
    let signer = signer.unwrap_or_default();
    let manifest = &chain[0].1;
    let contents = pack::read_contents(&args.pack)?;
    if contents.databases.is_empty() {
        return Err(Error::failed(format!("{} holds no database that was audited", args.pack.display())));
    }
    for database in &contents.databases {
        let review = new_review(args, &contents, database, manifest)?;
        if !args.dry.dry_run {
            record_review(&dir, &review, &args.pack)?;
        }
        out.emit(&AcceptedReview {
            source: &review.source,
            verb: &review.verb,
            decision: &review.decision,
            reviewer: &review.reviewer,
            ticket: &review.ticket,
            rights: review.access.len(),
            accounts: review.accounts.unwrap_or_default(),
            pack: &review.pack,
            signer: &signer,
            state: if args.dry.dry_run { "would be recorded" } else { "recorded" },
        })?;
    }
    Ok(())
}

fn new_review(
    args: &cli::Accept,
    contents: &Contents,
    database: &Database,
    manifest: &str,
) -> Result<Review> {
    let whole = args.pack.canonicalize().doing(|| format!("find {}", args.pack.display()))?;
    let decision = match args.decision {
        Decision::Approved => "approved",
        Decision::Rejected => "rejected",
    };
    Ok(Review {
        schema: SCHEMA.into(),
        verb: contents.verb.clone(),
        source: database.source.clone(),
        identity: database.identity.clone(),
        reviewer: args.reviewer.clone(),
        decision: decision.into(),
        date: args.at.now(),
        ticket: args.ticket.clone(),
        pack: whole.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        pack_sha256: manifest.to_string(),
        access: database.access.clone(),
        accounts: count_accounts(&args.pack, &database.source)?,
    })
}

/// How many accounts the pack lists of one database; None for a pack that lists none.
fn count_accounts(pack: &Path, source: &str) -> Result<Option<u64>> {
    let path = pack.join(population::NAME);
    match path.is_file() {
        true => population::copy_accounts(&path, source, &mut std::io::sink()).map(Some),
        false => Ok(None),
    }
}

/// Every decision goes to the log; only an approved one becomes what later runs compare with.
fn record_review(dir: &Path, review: &Review, pack: &Path) -> Result<()> {
    durable::create_dirs(dir)?;
    let line = serde_json::to_string(&Review { access: Vec::new(), ..review.clone() });
    let line = line.doing(|| "write the review as JSON".into())?;
    let log = dir.join("log.jsonl");
    let before = match std::fs::read_to_string(&log) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e).doing(|| format!("read {}", log.display())),
    };
    // The log first: a decision that is in force and in no log could not be answered for. One that is in the log and not
    // in force is seen by the next run, which goes on comparing with the review before.
    write_file(&log, &format!("{before}{line}\n"))?;
    if review.decision == "rejected" {
        return Ok(());
    }
    if review.accounts.is_some() {
        // First the list, then the review that counts its rows: between the two a run says that they differ, and
        // nothing is taken for unchanged.
        let list = review::population_path(dir, &review.verb, &review.source);
        durable::replace(&list, 0o600, |w| {
            population::copy_accounts(&pack.join(population::NAME), &review.source, w).map(drop)
        })?;
    }
    let whole = serde_json::to_string_pretty(review).doing(|| "write the review as JSON".into())?;
    write_file(&review::review_path(dir, &review.verb, &review.source), &whole)
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    durable::replace(path, 0o600, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))
}
