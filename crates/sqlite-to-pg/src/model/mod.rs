//! What a migration is made of: the plan with its tables, columns and objects, the types of PostgreSQL that we
//! write. It reads nothing and depends on nothing else of this crate.

mod column;
pub(crate) mod names;
mod object;
mod plan;
pub(crate) mod types;

pub(crate) use column::{Column, Conversion, Policy, Profile};
pub(crate) use object::{
    Action, Cause, CheckConstraint, ForeignKey, Index, IndexPart, Object, ObjectKind, Outcome, Unique,
};
pub(crate) use plan::{FORMAT, Mode, OrphanRule, Plan, Set, SourceFile, Table};
