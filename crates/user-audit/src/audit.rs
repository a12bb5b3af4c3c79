//! One run over several databases: what fails in one does not hide the others.

use crate::allow::AllowList;
use crate::cli::Scope;
use crate::finding::Finding;
use crate::ledger::{Baseline, Totals};
use crate::pack::Pack;
use crate::redact::Redactor;
use crate::review;
use crate::settings::Settings;
use crate::source::{Place, passing};
use std::path::{Path, PathBuf};
use toban_core::config::Config;
use toban_core::pg::ConnInfo;
use toban_core::{Error, Kind, Out, Result, Severity, durable, run as jobs, stop};

pub(crate) use crate::ledger::Ledger;

/// The databases that flags, else the configuration, else the environment name.
///
/// # Errors
/// Usage, also when two have the same name: their reviews would be one.
pub(crate) fn places(scope: &Scope, config: &Config, sqlite: bool) -> Result<Vec<Place>> {
    let given: Vec<Option<&str>> = scope.db.iter().map(|d| Some(d.as_str())).collect();
    let cluster = config.cluster.get(&scope.cluster);
    let places = match (given.is_empty(), cluster.and_then(|c| c.db.as_deref())) {
        (false, _) => given.into_iter().map(|db| place(db, sqlite)).collect::<Result<Vec<_>>>()?,
        (true, db) => {
            let to = ConnInfo::resolve(db, "user-audit")?;
            let names = cluster.map(|c| c.databases.clone()).unwrap_or_default();
            match names.is_empty() {
                true => vec![Place::Pg(Box::new(to))],
                false => names.iter().map(|n| Place::Pg(Box::new(to.with_dbname(n)))).collect(),
            }
        }
    };
    let mut names: Vec<String> = places.iter().map(Place::name).collect();
    names.sort();
    match names.windows(2).find(|w| w[0] == w[1]) {
        Some(twice) => Err(Error::usage(format!("two databases are called {}", twice[0]))
            .hint("audit them in two runs, each with its --cluster")),
        None => Ok(places),
    }
}

fn place(db: Option<&str>, sqlite: bool) -> Result<Place> {
    match db.and_then(|d| d.strip_prefix("sqlite:")) {
        Some(path) if sqlite => Ok(Place::Sqlite(path.into())),
        Some(_) => Err(Error::usage("a SQLite file has no roles")
            .hint("user-audit app --db sqlite:FILE audits its users")),
        None => Ok(Place::Pg(Box::new(ConnInfo::resolve(db, "user-audit")?))),
    }
}

/// The folder of accepted reviews.
pub(crate) fn reviews_dir(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| durable::state_dir().join("reviews"), Path::to_path_buf)
}

/// Audits each database by `one`, tells everything to `out` and the pack, and judges the whole.
///
/// # Errors
/// Findings; what `one` failed with, when nothing was audited at all.
#[expect(clippy::too_many_arguments, reason = "each is a thing of its own that the verbs know")]
pub(crate) fn run(
    verb: &'static str,
    scope: &Scope,
    config: &Config,
    settings: &Settings,
    out: &mut Out<'_>,
    places: Vec<Place>,
    mut one: impl FnMut(&Place, &mut Ledger<'_, '_>) -> Result<()>,
) -> Result<()> {
    let mut whole = |out: &mut Out<'_>| -> Result<Totals> {
        let now = scope.at.now();
        let redactor = Redactor::new(scope.redact)?;
        let mut allow = AllowList::new(settings.allow.clone(), verb, now)?;
        let mut pack = scope.pack.as_deref().map(|dir| Pack::begin(dir, verb, now)).transpose()?;
        let every = settings.review_every(scope);
        let mut totals = Totals::default();
        let mut failed = Vec::new();
        for place in &places {
            stop::check()?;
            let source = format!("{}/{}", scope.cluster, place.name());
            let review = review::load(&reviews_dir(scope.reviews.as_deref()), verb, &source);
            let baseline = Baseline { review, every };
            let sink = Some(&mut *out).filter(|_| !scope.monitoring.monitoring);
            let mut ledger =
                Ledger::new(source, sink, &redactor, &mut allow, pack.as_mut(), &mut totals, baseline);
            if let Err(e) = one(place, &mut ledger).map_err(passing) {
                ledger.add(not_audited(&e))?;
                failed.push(e);
            }
        }
        if failed.len() == places.len() {
            return Err(failed.remove(0));
        }
        if failed.is_empty() {
            let sink = Some(&mut *out).filter(|_| !scope.monitoring.monitoring);
            let stale = allow.stale();
            let mut ledger = Ledger::new(
                scope.cluster.clone(),
                sink,
                &redactor,
                &mut allow,
                pack.as_mut(),
                &mut totals,
                Baseline { review: Ok(None), every },
            );
            stale.into_iter().try_for_each(|f| ledger.add(f))?;
        }
        pack.map_or(Ok(()), Pack::finish)?;
        Ok(totals)
    };
    if scope.monitoring.monitoring {
        let totals = whole(out)?;
        return out.plugin(totals.worst(), &totals.sentence(), &totals.perfdata());
    }
    jobs::job(config, "user-audit", verb, &scope.cluster, |report| {
        let totals = whole(out)?;
        totals.tell(report);
        totals.verdict()
    })
}

fn not_audited(e: &Error) -> Finding {
    let advice = e.cure().unwrap_or_default().to_string();
    let kind = if e.kind() == Kind::Retry { "for now: " } else { "" };
    Finding::new("not-audited", "database", "the whole database", Severity::Unknown)
        .says(format!("{kind}{}", e.chain()))
        .advise(advice)
}
