//! The rules of `--cast`: which column is converted how, and to which type.

use super::build::Draft;
use crate::cli::{OnInvalid, Rules};
use crate::model::{Conversion, Policy};
use crate::profile::infer::Inferred;
use toban_core::{Error, Result};

/// The rules.
pub(super) struct Casts {
    rules: Vec<CastRule>,
    pub(super) on_invalid: Option<OnInvalid>,
}

struct CastRule {
    /// TABLE.COLUMN.
    column: String,
    pg_type: Option<String>,
    conversion: Conversion,
}

impl Casts {
    pub(super) fn new(rules: &Rules) -> Result<Casts> {
        let parsed = rules.cast.iter().map(|rule| parse_rule(rule)).collect::<Result<_>>()?;
        Ok(Casts { rules: parsed, on_invalid: rules.on_invalid })
    }

    /// What the rule of a column makes of it; none where there is no rule.
    pub(super) fn find(&self, table: &str, column: &str) -> Option<Inferred> {
        let name = format!("{table}.{column}");
        let rule = self.rules.iter().find(|rule| rule.column == name)?;
        Some(Inferred {
            pg_type: rule.pg_type.clone().unwrap_or_else(|| rule.conversion.usual_type().into()),
            conversion: rule.conversion,
            policy: self.on_invalid.map_or(Policy::Stop, OnInvalid::policy),
            why: "a rule says so".into(),
            mismatches: Vec::new(),
        })
    }

    /// That each rule names a column that moves.
    pub(super) fn check_used(&self, drafts: &[Draft<'_>]) -> Result<()> {
        let is_known = |name: &str| {
            let columns = drafts.iter().flat_map(|d| d.table.columns.iter().map(move |c| (d, c)));
            columns.into_iter().any(|(d, c)| format!("{}.{}", d.table.source, c.source) == name)
        };
        match self.rules.iter().find(|rule| !is_known(&rule.column)) {
            Some(rule) => Err(Error::usage(format!(
                "--cast names {}, which is not a column that is copied",
                rule.column
            ))),
            None => Ok(()),
        }
    }
}

fn parse_rule(rule: &str) -> Result<CastRule> {
    let wrong = || {
        Error::usage(format!("--cast {rule}")).hint(
            "TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION; conversions are listed in the guide",
        )
    };
    let (column, what) = rule.rsplit_once('=').ok_or_else(wrong)?;
    let (pg_type, word) = match what.rsplit_once(':') {
        Some((pg_type, word)) => (Some(pg_type.to_string()), word),
        None => (None, what),
    };
    let conversion = serde_json::from_value(serde_json::Value::String(word.into())).map_err(|_| wrong())?;
    Ok(CastRule { column: column.to_string(), pg_type, conversion })
}
