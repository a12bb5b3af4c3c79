//! Service files: `[name]` sections of `key=value` lines.
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use super::environment::Environment;
use super::settings::Settings;
use crate::error::{Context, Error, Result};
use std::path::{Path, PathBuf};

/// Adds to `settings` what the service they name brings, where they have no value yet. The first file that has the
/// service counts: PGSERVICEFILE (else ~/.pg_service.conf), then pg_service.conf in PGSYSCONFDIR.
///
/// # Errors
/// Usage for an unknown service or a bad line, with the file and line.
pub(super) fn apply_service(settings: &mut Settings, around: &Environment) -> Result<()> {
    let service = settings.get_even_empty("service").or_else(|| around.variable("PGSERVICE"));
    let Some(service) = service.map(String::from) else { return Ok(()) };
    let named = settings.get("servicefile").or_else(|| around.variable("PGSERVICEFILE")).map(PathBuf::from);
    if let Some(missing) = named.as_ref().filter(|f| !f.exists()) {
        return Err(Error::usage(format!("no service file {}", missing.display())).hint("see PGSERVICEFILE"));
    }
    let files = service_files(named, around);
    for file in files.iter().filter(|f| f.exists()) {
        let text = std::fs::read_to_string(file).doing(|| format!("read {}", file.display()))?;
        if let Some(lines) = find_section(&text, &service) {
            return lines.iter().try_for_each(|(number, line)| {
                take_line(line, settings).map_err(|e| {
                    Error::usage(format!("service file {} line {number}", file.display())).because(e)
                })
            });
        }
    }
    let looked: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    Err(Error::usage(format!("no definition of service \"{service}\""))
        .hint(format!("looked in {}", looked.join(" and "))))
}

fn service_files(named: Option<PathBuf>, around: &Environment) -> Vec<PathBuf> {
    let system = around.variable("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common");
    let own = named.or_else(|| around.at_home(".pg_service.conf"));
    own.into_iter().chain([Path::new(system).join("pg_service.conf")]).collect()
}

/// The numbered lines of the section, comments and empty ones left out.
fn find_section<'a>(text: &'a str, service: &str) -> Option<Vec<(usize, &'a str)>> {
    let title = format!("[{service}]");
    let mut lines =
        (1..).zip(text.lines().map(str::trim)).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    lines.find(|(_, l)| l.starts_with(&title))?;
    Some(lines.take_while(|(_, l)| !l.starts_with('[')).collect())
}

fn take_line(line: &str, settings: &mut Settings) -> Result<()> {
    let (key, value) = line.split_once('=').ok_or_else(|| Error::usage("a line is key=value"))?;
    if key == "service" || key == "servicefile" {
        return Err(Error::usage("a service cannot name another service"));
    }
    if super::keywords::find_keyword(key).is_none() && key.trim() != key {
        return Err(Error::usage(format!("blanks around \"=\" after \"{}\"", key.trim())));
    }
    settings.set_missing(key, value.to_string())
}
