//! The manifest's signature, by ssh-keygen: everybody has it, and checks it without us.

use super::manifest::{NAME, SIGNATURE};
use crate::error::{Context, Error, Result};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Who of the allowed signers signed the pack's manifest for `tool`: a signature that was given for another is none.
///
/// # Errors
/// Corrupt when nobody did, or something else.
pub fn verify_signature(pack: &Path, allowed: &Path, tool: &str) -> Result<String> {
    File::open(allowed).doing(|| format!("read {}", allowed.display()))?;
    let (manifest, signature) = (pack.join(NAME), pack.join(SIGNATURE));
    let refused = |why: &str| {
        Error::corrupt(format!("{} is not signed by anybody in {}: {why}", pack.display(), allowed.display()))
    };
    if !signature.is_file() {
        return Err(refused("there is no signature")
            .hint("sign packs with --sign-key, or sign_key in the configuration"));
    }
    let mut find = Command::new("ssh-keygen");
    find.args(["-Y", "find-principals", "-s"]).arg(&signature).arg("-f").arg(allowed).stdin(Stdio::null());
    // find-principals only looks up whose key it is; that the signature fits the manifest is what verify says below.
    let found = run_keygen(&mut find)?;
    let who = String::from_utf8_lossy(&found.stdout).lines().next().unwrap_or_default().to_string();
    if !found.status.success() || who.is_empty() {
        return Err(refused(&output_text(&found)));
    }
    let text = File::open(&manifest).doing(|| format!("read {}", manifest.display()))?;
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-n", tool, "-I", &who, "-f"]).arg(allowed).arg("-s").arg(&signature);
    let done = run_keygen(verify.stdin(text))?;
    match done.status.success() {
        true => Ok(who),
        false => Err(refused(&output_text(&done))),
    }
}

fn run_keygen(command: &mut Command) -> Result<Output> {
    let done = command.output().doing(|| "run ssh-keygen".into());
    done.map_err(|e| e.hint("it comes with OpenSSH's client (openssh-client)"))
}

fn output_text(done: &Output) -> String {
    let text = [&done.stderr[..], &done.stdout].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("it did not say why").trim().to_string()
}
