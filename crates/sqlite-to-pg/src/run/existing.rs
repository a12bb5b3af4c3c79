//! Into tables that the application made.

use crate::plan::Plan;
use postgres::Client;
use toban_core::Result;

pub(super) fn move_in(_client: &mut Client, _plan: &Plan, _stage: &str) -> Result<()> {
    Ok(())
}
