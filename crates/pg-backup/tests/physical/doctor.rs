//! `doctor` on real servers: content with what is set up right, in many ways, and naming each mistake that is planted.

use crate::lab::{back_up, folder, server, take_over};
use crate::world::World;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use testkit::pg::{Builder, as_owner};
use testkit::{AgeKey, Pg, Pooler, S3, majors};

/// A server with everything that doctor wants of it.
fn healthy_builder(major: u32) -> Builder {
    let builder = Pg::builder_major(major).set("fsync=on").set("archive_mode=on").set("archive_timeout=60");
    let builder = builder.set("max_slot_wal_keep_size=1GB").set("max_wal_size=64MB");
    if major >= 17 { builder.set("summarize_wal=on") } else { builder }
}

/// A world with a configuration, programs that stand for systemd's, a backup, and the proof of a drill.
struct Clinic {
    world: World,
    /// On another disk than the server.
    disk: TempDir,
    toml: String,
    units: Vec<String>,
}

/// A folder that is not on the disk of the data directory.
fn open_disk(pg: &Pg) -> TempDir {
    let device = |path: &Path| fs::metadata(path).expect("it is there").dev();
    let places = ["/tmp", "/var/tmp", "/dev/shm"].map(Path::new);
    let other = places.into_iter().find(|place| place.is_dir() && device(place) != device(pg.data_dir()));
    let disk = tempfile::tempdir_in(other.expect("/dev/shm is a disk of its own")).expect("a folder");
    fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o755)).expect("open it");
    pg.make_folder(&disk.path().join("repo"));
    disk
}

const JOBS: [&str; 8] = [
    "pg-backup-run",
    "pg-backup-dump",
    "pg-backup-copy",
    "pg-backup-prune",
    "pg-backup-verify",
    "pg-backup-check",
    "wal-shipper-check",
    "pg-drill",
];

impl Clinic {
    fn open(builder: Builder) -> Clinic {
        let world = World::with(crate::lab::checksums_on(builder.start()));
        let mut world = world.in_repo("local", Vec::new());
        fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).expect("open it");
        for name in ["state", "bin", "etc"] {
            folder(&world, name);
        }
        let path = world.path("bin").display().to_string();
        world.set("PATH", &format!("{path}:/usr/bin:/bin"));
        let etc = world.path("etc/toban.toml").display().to_string();
        world.set("TOBAN_CONFIG", &etc);
        let disk = open_disk(&world.pg);
        let mut clinic = Clinic { world, disk, toml: String::new(), units: Vec::new() };
        clinic.script("systemctl", &format!("cat {path}/units"));
        clinic.script("timedatectl", "echo yes");
        clinic.script("wal-shipper", "exit 0");
        clinic.script("sendmail", "cat > /dev/null");
        clinic.toml = clinic.usual_toml();
        clinic.write_toml(&clinic.toml);
        clinic.units = clinic.usual_units();
        clinic.write_units();
        clinic.sql(&format!("alter system set archive_command = '{path}/wal-shipper push %p'"));
        back_up(&clinic.world, &[]);
        clinic.prove_drill();
        clinic.give();
        clinic
    }

    fn repo(&self) -> PathBuf {
        self.disk.path().join("repo")
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.world.path(&format!("bin/{name}"));
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("write a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    fn usual_toml(&self) -> String {
        let bin = self.world.path("bin").display().to_string();
        format!(
            "[cluster.main]\nrepos = ['local']\ndatabases = ['postgres']\n[repo.local]\nurl = 'file://{}'\n\
             keep = {{ within = '30d' }}\n[notify.mail]\nto = ['ops@example.org']\nsendmail = '{bin}/sendmail'\n\
             [objectives]\nwindow = '7d'\n",
            self.repo().display()
        )
    }

    fn write_toml(&self, text: &str) {
        fs::write(self.world.path("etc/toban.toml"), text).expect("write");
    }

    fn usual_units(&self) -> Vec<String> {
        let on =
            ["pg-backup-run", "pg-backup-prune", "pg-backup-verify", "pg-backup-check", "wal-shipper-check"];
        let writable = format!("{} {}", self.world.dir.path().display(), self.disk.path().display());
        let unit = |job: &&str| {
            let (load, state, active) = match on.contains(job) {
                true => ("loaded", "enabled", "active"),
                false => ("not-found", "", "inactive"),
            };
            [
                format!(
                    "Id={job}@main.timer\nLoadState={load}\nUnitFileState={state}\nActiveState={active}\n\
                     TimersCalendar={{ OnCalendar=*-*-* 04:00:00 ; next_elapse=@1796086800 }}\n"
                ),
                format!(
                    "Id={job}@main.service\nLoadState={load}\nUnitFileState=static\nActiveState=inactive\n\
                     ProtectSystem=strict\nStateDirectory=toban\nReadWritePaths={writable}\n"
                ),
            ]
        };
        let stream =
            "Id=wal-shipper-stream@main.service\nLoadState=not-found\nActiveState=inactive\n".to_string();
        JOBS.iter().flat_map(unit).chain([stream]).collect()
    }

    fn write_units(&self) {
        fs::write(self.world.path("bin/units"), self.units.join("\n")).expect("write");
    }

    fn sql(&self, sql: &str) {
        self.world.pg.psql("postgres", sql);
        self.world.pg.psql("postgres", "select pg_reload_conf()");
        // The server reads its files when it comes to it.
        std::thread::sleep(std::time::Duration::from_millis(150));
    }

    /// A drill's proof, as its name tells it.
    fn prove_drill(&self) {
        let system = self.world.pg.system_identifier();
        let path = self.repo().join(format!("main/{system}/proof/drill.20260601T000000Z-passed.json"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("make it");
        fs::write(path, "{}").expect("write");
    }

    /// Everything to the server's user, as if the units had made it.
    fn give(&self) {
        for path in [self.world.path("state"), self.repo()] {
            let mut chown = Command::new("chown");
            let done = chown.args(["-R", "postgres:postgres"]).arg(path).status().expect("run chown");
            assert!(done.success());
        }
    }

    /// What needs attention, as `severity id object`.
    fn found(&self, args: &[&str]) -> Vec<String> {
        let words: Vec<&str> = ["doctor", "--json"].iter().chain(args).copied().collect();
        let ran = self.world.run(&words);
        assert!(matches!(ran.status, Some(0 | 4)), "{ran:?}");
        let bad = ran.records().into_iter().filter(|f| f["severity"] != "ok");
        bad.map(|f| format!("{} {} {}: {}", f["severity"], f["id"], f["object"], f["text"]).replace('"', ""))
            .collect()
    }

    #[track_caller]
    fn healthy(&self, when: &str) {
        assert_eq!(self.found(&[]), [""; 0], "{when}");
    }

    /// The mistake is named, and so is nothing else but what comes with it.
    #[track_caller]
    fn sick(&self, ids: &[&str], args: &[&str]) {
        let found = self.found(args);
        for id in ids {
            assert!(found.iter().any(|f| f.split(' ').nth(1) == Some(id)), "{id} is not in {found:?}");
        }
        let other = found.iter().find(|f| !f.split(' ').nth(1).is_some_and(|id| ids.contains(&id)));
        assert_eq!(other, None, "beside {ids:?}");
    }

    fn toml_with(&self, ids: &[&str], from: &str, to: &str) {
        assert!(self.toml.contains(from), "{from} is in {}", self.toml);
        self.write_toml(&self.toml.replace(from, to));
        self.sick(ids, &[]);
        self.write_toml(&self.toml);
    }

    fn sql_with(&self, ids: &[&str], name: &str, value: &str) {
        let before = self.world.pg.psql("postgres", &format!("show {name}"));
        self.sql(&format!("alter system set {name} = '{}'", value.replace('\'', "''")));
        self.sick(ids, &[]);
        match name {
            "archive_command" => self.sql(&format!("alter system set {name} = '{before}'")),
            _ => self.sql(&format!("alter system reset {name}")),
        }
    }
}

#[test]
fn is_content_with_what_is_set_up_right_in_many_ways() {
    let mut ways = 0;
    for major in majors() {
        let mut clinic = Clinic::open(healthy_builder(major));
        let mut healthy_in = |clinic: &Clinic, repos: &str, when: &str| {
            assert_eq!(clinic.found(&["--repo", repos]), [""; 0], "{major}: {when}");
            ways += 1;
        };
        healthy_in(&clinic, "local", "a backup, an archive, a local repository");
        let second = folder(&clinic.world, "second");
        let two = clinic.toml.replace("['local']", "['local', 'second']")
            + &format!("[repo.second]\nurl = 'file://{}'\nkeep = {{ daily = 30 }}\n", second.display());
        clinic.write_toml(&two);
        clinic.world.run(&["run", "--repo", "local,second"]).fine();
        let mut chown = Command::new("chown");
        assert!(chown.args(["-R", "postgres"]).arg(&second).status().expect("run chown").success());
        clinic.give();
        healthy_in(&clinic, "local,second", "two repositories");
        let metrics = folder(&clinic.world, "metrics");
        clinic.write_toml(&format!("textfile_dir = '{}'\n{}", metrics.display(), clinic.toml));
        healthy_in(&clinic, "local", "metrics");
        clinic.write_toml(&clinic.toml);
        let space = folder(&clinic.world, "space");
        clinic.world.pg.psql("postgres", &format!("create tablespace t location '{}'", space.display()));
        clinic.world.run(&["run"]).fine();
        clinic.give();
        healthy_in(&clinic, "local", "a tablespace");
        // A standby on the same machine would have it in the same place.
        clinic.world.pg.psql("postgres", "drop tablespace t");
        clinic.sql("alter system set archive_mode = 'always'");
        clinic.world.pg.restart();
        healthy_in(&clinic, "local", "an archive that is always");
        clinic.sql("alter system set archive_mode = 'off'");
        clinic.world.pg.restart();
        let received = folder(&clinic.world, "received");
        let receive = |more: &[&str]| {
            let mut receive = as_owner(&clinic.world.pg.bin("pg_receivewal"));
            receive
                .args(["-S", "toban", "-D"])
                .arg(&received)
                .args(["-d", &clinic.world.pg.conninfo("postgres")]);
            receive.args(more);
            receive
        };
        assert!(receive(&["--create-slot"]).status().expect("make a slot").success());
        let mut stream = receive(&[]).spawn().expect("stream");
        testkit::until("it streams", std::time::Duration::from_secs(20), || {
            let active = clinic.world.pg.psql("postgres", "select active from pg_replication_slots");
            if active == "t" { Ok(()) } else { Err(active) }
        });
        healthy_in(&clinic, "local", "a stream and no archive");
        stream.kill().expect("end it");
        stream.wait().expect("it ended");
        clinic.world.pg.psql("postgres", "select pg_drop_replication_slot('toban')");
        clinic.sql("alter system reset archive_mode");
        clinic.world.pg.restart();
        let standby = Pg::builder_major(major).standby_of(&clinic.world.pg).set("fsync=on").start();
        let primary = std::mem::replace(&mut clinic.world.pg, standby);
        let url = clinic.world.pg.url();
        clinic.world.set("DATABASE_URL", &url);
        healthy_in(&clinic, "local", "a standby");
        take_over(&mut clinic.world, primary);
        healthy_in(&clinic, "local", "as it was");
    }
    eprintln!("{ways} healthy set-ups");
    assert!(ways >= 20, "{ways}");
}

#[test]
fn names_each_mistake_of_a_server() {
    let mut clinic = Clinic::open(healthy_builder(18));
    clinic.healthy("at first");
    let command = clinic.world.pg.psql("postgres", "show archive_command");
    clinic.sql_with(&["fsync-off"], "fsync", "off");
    clinic.sql_with(&["full-page-writes-off"], "full_page_writes", "off");
    clinic.sql_with(&["summarize-wal"], "summarize_wal", "off");
    clinic.sql_with(&["archive-timeout"], "archive_timeout", "0");
    clinic.sql_with(&["restart-pending"], "max_connections", "77");
    clinic.sql_with(&["restore-command-left"], "restore_command", "cp /old/%f %p");
    clinic.sql_with(&["archive-cleanup"], "archive_cleanup_command", "pg_archivecleanup /mnt/wal %r");
    clinic.sql_with(&["archive-command-empty"], "archive_command", "");
    clinic.sql_with(&["archive-command-status"], "archive_command", &format!("{command} || true"));
    clinic.sql_with(&["archive-command-path"], "archive_command", &command.replace("%p", ""));
    clinic.sql_with(&["archive-command-program"], "archive_command", "/nonexistent/wal-shipper push %p");
    let copies = "test ! -f /mnt/%f && cp %p /mnt/%f";
    clinic.sql_with(&["archive-command-unsafe", "archive-elsewhere"], "archive_command", copies);
    clinic.world.pg.psql("postgres", "select pg_create_physical_replication_slot('gone', true)");
    clinic.sql_with(&["slot-unlimited"], "max_slot_wal_keep_size", "-1");
    clinic.sql("alter system set max_slot_wal_keep_size = '1MB'");
    for _ in 0..6 {
        clinic
            .world
            .pg
            .psql("postgres", "create table filler as select 1; select pg_switch_wal(); drop table filler");
    }
    clinic.world.pg.psql("postgres", "checkpoint");
    clinic.sick(&["slot-lost"], &[]);
    clinic.world.pg.psql("postgres", "select pg_drop_replication_slot('gone')");
    // One that never held anything has lost nothing.
    clinic.world.pg.psql("postgres", "select pg_create_physical_replication_slot('unused')");
    assert!(clinic.found(&[]).iter().all(|f| !f.contains("slot-lost")));
    clinic.world.pg.psql("postgres", "select pg_drop_replication_slot('unused')");
    clinic.sql("alter system reset max_slot_wal_keep_size");
    clinic.world.pg.psql("postgres", "create role small login; alter role small set log_statement = 'none'");
    let small = clinic.world.pg.conninfo("postgres").replace("user=postgres", "user=small");
    let found = clinic.found(&["--db", &small]);
    for id in ["role-monitor", "role-rights"] {
        assert!(found.iter().any(|f| f.split(' ').nth(1) == Some(id)), "{found:?}");
    }
    let unknown: Vec<&String> = found.iter().filter(|f| f.starts_with("unknown")).collect();
    assert!(unknown.iter().any(|f| f.contains("grant select on pg_hba_file_rules")), "{found:?}");
    clinic.world.pg.psql(
        "postgres",
        "grant pg_monitor to small; alter role small replication; grant execute on function \
         pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_hba_file_rules, pg_show_all_file_settings to small; \
         grant select on pg_hba_file_rules, pg_file_settings to small",
    );
    clinic.sick(&["hba-replication"], &["--db", &small]);
    let pooler = Pooler::start(&clinic.world.pg, "transaction");
    clinic.sick(&["pooler"], &["--db", &pooler.conninfo()]);
    drop(pooler);
    clinic.healthy("after all of it");
    files_of_a_server(&clinic);
    clinic.sql("alter system set wal_level = 'minimal'");
    clinic.sql("alter system set max_wal_senders = 0");
    clinic.sql("alter system set archive_mode = 'off'");
    clinic.sql("alter system set summarize_wal = off");
    clinic.sql("alter system set max_replication_slots = 0");
    clinic.world.pg.restart();
    let down = ["wal-level", "senders-used-up", "archive-off", "slots-used-up", "summarize-wal"];
    clinic.sick(&down, &[]);
    clinic.world.pg.stop();
    assert!(
        clinic.found(&[]).iter().any(|f| f.starts_with("unknown examined server")),
        "a server that is down"
    );
}

/// Mistakes in files that the server reads.
fn files_of_a_server(clinic: &Clinic) {
    let data = clinic.world.pg.data_dir().to_path_buf();
    let append = |name: &str, line: &str| {
        let path = data.join(name);
        let before = fs::read_to_string(&path).expect("read");
        fs::write(&path, format!("{before}{line}\n")).expect("write");
        (path, before)
    };
    let (path, before) = append("postgresql.conf", "work_mem = 'many'");
    clinic.sick(&["setting-invalid"], &[]);
    fs::write(path, before).expect("write");
    let (path, before) = append("pg_hba.conf", "nonsense all all trust");
    clinic.sick(&["hba-invalid"], &[]);
    fs::write(path, before).expect("write");
    clinic.healthy("files as they were");
}

#[test]
fn names_each_mistake_of_a_machine_and_its_repositories() {
    let mut clinic = Clinic::open(healthy_builder(15));
    clinic.healthy("at first");
    clinic.toml_with(&["keep-nothing"], "keep = { within = '30d' }\n", "");
    clinic.toml_with(&["keep-short"], "'7d'", "'90d'");
    clinic.toml_with(&["database-gone"], "['postgres']", "['postgres', 'sold']");
    let mail = clinic.toml.split("[notify.mail]").nth(1).and_then(|t| t.split("[objectives]").next());
    clinic.toml_with(&["notify-none"], &format!("[notify.mail]{}", mail.expect("it is there")), "");
    let db = format!(
        "[cluster.main]\ndb = '{} password=secret'",
        clinic.world.pg.conninfo("postgres").replace('\'', "\"")
    );
    let db = db.replace("dbname=\"postgres\"", "dbname=postgres");
    clinic.toml_with(&["password-in-configuration"], "[cluster.main]", &db);
    clinic.toml_with(&["textfile-folder"], "[cluster.main]", "textfile_dir = '/nonexistent'\n[cluster.main]");
    let inside = clinic.world.pg.data_dir().join("backups");
    clinic.toml_with(
        &["repository-in-data", "repository-same-disk", "repository-empty", "unit-read-only"],
        &format!("file://{}", clinic.repo().display()),
        &format!("file://{}", inside.display()),
    );
    // Debian's server has ICU, whose collations have versions.
    let words = "create database words template template0 encoding 'UTF8' locale 'C' locale_provider icu icu_locale 'und'";
    clinic.world.pg.psql("postgres", words);
    let older = "update pg_database set datcollversion = '1' where datname = 'words'";
    clinic.world.pg.psql("postgres", older);
    clinic.sick(&["collation-version"], &[]);
    clinic.world.pg.psql("postgres", "alter database words refresh collation version");
    modes_of_files(&clinic);
    clinic.script("timedatectl", "echo no");
    clinic.sick(&["clock-unsynchronised"], &[]);
    clinic.script("timedatectl", "exit 1");
    assert!(clinic.found(&[]).iter().any(|f| f.starts_with("unknown examined clock")));
    clinic.script("timedatectl", "echo yes");
    units_of_a_machine(&mut clinic);
    clinic.world.run(&["run", "--repo", "file:///nonexistent/x/y"]).refused(1, "is not there");
    clinic.give();
    clinic.sick(&["run-failed"], &[]);
    clinic.world.run(&["run"]).fine();
    clinic.give();
    clinic.script("sendmail", "exit 1");
    clinic.world.run(&["run", "--repo", "file:///nonexistent/x/y"]).refused(1, "is not there");
    clinic.give();
    clinic.sick(&["run-failed", "notify-undelivered"], &[]);
    clinic.script("sendmail", "cat > /dev/null");
    clinic.world.run(&["run"]).fine();
    clinic.give();
    clinic.healthy("what waited was delivered");
    let (repo, away) = (clinic.repo(), clinic.disk.path().join("away"));
    fs::rename(&repo, &away).expect("take it away");
    clinic.world.pg.make_folder(&repo);
    clinic.sick(&["repository-empty"], &[]);
    fs::remove_dir(&repo).expect("remove");
    fs::rename(&away, &repo).expect("bring it back");
    let system = clinic.world.pg.system_identifier();
    let proof = repo.join(format!("main/{system}/proof/drill.20260601T000000Z-passed.json"));
    fs::remove_file(&proof).expect("remove");
    clinic.sick(&["drill-never"], &[]);
    clinic.prove_drill();
    let other = Pg::builder_major(16).start();
    let here = clinic.found(&["--db", &other.url()]);
    assert!(here.iter().any(|f| f.contains(" system-changed ")), "{here:?}");
}

/// Permissions and what lies about.
fn modes_of_files(clinic: &Clinic) {
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    let own = |path: &Path, user: &str| {
        assert!(Command::new("chown").arg(user).arg(path).status().expect("run chown").success());
    };
    let etc = clinic.world.path("etc/toban.toml");
    mode(&etc, 0o600);
    clinic.sick(&["configuration-unreadable"], &[]);
    mode(&etc, 0o644);
    let secret = clinic.world.path("etc/main.env");
    fs::write(&secret, "AWS_SECRET_ACCESS_KEY=x\n").expect("write");
    mode(&secret, 0o644);
    clinic.sick(&["secret-open"], &[]);
    mode(&secret, 0o600);
    for (path, id) in [(clinic.world.path("state"), "state-folder"), (clinic.repo(), "repository-owner")] {
        own(&path, "root");
        clinic.sick(&[id], &[]);
        own(&path, "postgres");
    }
    let key = AgeKey::make(&clinic.world.path("etc/key.txt"));
    let recipients = clinic.world.path("etc/recipients.txt");
    fs::write(&recipients, format!("{}\n", key.recipient)).expect("write");
    let line = format!("[repo.local]\nrecipients_file = '{}'", recipients.display());
    clinic.toml_with(&["identity-here"], "[repo.local]", &line);
    fs::remove_file(clinic.world.path("etc/key.txt")).expect("remove");
    clinic.healthy("files as they were");
}

/// Timers and services, as systemctl would describe them.
fn units_of_a_machine(clinic: &mut Clinic) {
    let plant = |clinic: &mut Clinic, ids: &[&str], unit: &str, from: &str, to: &str| {
        let usual = clinic.units.clone();
        let one =
            clinic.units.iter_mut().find(|u| u.starts_with(&format!("Id={unit}\n"))).expect("it is there");
        assert!(one.contains(from), "{from} is in {one}");
        *one = one.replace(from, to);
        clinic.write_units();
        clinic.sick(ids, &[]);
        clinic.units = usual;
        clinic.write_units();
    };
    plant(clinic, &["timer-disabled"], "pg-backup-verify@main.timer", "=enabled", "=disabled");
    plant(clinic, &["timer-disabled"], "pg-backup-run@main.timer", "=active", "=inactive");
    plant(clinic, &["unit-failed"], "pg-backup-prune@main.service", "=inactive", "=failed");
    let writable = format!("ReadWritePaths={}", clinic.world.dir.path().display());
    let writable = format!("{writable} {}", clinic.disk.path().display());
    plant(clinic, &["unit-read-only"], "pg-backup-run@main.service", &writable, "ReadWritePaths=/srv");
    clinic.world.set("TZ", "Europe/Berlin");
    plant(clinic, &["timer-zone"], "pg-backup-run@main.timer", "04:00:00", "02:15:00");
    clinic.healthy("units as they were");
    clinic.script("systemctl", "echo 'System has not been booted with systemd' >&2; exit 1");
    assert!(clinic.found(&[]).iter().any(|f| f.starts_with("unknown examined systemd")));
    let path = clinic.world.path("bin");
    clinic.script("systemctl", &format!("cat {}/units", path.display()));
}

#[test]
fn a_bucket_that_could_lock_and_does_not() {
    let s3 = S3::shared();
    let mut world = World::with(server(15)).in_repo(&s3.locked_url("doctor-locks"), s3.env());
    let toml: PathBuf = world.path("toban.toml");
    let section =
        |more: &str| format!("[repo.far]\nurl = 's3://doctor-locks'\nkeep = {{ within = '30d' }}\n{more}");
    world.set("TOBAN_CONFIG", &toml.display().to_string());
    for (more, unused) in [("", true), ("lock = '1h'\n", false)] {
        fs::write(&toml, section(more)).expect("write");
        let ran = world.run(&["doctor", "--json", "--repo", "far"]);
        let ids: Vec<String> = ran.records().iter().map(|f| f["id"].to_string()).collect();
        assert_eq!(ids.contains(&"\"lock-unused\"".into()), unused, "{ran:?}");
    }
}
