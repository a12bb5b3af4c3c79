//! What a run checks: the families that were named or all, and in each what the configuration or the flags name.

use super::gather::Task;
use crate::cli::{Family, RunArgs};
use crate::machine::Machine;
use crate::machine::clock::check_clock;
use crate::machine::disk::DiskCheck;
use crate::machine::handles::check_handles;
use crate::machine::memory::check_memory;
use crate::machine::mounts::Mount;
use crate::machine::pressure::check_pressure;
use crate::machine::rates::{Counters, RateWindow};
use crate::postgres::PgCheck;
use crate::reading::{Checked, Facts, Reading};
use crate::rules;
use crate::service::brokers::{Broker, check_broker};
use crate::service::endpoint::check_endpoint;
use crate::service::pgbouncer::check_pgbouncer;
use crate::service::redis::check_redis;
use crate::service::traffic::check_traffic;
use crate::service::units::check_units;
use crate::settings::{HttpSettings, PgSettings, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use toban_core::check::Rule;
use toban_core::config::Config;
use toban_core::{Error, Result, Severity};

/// A service has the whole run but what starting and writing take.
const SERVICE: Duration = Duration::from_secs(8);
/// Another program.
const PROGRAM: Duration = Duration::from_secs(3);
/// The kernel's files, and two looks at them.
const KERNEL: Duration = Duration::from_secs(5);

/// What every check of a run goes by.
pub(crate) struct Ground {
    pub(crate) machine: Machine,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) settings: Settings,
    pub(crate) before: Facts,
    /// The first look at the counters, and the last run's.
    pub(crate) counters: Counters,
    pub(crate) last: Option<Counters>,
    /// Paths whose file systems are watched in any case.
    pub(crate) named: Vec<PathBuf>,
    /// Seconds since 1970.
    pub(crate) now: f64,
}

/// The tasks of a run.
pub(crate) struct Plan {
    ground: Arc<Ground>,
    tasks: Vec<Task>,
}

/// The paths of the configuration that must not fill: data directories with what they lead to, and repositories.
pub(crate) fn name_paths(config: &Config, settings: &Settings) -> Vec<PathBuf> {
    let data = config.cluster.values().filter_map(|cluster| cluster.data_dir.clone());
    let parts =
        data.flat_map(|dir| [dir.clone(), dir.join("pg_wal"), dir.join("pg_tblspc"), dir.join("log")]);
    let urls = config.repo.values().map(|repo| repo.url.as_str());
    let repos = urls.filter_map(|url| url.strip_prefix("file://")).map(PathBuf::from);
    parts.chain(repos).chain(settings.disk.include.iter().cloned()).collect()
}

impl Plan {
    /// The tasks of the families that `args` names, else of all.
    ///
    /// # Errors
    /// Usage when there is nothing to check: that nothing was looked at must never be taken for well.
    pub(crate) fn make_tasks(ground: Arc<Ground>, args: &RunArgs, config: &Config) -> Result<Vec<Task>> {
        let mut plan = Plan { ground, tasks: Vec::new() };
        for family in Family::ALL {
            let named = args.checks.contains(&family);
            if named || args.checks.is_empty() {
                let before = plan.tasks.len();
                plan.add_family(family, args, config);
                if named && family.is_configured() && plan.tasks.len() == before {
                    return Err(Error::usage(format!(
                        "nothing to check: {} is not configured",
                        family.name()
                    ))
                    .hint(format!("[health.{}] of the configuration names what is checked", family.name())));
                }
            }
        }
        Ok(plan.tasks)
    }

    fn add_family(&mut self, family: Family, args: &RunArgs, config: &Config) {
        let asked = args.checks.contains(&family);
        match family {
            Family::Cpu => self.add_rates(args),
            Family::Network if !args.wants(Family::Cpu) => self.add_rates(args),
            Family::Network => {}
            Family::Memory => self.add_kernel(&rules::MEMORY, |g| {
                check_memory(&g.machine, &g.mounts, g.settings.memory.limits(80.0, 90.0), &g.before)
            }),
            Family::Pressure => self.add_kernel(&rules::PRESSURE, move |g| judge_pressure(g, asked)),
            Family::Disk => self.add_kernel(&rules::DISK, check_disks),
            Family::Handles => self.add_kernel(&rules::FILE_HANDLES, |g| {
                check_handles(&g.machine, g.settings.handles.limits(70.0, 85.0)).into()
            }),
            // It asks the running system, which another root is not.
            Family::Clock if self.ground.machine.is_ours() => self.add_kernel(&rules::CLOCK, move |_| {
                check_clock(asked, PROGRAM).into_iter().collect::<Vec<Reading>>().into()
            }),
            Family::Clock => {}
            Family::Postgres => self.add_postgres(args, config),
            Family::Pgbouncer => self.add_poolers(),
            Family::Redis => self.add_redis(),
            Family::Http => self.add_endpoints(args),
            Family::Brokers => self.add_brokers(),
            Family::Units => self.add_units(args),
            Family::Traffic => self.add_traffic(),
        }
    }

    fn add_kernel(&mut self, rule: &'static Rule, job: impl FnOnce(&Ground) -> Checked + Send + 'static) {
        let ground = Arc::clone(&self.ground);
        let job = Box::new(move || job(&ground));
        self.tasks.push(Task { rule, object: String::new(), limit: KERNEL, late: Severity::Unknown, job });
    }

    fn add_service(
        &mut self,
        rule: &'static Rule,
        object: &str,
        job: impl FnOnce(&Ground) -> Checked + Send + 'static,
    ) {
        let ground = Arc::clone(&self.ground);
        let job = Box::new(move || job(&ground));
        let limit = SERVICE + Duration::from_millis(500);
        self.tasks.push(Task { rule, object: object.into(), limit, late: Severity::Critical, job });
    }

    fn add_rates(&mut self, args: &RunArgs) {
        let (cpu, network) = (args.wants(Family::Cpu), args.wants(Family::Network));
        self.add_kernel(&rules::CPU, move |g| {
            let window = RateWindow::open(&g.machine, &g.mounts, g.last.clone(), g.counters.clone());
            let mut readings = if cpu { window.judge_cpu(&g.settings.cpu) } else { Vec::new() };
            if network {
                readings.extend(window.judge_network(&g.settings));
            }
            readings.into()
        });
    }

    fn add_postgres(&mut self, args: &RunArgs, config: &Config) {
        for (name, settings) in list_servers(&self.ground.settings, args, config) {
            let object = name.clone();
            self.add_service(&rules::PG_CONNECT, &object, move |g| {
                let check =
                    PgCheck { name: &name, db: settings.db.as_deref(), settings: &settings, now: g.now };
                check.check_server(&g.before)
            });
        }
    }

    fn add_poolers(&mut self) {
        for (name, settings) in self.ground.settings.pgbouncer.clone() {
            let object = name.clone();
            self.add_service(&rules::PGBOUNCER, &object, move |_| check_pgbouncer(&name, &settings).into());
        }
    }

    fn add_redis(&mut self) {
        for (name, settings) in self.ground.settings.redis.clone() {
            let object = name.clone();
            self.add_service(&rules::REDIS, &object, move |g| {
                check_redis(&name, &settings, SERVICE, &g.before)
            });
        }
    }

    fn add_endpoints(&mut self, args: &RunArgs) {
        let given = args.url.iter().map(|url| (url.clone(), HttpSettings::of_url(url)));
        let all: BTreeMap<String, HttpSettings> =
            self.ground.settings.http.clone().into_iter().chain(given).collect();
        for (name, settings) in all {
            let object = name.clone();
            self.add_service(&rules::HTTP, &object, move |_| {
                check_endpoint(&name, &settings, SERVICE).into()
            });
        }
    }

    fn add_brokers(&mut self) {
        let settings = &self.ground.settings;
        let of = |broker, all: &BTreeMap<String, HttpSettings>| -> Vec<(Broker, String, HttpSettings)> {
            all.iter().map(|(name, settings)| (broker, name.clone(), settings.clone())).collect()
        };
        let rabbits = of(Broker::RabbitMq, &settings.rabbitmq);
        let clusters = of(Broker::Elasticsearch, &settings.elasticsearch);
        for (broker, name, settings) in rabbits.into_iter().chain(clusters) {
            let object = name.clone();
            self.add_service(&rules::BROKER, &object, move |_| {
                check_broker(broker, &name, &settings, SERVICE).into()
            });
        }
    }

    fn add_units(&mut self, args: &RunArgs) {
        let mut names = self.ground.settings.units.clone();
        names.extend(args.unit.iter().cloned());
        if !names.is_empty() {
            self.add_service(&rules::UNIT, "", move |g| check_units(&names, PROGRAM, &g.before, g.now));
        }
    }

    fn add_traffic(&mut self) {
        for (name, settings) in self.ground.settings.traffic.clone() {
            let object = name.clone();
            self.add_service(&rules::ERRORS, &object, move |g| {
                check_traffic(&name, &settings, SERVICE, &g.before, g.now)
            });
        }
    }
}

fn judge_pressure(ground: &Ground, asked: bool) -> Checked {
    let readings = check_pressure(&ground.machine, &ground.mounts);
    match readings.is_empty() && asked {
        true => {
            Reading::unknown(&rules::PRESSURE, "the kernel does not tell (psi=0, or built without it)").into()
        }
        false => readings.into(),
    }
}

fn check_disks(ground: &Ground) -> Checked {
    let check = DiskCheck {
        machine: &ground.machine,
        mounts: &ground.mounts,
        settings: &ground.settings.disk,
        named: &ground.named,
        now: ground.now,
    };
    check.check_disks(&ground.before)
}

/// The servers that flags name, else the section, else the clusters of the configuration.
fn list_servers(settings: &Settings, args: &RunArgs, config: &Config) -> Vec<(String, PgSettings)> {
    let of_db = |db: &String| PgSettings { db: Some(db.clone()), ..PgSettings::default() };
    if !args.db.is_empty() {
        let name = |at: usize| {
            if args.db.len() == 1 { "postgres".to_string() } else { format!("postgres{}", at + 1) }
        };
        return args.db.iter().enumerate().map(|(at, db)| (name(at), of_db(db))).collect();
    }
    let cluster_db = |name: &str| config.cluster.get(name).and_then(|cluster| cluster.db.clone());
    if settings.postgres.is_empty() {
        let named = config.cluster.iter().filter_map(|(name, c)| Some((name.clone(), of_db(c.db.as_ref()?))));
        return named.collect();
    }
    let filled = |(name, own): (&String, &PgSettings)| {
        let db = own.db.clone().or_else(|| cluster_db(name));
        (name.clone(), PgSettings { db, ..own.clone() })
    };
    settings.postgres.iter().map(filled).collect()
}
