//! What `verify` takes.

use crate::help::VERIFY_HELP;
use clap::Args as Group;
use std::path::PathBuf;

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct Verify {
    /// The certificate to judge: PEM or DER
    #[arg(value_name = "LEAF")]
    pub leaf: PathBuf,
}
