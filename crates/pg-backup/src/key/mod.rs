//! `key`: the keys that encrypted content is written to and read with.

mod check;
mod new;
mod test;

use crate::cli::{KeyArgs, KeyVerb};
use toban_core::config::Config;
use toban_core::{Out, Result};

/// Runs the verb.
pub(crate) fn run(args: &KeyArgs, config: &Config, out: &mut Out<'_>) -> Result<()> {
    match &args.verb {
        KeyVerb::New(verb) => new::make_identity(verb),
        KeyVerb::Check(verb) => check::check_recipients(verb, config, out),
        KeyVerb::Test(verb) => test::test_identity(verb, config, out),
    }
}
