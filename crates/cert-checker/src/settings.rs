//! The `[certs]` section of the configuration: what every target wants, and the targets.

use crate::wishes::Wishes;
use toban_core::config::Config;
use toban_core::{Error, Result};

/// The section.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// `targets = […]`, as on the command line.
    pub(crate) targets: Vec<String>,
    /// `[[certs.target]]`, each with wishes of its own.
    pub(crate) own: Vec<(String, Wishes)>,
    /// What the rest of the section wants of every target.
    pub(crate) wishes: Wishes,
}

/// Reads the section.
///
/// # Errors
/// Usage, with the key.
pub(crate) fn read(config: &Config) -> Result<Settings> {
    let Some(mut table) = config.certs.clone() else { return Ok(Settings::default()) };
    let bad = |why: String| Error::usage(format!("configuration: [certs]: {why}"));
    let targets = table.remove("targets").map(toml::Value::try_into).transpose();
    let own: Option<Vec<toml::Table>> =
        table.remove("target").map(toml::Value::try_into).transpose().map_err(|e| bad(e.message().into()))?;
    let own = own.unwrap_or_default().into_iter().map(|mut section| {
        let target = section.remove("target").and_then(|t| t.as_str().map(ToString::to_string));
        let target = target.ok_or_else(|| bad("a [[certs.target]] without target = \"…\"".into()))?;
        let wishes =
            section.try_into().map_err(|e: toml::de::Error| bad(format!("{target}: {}", e.message())))?;
        Ok((target, wishes))
    });
    Ok(Settings {
        targets: targets.map_err(|e| bad(e.message().into()))?.unwrap_or_default(),
        own: own.collect::<Result<_>>()?,
        wishes: table.try_into().map_err(|e: toml::de::Error| bad(e.message().into()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section() {
        let text = "[certs]\ntargets = [\"a:443\"]\nwarning = \"20d\"\n[[certs.target]]\ntarget = \"b:443\"\nany_issuer = true\n";
        let settings = read(&Config::parse(text).expect("parses")).expect("reads");
        assert_eq!(settings.targets, ["a:443"]);
        assert!(settings.wishes.warning.is_some() && settings.own[0].1.any_issuer);
        let e = read(&Config::parse("[certs]\nwarnin = \"20d\"\n").expect("parses")).unwrap_err();
        assert!(e.chain().contains("unknown field `warnin`"), "{e:?}");
    }
}
