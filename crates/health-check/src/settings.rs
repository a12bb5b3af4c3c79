//! The `[health]` section of the configuration: what is checked beside the machine, and by which limits.

use crate::reading::Limits;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toban_core::config::{Config, Span};
use toban_core::{Error, Result};

/// `[health]`; an unknown key is an error that names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) cpu: Thresholds,
    pub(crate) memory: Thresholds,
    pub(crate) handles: Thresholds,
    pub(crate) disk: DiskSettings,
    pub(crate) network: NetworkSettings,
    /// `[health.postgres.NAME]`: the clusters of the configuration where it is left out.
    pub(crate) postgres: BTreeMap<String, PgSettings>,
    pub(crate) pgbouncer: BTreeMap<String, PoolerSettings>,
    pub(crate) redis: BTreeMap<String, RedisSettings>,
    pub(crate) http: BTreeMap<String, HttpSettings>,
    pub(crate) rabbitmq: BTreeMap<String, HttpSettings>,
    pub(crate) elasticsearch: BTreeMap<String, HttpSettings>,
    pub(crate) traffic: BTreeMap<String, TrafficSettings>,
    /// Units and timers that must be active.
    pub(crate) units: Vec<String>,
}

/// Limits in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Thresholds {
    pub(crate) warning: Option<f64>,
    pub(crate) critical: Option<f64>,
}

impl Thresholds {
    /// As set, else the defaults in per cent; critical is never below warning.
    pub(crate) fn limits(&self, warning: f64, critical: f64) -> Limits {
        let warning = self.warning.unwrap_or(warning.min(self.critical.unwrap_or(warning)));
        Limits::of_percent(warning, self.critical.unwrap_or(critical.max(warning)))
    }

    fn validate(&self, place: &str) -> Result<()> {
        let fine = |limit: f64| limit > 0.0 && limit <= 100.0;
        let ordered = self.warning.zip(self.critical).is_none_or(|(w, c)| w <= c);
        match self.warning.into_iter().chain(self.critical).all(fine) && ordered {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "[health.{place}]: limits are per cent up to 100, and critical is not below warning"
            ))),
        }
    }
}

/// `[health.disk]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskSettings {
    pub(crate) warning: Option<f64>,
    pub(crate) critical: Option<f64>,
    /// Mount points that are not watched; `*` stands for any characters.
    pub(crate) exclude: Vec<String>,
    /// Paths whose file systems are watched, whatever they are.
    pub(crate) include: Vec<PathBuf>,
    /// `[health.disk.at."/data"]`: limits of one mount point.
    pub(crate) at: BTreeMap<String, DiskThresholds>,
}

/// Limits of one file system.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskThresholds {
    pub(crate) warning: Option<f64>,
    pub(crate) critical: Option<f64>,
    /// With so much free it is never critical.
    pub(crate) min_free: Option<Size>,
}

impl DiskThresholds {
    /// In parts of one.
    pub(crate) fn limits(&self) -> Limits {
        Thresholds { warning: self.warning, critical: self.critical }.limits(70.0, 85.0)
    }
}

impl DiskSettings {
    /// Those of a mount point, else those of all.
    pub(crate) fn limits_of(&self, point: &str) -> DiskThresholds {
        let own = self.at.get(point).cloned().unwrap_or_default();
        let (warning, critical) = (own.warning.or(self.warning), own.critical.or(self.critical));
        DiskThresholds { warning, critical, ..own }
    }
}

/// `[health.network]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkSettings {
    pub(crate) warning: Option<f64>,
    pub(crate) critical: Option<f64>,
    /// Speeds of interfaces whose drivers do not know: `eth0 = "1Gbps"`.
    pub(crate) speed: BTreeMap<String, Speed>,
}

impl NetworkSettings {
    /// Of every interface.
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds { warning: self.warning, critical: self.critical }
    }
}

/// `[health.postgres.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PgSettings {
    /// A libpq connection string [default: that of `[cluster.NAME]`].
    pub(crate) db: Option<String>,
    /// What the server must be.
    pub(crate) role: Option<PgRole>,
    /// The application names of the standbys that must be connected.
    pub(crate) standbys: Vec<String>,
    /// Per cent of the sessions that ordinary roles may have.
    pub(crate) connections: Thresholds,
    pub(crate) lag: LagSettings,
    pub(crate) idle_in_transaction: Option<Span>,
    pub(crate) transaction: Option<Span>,
    pub(crate) blocked: Option<Span>,
}

/// What a server is in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PgRole {
    Primary,
    Standby,
}

impl PgRole {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        if self == PgRole::Primary { "primary" } else { "standby" }
    }
}

/// How far a standby may be behind.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LagSettings {
    pub(crate) warning: Option<Size>,
    pub(crate) critical: Option<Size>,
}

/// `[health.pgbouncer.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolerSettings {
    /// A libpq connection string to its database `pgbouncer`.
    pub(crate) db: String,
}

/// `[health.redis.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisSettings {
    /// HOST:PORT, or the path of a socket.
    pub(crate) address: String,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) tls: bool,
    /// The certificates to trust, instead of the system's.
    pub(crate) trust: Option<PathBuf>,
}

/// `[health.http.NAME]`, and the HTTP interfaces of RabbitMQ and Elasticsearch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSettings {
    pub(crate) url: String,
    /// The statuses that are well [default: 200].
    #[serde(default)]
    pub(crate) status: Vec<u16>,
    /// A JSON pointer (RFC 6901) to a member that must say that all is well.
    pub(crate) pointer: Option<String>,
    /// What it must say [default: healthy, ok, up, pass, ready, alive].
    #[serde(default)]
    pub(crate) healthy: Vec<String>,
    /// The certificates to trust, instead of the system's.
    pub(crate) trust: Option<PathBuf>,
    /// The file that holds the value of the header Authorization.
    pub(crate) authorization_file: Option<PathBuf>,
    pub(crate) warning: Option<Span>,
    pub(crate) critical: Option<Span>,
}

impl HttpSettings {
    /// Those of a URL alone.
    pub(crate) fn of_url(url: &str) -> HttpSettings {
        HttpSettings {
            url: url.into(),
            status: Vec::new(),
            pointer: None,
            healthy: Vec::new(),
            trust: None,
            authorization_file: None,
            warning: None,
            critical: None,
        }
    }
}

/// `[health.traffic.NAME]`: what became of users' requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrafficSettings {
    /// The URL of metrics, or the path of an access log.
    pub(crate) source: String,
    /// Per cent of requests that fail.
    #[serde(default)]
    pub(crate) errors: Thresholds,
    /// The 95th percentile of the times.
    pub(crate) warning: Option<Span>,
    pub(crate) critical: Option<Span>,
}

/// Reads the section.
///
/// # Errors
/// Usage, with the key.
pub(crate) fn read_settings(config: &Config) -> Result<Settings> {
    let settings: Settings = config.section(&["health"])?;
    let disk = Thresholds { warning: settings.disk.warning, critical: settings.disk.critical };
    settings.cpu.validate("cpu")?;
    settings.memory.validate("memory")?;
    settings.handles.validate("handles")?;
    disk.validate("disk")?;
    settings.network.thresholds().validate("network")?;
    for (name, pg) in &settings.postgres {
        pg.connections.validate(&format!("postgres.{name}.connections"))?;
    }
    for (point, own) in &settings.disk.at {
        let own = Thresholds { warning: own.warning, critical: own.critical };
        own.validate(&format!("disk.at.{point}"))?;
    }
    for (name, traffic) in &settings.traffic {
        traffic.errors.validate(&format!("traffic.{name}.errors"))?;
    }
    Ok(settings)
}

/// Bytes as people write them: `200GB`, `1.5TiB`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size(pub(crate) f64);

/// Bits a second: `100Mbps`, `10Gbps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speed(pub(crate) f64);

fn parse_with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (text[..end].parse::<f64>().ok()?, text[end..].trim());
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    Some(number * factor)
}

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];
const SPEEDS: &[(&str, f64)] = &[("kbps", 1e3), ("Mbps", 1e6), ("Gbps", 1e9)];

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Size, D::Error> {
        let text = String::deserialize(d)?;
        let size = parse_with_unit(&text, SIZES).map(Size);
        size.ok_or_else(|| serde::de::Error::custom("a size is a number with its unit, as 200GB or 1.5TiB"))
    }
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Speed, D::Error> {
        let text = String::deserialize(d)?;
        let speed = parse_with_unit(&text, SPEEDS).map(Speed);
        speed.ok_or_else(|| {
            serde::de::Error::custom("a speed is a number with its unit, as 100Mbps or 10Gbps")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings> {
        read_settings(&Config::parse(text)?)
    }

    #[test]
    fn limits_are_checked_and_numbers_have_units() {
        let settings = read("[health.cpu]\nwarning = 50\n[health.disk.at.\"/data\"]\nmin_free = '200GB'\n")
            .expect("fine");
        assert_eq!(settings.cpu.limits(70.0, 85.0), Limits { warning: 0.5, critical: 0.85 });
        assert_eq!(settings.disk.limits_of("/data").min_free, Some(Size(2e11)));
        assert_eq!(parse_with_unit("1.5TiB", SIZES), Some(1.5 * 1_099_511_627_776.0));
        assert_eq!(parse_with_unit("10 Gbps", SPEEDS), Some(1e10));
        for bad in [
            "[health.cpu]\nwarning = 90\ncritical = 80",
            "[health.cpu]\nwarning = 0",
            "[health.memory]\ncritical = 101",
            "[health.disk]\nwarnin = 5",
            "[health.disk.at.\"/\"]\nmin_free = '200'",
            "[health.network.speed]\neth0 = 'fast'",
        ] {
            assert_eq!(read(bad).expect_err(bad).kind(), toban_core::Kind::Usage, "{bad}");
        }
        let alone = Thresholds { warning: None, critical: Some(50.0) };
        assert_eq!(alone.limits(70.0, 85.0), Limits { warning: 0.5, critical: 0.5 });
    }
}
