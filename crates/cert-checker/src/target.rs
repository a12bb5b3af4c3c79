//! What to check, and where it is named: arguments, lists, this host, else the configuration.

use crate::cli::CheckArgs;
use crate::endpoint::{Endpoint, listening_endpoints, parse_endpoint};
use crate::options::{CertsSection, Options};
use std::io::Read;
use std::path::Path;
use toban_core::{Context, Error, Result};

/// One target with what is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct CheckTarget {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) kind: TargetKind,
    pub(crate) options: Options,
}

/// What a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Served(Endpoint),
    /// A port that listens here, whatever it speaks; no name is asked of it.
    Discovered(Endpoint),
    /// A file, a folder or a pattern.
    Stored(String),
    /// A file, and the endpoints that should serve what it holds.
    Pair(String, Vec<Endpoint>),
}

impl CheckTarget {
    /// Reads a line of a list: the target, then `key=value` options of its own.
    fn parse_line(line: &str, options: &Options) -> Result<CheckTarget> {
        let mut words = line.split_whitespace();
        let text = words.next().unwrap_or_default();
        let own =
            Options::parse_words(words).map_err(|e| Error::usage(format!("target {line:?}")).because(e))?;
        CheckTarget::new(text, own.over(options))
    }

    /// The target `text` with these options.
    pub(crate) fn new(text: &str, options: Options) -> Result<CheckTarget> {
        Ok(CheckTarget { text: text.into(), kind: parse_target(text)?, options })
    }
}

fn parse_target(text: &str) -> Result<TargetKind> {
    if let Some(path) = text.strip_prefix("file:") {
        return parse_pair(path)
            .unwrap_or_else(|| Ok(TargetKind::Stored(path.trim_start_matches("//").into())));
    }
    if let Some(pair) = parse_pair(text) {
        return pair;
    }
    match is_path(text) {
        true => Ok(TargetKind::Stored(text.into())),
        false => parse_endpoint(text).map(TargetKind::Served),
    }
}

fn parse_pair(text: &str) -> Option<Result<TargetKind>> {
    let (file, ends) = text.split_once('=')?;
    let ends: Result<Vec<Endpoint>> = ends.split(',').map(parse_endpoint).collect();
    Some(ends.map(|ends| TargetKind::Pair(file.into(), ends)))
}

fn is_path(text: &str) -> bool {
    let path = (text.contains('/') && !text.contains("://")) || text.starts_with('.') || text.contains('*');
    path || (!text.contains("://") && std::path::Path::new(text).is_file())
}

/// A list of targets is no larger.
const LARGEST: u64 = 16 << 20;

/// Every target, in the order given.
///
/// # Errors
/// Usage for what is no target, and when there is none at all.
pub(crate) fn gather_targets(args: &CheckArgs, section: &CertsSection) -> Result<Vec<CheckTarget>> {
    let options = args.options.clone().over(&section.options);
    let mut all: Vec<CheckTarget> = Vec::new();
    for text in &args.targets {
        all.push(CheckTarget::new(text, options.clone())?);
    }
    all.extend(host_target(args, &options)?);
    for list in &args.targets_from {
        all.extend(listed_targets(list, &options)?);
    }
    if args.discover {
        // Names cannot be judged of a port found here, unless one is given.
        all.extend(listening_endpoints()?.into_iter().map(|end| CheckTarget {
            text: format!("discovered {end}"),
            kind: TargetKind::Discovered(end),
            options: options.clone(),
        }));
    }
    let given = args.names_targets();
    if !given {
        all = configured_targets(args, section, &options)?;
    }
    match all.is_empty() && !given {
        true => Err(Error::usage("no target")
            .hint("cert-checker check HOST[:PORT], or targets in the section [certs] of the configuration")),
        false => Ok(all),
    }
}

/// `-H example.org -p 443`, as check_ssl_cert has it.
fn host_target(args: &CheckArgs, options: &Options) -> Result<Option<CheckTarget>> {
    let Some(host) = &args.host else { return Ok(None) };
    let bare = host.contains("://") || host.starts_with('[');
    let text = match (args.port, host.parse::<std::net::Ipv6Addr>()) {
        (Some(port), Ok(_)) => format!("[{host}]:{port}"),
        (Some(port), Err(_)) => format!("{host}:{port}"),
        (None, Ok(_)) if !bare => format!("[{host}]"),
        (None, _) => host.clone(),
    };
    // For check_ssl_cert http is what a certificate is for: a web server's TLS.
    let scheme =
        args.protocol.as_deref().map(|p| if matches!(p, "http" | "h2" | "http/1.1") { "https" } else { p });
    let text = scheme.map_or_else(|| text.clone(), |scheme| format!("{scheme}://{text}"));
    CheckTarget::new(&text, options.clone()).map(Some)
}

/// One target per line, options of its own after it; `#` begins a comment. What holds certificates is no list: with
/// check_ssl_cert's `-f` it is what shall be checked.
fn listed_targets(list: &Path, options: &Options) -> Result<Vec<CheckTarget>> {
    let mut bytes = Vec::new();
    let doing = || format!("read the targets in {}", list.display());
    match list == Path::new("-") {
        true => std::io::stdin().lock().take(LARGEST).read_to_end(&mut bytes).doing(doing)?,
        false => {
            std::fs::File::open(list).and_then(|f| f.take(LARGEST).read_to_end(&mut bytes)).doing(doing)?
        }
    };
    // With -f, check_ssl_cert names a certificate's file; a list of targets is no PEM, so that both fit one option.
    let text = match String::from_utf8(bytes) {
        Ok(text) if !text.contains("-----BEGIN ") => text,
        _ if list == Path::new("-") => return Err(Error::usage("standard input is no list of targets")),
        _ => return CheckTarget::new(&format!("file:{}", list.display()), options.clone()).map(|t| vec![t]),
    };
    let lines =
        text.trim_start_matches('\u{feff}').lines().map(|l| l.split('#').next().unwrap_or_default().trim());
    lines.filter(|l| !l.is_empty()).map(|l| CheckTarget::parse_line(l, options)).collect()
}

fn configured_targets(
    args: &CheckArgs,
    section: &CertsSection,
    options: &Options,
) -> Result<Vec<CheckTarget>> {
    let plain = section.targets.iter().map(|text| CheckTarget::new(text, options.clone()));
    let own = section.own.iter().map(|(text, own)| {
        // A flag goes before the section, and the section before what all want.
        let options = args.options.clone().over(&own.clone().over(&section.options));
        CheckTarget::new(text, options)
    });
    plain.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_pairs() {
        let stored = |p: &str| TargetKind::Stored(p.into());
        assert_eq!(parse_target("/etc/ssl/a.pem").expect("a file"), stored("/etc/ssl/a.pem"));
        assert_eq!(parse_target("file:a.pem").expect("a file"), stored("a.pem"));
        assert_eq!(parse_target("./live/*/cert.pem").expect("a pattern"), stored("./live/*/cert.pem"));
        let ends = vec![parse_endpoint("a:443").expect("a"), parse_endpoint("smtp://b").expect("b")];
        assert_eq!(
            parse_target("/x.pem=a:443,smtp://b").expect("a pair"),
            TargetKind::Pair("/x.pem".into(), ends)
        );
    }
}
