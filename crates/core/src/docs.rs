//! Manual page and reference from the declarations.
use clap::Command;
use std::io::Write;

/// The manual page.
pub fn man(_command: &Command, _to: &mut dyn Write) {}
/// The reference in Markdown.
pub fn markdown(_command: &Command, _to: &mut dyn Write) {}
