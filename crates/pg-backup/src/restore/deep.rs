//! Proof by restoring: a dump into a scratch database that is dropped again.

use super::place::Place;
use super::source::Source;
use super::{globals, load};
use crate::catalog::Stored;
use crate::server::Server;
use toban_core::Result;

/// Restores `stored` into a scratch database of `server`, compares its rows with those counted when it was dumped,
/// and drops it; how many tables were compared.
///
/// # Errors
/// What did not load or differs.
pub(crate) fn rehearse(server: &Server, maintenance: &str, stored: Stored, jobs: u32) -> Result<u64> {
    let properties = stored.manifest.database.clone();
    let source = Source::of_ours(stored)?;
    let mut place = Place::take(server, maintenance, &format!("toban_verify {}", properties.name))?;
    let ready = load::check(&source, server)?;
    globals::require(place.admin(), &properties)?;
    let filling = place.make(&properties)?;
    ready.load(server, filling.name(), &properties.owner, jobs)?;
    let counted = ready.compare(server, filling.name())?;
    Ok(counted.map_or(0, |c| c.len() as u64))
}
