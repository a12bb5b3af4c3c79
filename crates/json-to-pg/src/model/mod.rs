//! The plan: what becomes of each file and each path, and what must be answered before. It reads nothing.

pub(crate) mod answers;
pub(crate) mod compiled;
pub(crate) mod plan;
pub(crate) mod zone;

pub(crate) use compiled::{
    Child, ColumnSource, FieldForm, FilledColumn, FilledTable, KnownTables, Link, NameLookup,
};
pub(crate) use plan::{
    FORMAT, FilePlan, MovePlan, OnConflict, OpenQuestion, PathPlan, QuestionKind, ValueConversion,
};
pub(crate) use zone::{NoInstant, Zone};
