//! `verify`: an evidence pack and all before it are as they were made.

use crate::cli;
use crate::memory::LastLook;
use crate::settings::read_settings;
use crate::state::HostState;
use serde::Serialize;
use std::path::Path;
use toban_core::config::Config;
use toban_core::evidence::{check_chain, pack_name, verify_chain, verify_signature};
use toban_core::{Error, Out, Record, Result};

/// One pack that is whole.
#[derive(Serialize)]
struct VerifiedPack {
    pack: String,
    sha256: String,
    /// Who signed it, where that was asked for.
    signer: String,
}

impl Record for VerifiedPack {
    const SCHEMA: &'static str = "host-audit.verify/1";
    const HEAD: &'static [&'static str] = &["pack", "sha256", "signer"];

    fn cells(&self) -> Vec<String> {
        vec![self.pack.clone(), self.sha256.clone(), self.signer.clone()]
    }
}

/// Runs the verb.
pub(crate) fn verify_pack(args: &cli::Verify, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = read_settings(config)?;
    let state = HostState::open(&args.place)?;
    let allowed = args.allowed_signers.as_deref().or(settings.allowed_signers.as_deref());
    let checked = check_pack(&args.pack, allowed, &state.dir)?;
    for (at, (pack, sha256)) in checked.chain.into_iter().enumerate() {
        let signer = if at == 0 { checked.signer.clone() } else { String::new() };
        out.emit(&VerifiedPack { pack, sha256, signer })?;
    }
    Ok(())
}

/// A chain of packs that is whole.
pub(crate) struct CheckedPack {
    /// Names and sums, the newest first.
    pub(crate) chain: Vec<(String, String)>,
    pub(crate) signer: String,
}

/// Checks a pack, each one before it, what was remembered of them, and the signature where somebody is allowed to sign.
///
/// # Errors
/// Corrupt, naming the file that is not as it was.
pub(crate) fn check_pack(pack: &Path, allowed: Option<&Path>, remembered: &Path) -> Result<CheckedPack> {
    let chain = verify_chain(pack, &read_name)?;
    check_chain(remembered, &chain)?;
    let signer = allowed.map(|file| verify_signature(pack, file, "host-audit")).transpose()?;
    Ok(CheckedPack { chain, signer: signer.unwrap_or_default() })
}

fn read_name(pack: &Path) -> Result<String> {
    let none = || Error::corrupt(format!("{} holds no facts", pack.display()));
    LastLook::load(pack)?.ok_or_else(none).map(|run| pack_name("host", run.at))
}
