//! `accept`: somebody has looked at a pack and answers for it.

use crate::audit::reviews_dir;
use crate::cli::{self, Decision};
use crate::pack::{self, Contents, Database};
use crate::review::{self, Review, SCHEMA};
use serde::Serialize;
use std::path::Path;
use toban_core::{Context, Error, Out, Record, Result, durable};

/// One database's review was recorded.
#[derive(Serialize)]
struct Accepted<'a> {
    source: &'a str,
    verb: &'a str,
    decision: &'a str,
    reviewer: &'a str,
    ticket: &'a str,
    rights: usize,
    pack: &'a str,
}

impl Record for Accepted<'_> {
    const SCHEMA: &'static str = "user-audit.accept/1";
    const HEAD: &'static [&'static str] =
        &["source", "verb", "decision", "reviewer", "ticket", "rights", "pack"];
    fn cells(&self) -> Vec<String> {
        let rights = self.rights.to_string();
        [self.source, self.verb, self.decision, self.reviewer, self.ticket, &rights, self.pack]
            .map(String::from)
            .to_vec()
    }
}

/// Runs the verb. The pack and every one before it must be whole: nobody accepts what was changed.
pub(crate) fn run(args: &cli::Accept, out: &mut Out<'_>) -> Result<()> {
    let manifest = pack::verify(&args.pack)?;
    let contents = pack::contents(&args.pack)?;
    if contents.databases.is_empty() {
        return Err(Error::failed(format!("{} holds no database that was audited", args.pack.display())));
    }
    let dir = reviews_dir(args.reviews.as_deref());
    for database in &contents.databases {
        let review = review(args, &contents, database, &manifest)?;
        if !args.dry.dry_run {
            record(&dir, &review)?;
        }
        out.emit(&Accepted {
            source: &review.source,
            verb: &review.verb,
            decision: &review.decision,
            reviewer: &review.reviewer,
            ticket: &review.ticket,
            rights: review.access.len(),
            pack: &review.pack,
        })?;
    }
    Ok(())
}

fn review(args: &cli::Accept, contents: &Contents, database: &Database, manifest: &str) -> Result<Review> {
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
    })
}

/// Every decision goes to the log; only an approved one becomes what later runs compare with.
fn record(dir: &Path, review: &Review) -> Result<()> {
    durable::create_dirs(dir)?;
    let line = serde_json::to_string(&Review { access: Vec::new(), ..review.clone() });
    let line = line.doing(|| "write the review as JSON".into())?;
    let log = dir.join("log.jsonl");
    let before = match std::fs::read_to_string(&log) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e).doing(|| format!("read {}", log.display())),
    };
    put(&log, &format!("{before}{line}\n"))?;
    if review.decision == "rejected" {
        return Ok(());
    }
    let whole = serde_json::to_string_pretty(review).doing(|| "write the review as JSON".into())?;
    put(&review::path(dir, &review.verb, &review.source), &whole)
}

fn put(path: &Path, text: &str) -> Result<()> {
    durable::replace(path, 0o600, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))
}
