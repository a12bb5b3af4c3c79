//! target_session_attrs: what a server must be to be taken.

use crate::error::{Context, Error, Result};
use postgres::{Client, SimpleQueryMessage};

/// Which servers of several are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Target {
    /// # Errors
    /// Usage for a word libpq does not know either.
    pub(super) fn parse_target(text: &str) -> Result<Target> {
        match text {
            "any" => Ok(Target::Any),
            "read-write" => Ok(Target::ReadWrite),
            "read-only" => Ok(Target::ReadOnly),
            "primary" => Ok(Target::Primary),
            "standby" => Ok(Target::Standby),
            "prefer-standby" => Ok(Target::PreferStandby),
            _ => Err(Error::usage(format!("unknown target_session_attrs \"{text}\""))
                .hint("any, read-write, read-only, primary, standby or prefer-standby")),
        }
    }

    /// What is asked for in each round over the hosts.
    pub(super) fn list_rounds(self) -> &'static [Target] {
        match self {
            Target::Any => &[Target::Any],
            Target::ReadWrite => &[Target::ReadWrite],
            Target::ReadOnly => &[Target::ReadOnly],
            Target::Primary => &[Target::Primary],
            Target::Standby => &[Target::Standby],
            Target::PreferStandby => &[Target::Standby, Target::Any],
        }
    }

    /// Why this server is not the one; none when it is. Asks the server, as the crate knows three of the six words.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) fn find_mismatch(self, client: &mut Client) -> Result<Option<&'static str>> {
        if self == Target::Any {
            return Ok(None);
        }
        let (standby, read_only) = query_state(client)?;
        Ok(match self {
            Target::Primary if standby => Some("is a standby"),
            Target::Standby if !standby => Some("is not a standby"),
            Target::ReadWrite if standby || read_only => Some("is read-only"),
            Target::ReadOnly if !(standby || read_only) => Some("is not read-only"),
            _ => None,
        })
    }
}

fn query_state(client: &mut Client) -> Result<(bool, bool)> {
    let sql = "select pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on'";
    let messages = client.simple_query(sql).doing(|| "ask whether the server is a standby".into())?;
    let row = messages.iter().find_map(|m| match m {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let flag = |i| row.and_then(|r| r.get(i)) == Some("t");
    Ok((flag(0), flag(1)))
}
