//! `verify`: a certificate's path, judged from files alone.

use crate::cli_verify::Verify;
use toban_core::{Error, Out, Result};

/// Runs the verb.
pub(crate) fn run(args: &Verify, _out: &mut Out<'_>) -> Result<()> {
    Err(Error::failed(format!("verify {}", args.leaf.display())))
}
