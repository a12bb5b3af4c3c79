//! A plan by a sample, the first load by it, and the plan that then follows from every value. Tables of which the two plans say
//! the same are copied already.

use crate::cli::{Rules, RunArgs};
use crate::load::copy::Loaded;
use crate::model::{Object, Plan};
use crate::plan::build::{MismatchedValues, SchemaSurvey};
use crate::plan::verb;
use crate::profile::first_load::FirstLoad;
use crate::profile::scan;
use crate::source::Snapshot;
use crate::target::create;
use migrate::session;
use migrate::sql::qualified_name;
use postgres::Client;
use std::collections::BTreeMap;
use std::time::Instant;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Result};

/// A plan, and what was done for it already.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) mismatches: Vec<MismatchedValues>,
    /// Tables that are in the stage with all their rows, by the source's names.
    pub(super) loaded: BTreeMap<String, Loaded>,
    /// Sessions of the target.
    pub(super) clients: Vec<Client>,
    /// When copying began.
    pub(super) began: Instant,
    /// Of a plan by a sample: the schema that it was made from.
    survey: Option<SchemaSurvey>,
}

impl Prepared {
    /// A whole plan, of which nothing is done yet.
    pub(super) fn of_plan(plan: Plan, mismatches: Vec<MismatchedValues>) -> Prepared {
        let (loaded, clients, began) = (BTreeMap::new(), Vec::new(), Instant::now());
        Prepared { plan, mismatches, loaded, clients, began, survey: None }
    }
}

/// A plan by a few rows of each table.
///
/// # Errors
/// Those of [`crate::plan::build::build_plan`].
pub(super) fn plan_by_sample(args: &RunArgs, snapshot: &mut Snapshot) -> Result<Prepared> {
    verb::refuse_sets(&args.rules)?;
    let survey = SchemaSurvey::read_schema(snapshot, &args.rules)?;
    let built = survey.decide(&args.rules, scan::sample_tables(snapshot, survey.tables())?)?;
    Ok(Prepared { survey: Some(survey), ..Prepared::of_plan(built.plan, Vec::new()) })
}

/// Where the copy is prepared.
pub(super) struct Stage<'a> {
    pub(super) to: &'a ConnInfo,
    pub(super) control: &'a mut Client,
    pub(super) name: &'a str,
    pub(super) quiet: bool,
}

impl Stage<'_> {
    /// Makes the stage. Where the plan is one by a sample, counts every value and copies what can be copied by it; the answer is
    /// the plan that all values make, with what of it is there.
    ///
    /// # Errors
    /// Those of either side.
    pub(super) fn load_first(
        self,
        prepared: Prepared,
        rules: &Rules,
        snapshot: &mut Snapshot,
    ) -> Result<Prepared> {
        create::begin_stage(self.control, self.name)?;
        let Some(survey) = &prepared.survey else { return Ok(prepared) };
        let (began, draft) = (Instant::now(), &prepared.plan);
        let first = FirstLoad { tables: survey.tables(), draft, schema: self.name, quiet: self.quiet };
        let copied = Plan { tables: first.copied_tables().cloned().collect(), ..without_tables(draft) };
        create::create_tables(self.control, &copied, self.name)?;
        let mut clients = session::open_sessions(self.to, snapshot.readers().len())?;
        let outcomes = first.count_and_copy(snapshot, &mut clients)?;
        let names = survey.tables().iter().map(|raw| raw.name.clone());
        let (counted, loads): (Vec<_>, Vec<_>) = outcomes.into_iter().map(|o| (o.counted, o.loaded)).unzip();
        let mut loaded: BTreeMap<String, Loaded> =
            names.zip(loads).filter_map(|(name, load)| Some((name, load?))).collect();
        let built = survey.decide(rules, counted)?;
        for table in &copied.tables {
            let decided = built.plan.tables.iter().find(|t| t.source == table.source);
            if loaded.contains_key(&table.source) && decided.is_some_and(|d| d.is_made_like(table)) {
                continue;
            }
            loaded.remove(&table.source);
            let drop = format!("drop table {}", qualified_name(self.name, &table.target));
            self.control.batch_execute(&drop).doing(|| format!("make {} anew", table.source))?;
        }
        Ok(Prepared { loaded, clients, began, ..Prepared::of_plan(built.plan, built.mismatches) })
    }
}

fn without_tables(plan: &Plan) -> Plan {
    let (tables, objects): (_, Vec<Object>) = (Vec::new(), Vec::new());
    Plan { tables, objects, source: plan.source.clone(), schema: plan.schema.clone(), ..*plan }
}
