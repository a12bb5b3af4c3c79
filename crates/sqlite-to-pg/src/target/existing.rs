//! Tables that the application made.

use crate::cli::Misfit;
use crate::plan::{Action, Plan};
use postgres::Client;
use toban_core::Result;

pub(crate) fn adapt(
    _plan: &mut Plan,
    _client: &mut Client,
    _action: Action,
    _misfit: Option<Misfit>,
) -> Result<()> {
    Ok(())
}
