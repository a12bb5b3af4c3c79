//! The rules of `--cast`: which column is converted how, and to which type.

use super::build::Draft;
use super::{Conversion, Policy};
use crate::census::judge::Verdict;
use crate::cli::Rules;
use toban_core::{Error, Result};

/// The rules.
pub(super) struct Casts(Vec<(String, Option<String>, Conversion)>);

impl Casts {
    pub(super) fn new(rules: &[String]) -> Result<Casts> {
        rules.iter().map(|r| cast(r)).collect::<Result<_>>().map(Casts)
    }

    pub(super) fn of(&self, table: &str, column: &str, rules: &Rules) -> Option<Verdict> {
        let name = format!("{table}.{column}");
        let (_, pg_type, conversion) = self.0.iter().find(|(n, _, _)| *n == name)?;
        let policy = match rules.on_misfit {
            None => Policy::Stop,
            Some(crate::cli::Misfit::Reject) => Policy::Reject,
            Some(crate::cli::Misfit::Null) => Policy::Null,
            Some(crate::cli::Misfit::Round) => Policy::Round,
            Some(_) => Policy::Replace,
        };
        let pg_type = pg_type.clone().unwrap_or_else(|| conversion.usual_type().into());
        Some(Verdict {
            pg_type,
            conversion: *conversion,
            policy,
            why: "a rule says so".into(),
            odd: Vec::new(),
        })
    }

    pub(super) fn all_used(&self, drafts: &[Draft<'_>]) -> Result<()> {
        let known = |name: &str| {
            drafts
                .iter()
                .any(|d| d.table.columns.iter().any(|c| format!("{}.{}", d.table.source, c.source) == name))
        };
        match self.0.iter().find(|(name, _, _)| !known(name)) {
            Some((name, _, _)) => {
                Err(Error::usage(format!("--cast names {name}, which is no column that moves")))
            }
            None => Ok(()),
        }
    }
}

fn cast(rule: &str) -> Result<(String, Option<String>, Conversion)> {
    let wrong = || {
        Error::usage(format!("--cast {rule}")).hint(
            "TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION; conversions are listed in the guide",
        )
    };
    let (name, what) = rule.rsplit_once('=').ok_or_else(wrong)?;
    let (pg_type, word) = match what.rsplit_once(':') {
        Some((pg_type, word)) => (Some(pg_type.to_string()), word),
        None => (None, what),
    };
    let conversion = serde_json::from_value(serde_json::Value::String(word.into())).map_err(|_| wrong())?;
    Ok((name.to_string(), pg_type, conversion))
}
