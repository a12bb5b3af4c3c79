//! Where targets come from: arguments, lists, this host, else the configuration.

use super::discover;
use crate::cli::Check;
use crate::settings::Settings;
use crate::target::{Target, What};
use crate::wishes::Wishes;
use std::io::Read;
use std::path::Path;
use toban_core::{Context, Error, Result};

/// A list of targets is no larger.
const LARGEST: u64 = 16 << 20;

/// Every target, in the order given.
///
/// # Errors
/// Usage for what is no target, and when there is none at all.
pub(crate) fn targets(args: &Check, settings: &Settings) -> Result<Vec<Target>> {
    let wishes = args.wishes.clone().over(&settings.wishes);
    let mut all: Vec<Target> = Vec::new();
    for text in &args.targets {
        all.push(Target::new(text, wishes.clone())?);
    }
    all.extend(host(args, &wishes)?);
    for list in &args.targets_from {
        all.extend(listed(list, &wishes)?);
    }
    if args.discover {
        all.extend(discovered(&wishes)?);
    }
    let given =
        !args.targets.is_empty() || args.host.is_some() || !args.targets_from.is_empty() || args.discover;
    if !given {
        all = configured(args, settings, &wishes)?;
    }
    match all.is_empty() && !given {
        true => Err(Error::usage("no target")
            .hint("cert-checker check HOST[:PORT], or targets in the section [certs] of the configuration")),
        false => Ok(all),
    }
}

/// `-H example.org -p 443`, as check_ssl_cert has it.
fn host(args: &Check, wishes: &Wishes) -> Result<Option<Target>> {
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
    Target::new(&text, wishes.clone()).map(Some)
}

/// One target per line, wishes of its own behind it; `#` begins a comment. What holds certificates is no list: with
/// check_ssl_cert's `-f` it is what shall be checked.
fn listed(list: &Path, wishes: &Wishes) -> Result<Vec<Target>> {
    let mut bytes = Vec::new();
    let doing = || format!("read the targets in {}", list.display());
    match list == Path::new("-") {
        true => std::io::stdin().lock().take(LARGEST).read_to_end(&mut bytes).doing(doing)?,
        false => {
            std::fs::File::open(list).and_then(|f| f.take(LARGEST).read_to_end(&mut bytes)).doing(doing)?
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) if !text.contains("-----BEGIN ") => text,
        _ if list == Path::new("-") => return Err(Error::usage("standard input is no list of targets")),
        _ => return Target::new(&format!("file:{}", list.display()), wishes.clone()).map(|t| vec![t]),
    };
    let lines =
        text.trim_start_matches('\u{feff}').lines().map(|l| l.split('#').next().unwrap_or_default().trim());
    lines.filter(|l| !l.is_empty()).map(|l| Target::read(l, wishes)).collect()
}

/// Names cannot be judged of a port found here, unless one is given.
fn discovered(wishes: &Wishes) -> Result<Vec<Target>> {
    let found = discover::endpoints()?;
    Ok(found
        .into_iter()
        .map(|end| Target {
            text: format!("discovered {end}"),
            what: What::Discovered(end),
            wishes: wishes.clone(),
        })
        .collect())
}

fn configured(args: &Check, settings: &Settings, wishes: &Wishes) -> Result<Vec<Target>> {
    let plain = settings.targets.iter().map(|text| Target::new(text, wishes.clone()));
    let own = settings.own.iter().map(|(text, own)| {
        // A flag goes before the section, and the section before what all want.
        let wishes = args.wishes.clone().over(&own.clone().over(&settings.wishes));
        Target::new(text, wishes)
    });
    plain.chain(own).collect()
}
