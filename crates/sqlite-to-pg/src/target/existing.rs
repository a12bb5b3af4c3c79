//! Tables that the application made.

use crate::plan::Plan;
use toban_core::Result;

pub(crate) fn adapt(_plan: &mut Plan, _target: &str) -> Result<()> {
    Ok(())
}
