//! The histories of the server's timelines, from wherever they are, into every repository that lacks them.

use super::Service;
use super::protocol::Replication;
use toban_core::Result;
use toban_core::wal::{History, Timeline};

/// Stores the history of the server's newest timeline, which is `timeline` or a later one, with those of all timelines
/// before; gives the newest.
///
/// A server that was rebuilt has the history of the timeline it began on and of those that it was promoted to, and no
/// others: they are taken out of the newest, which holds them all.
pub(super) fn store_histories(
    service: &Service,
    server: &mut Replication,
    timeline: Timeline,
) -> Result<History> {
    let newest = server.identify_system()?.timeline.max(timeline);
    if newest.0 <= 1 {
        return Ok(History::without_switches(newest));
    }
    let text = match server.timeline_history(newest) {
        Ok(content) => String::from_utf8_lossy(&content).into_owned(),
        Err(e) => find_stored_history(service, newest).ok_or(e)?,
    };
    // Before any of the timeline's segments: where there is WAL in a repository, there is the record of its origin.
    service.in_each_repo(|repo| service.archive(repo).put_histories(newest, &text))?;
    History::parse_history(newest, &text)
}

/// What a repository knows of it.
fn find_stored_history(service: &Service, timeline: Timeline) -> Option<String> {
    service.repos.find_first(|repo| service.archive(repo).history_or_derived(timeline)).ok().flatten()
}
