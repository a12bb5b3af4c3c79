//! Guides and runbooks typed word by word on Debian's layout: pg_createcluster and pg_ctlcluster, in a copy of this machine's
//! files that nothing leaves.

use e2e::{bins, root};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use testkit::{Ran, S3};

/// A copy of this machine: what is written in it goes to a folder, and what runs in it ends with it.
struct Machine {
    dir: TempDir,
    env: Vec<(String, String)>,
}

const OUTSIDE: &str = r#"set -eu
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
cp "$1/script" tmp/script
exec chroot . /bin/bash /tmp/script
"#;

/// What every script begins with: the tools as scripts/install.sh puts them, and Debian's cluster as it comes.
const PRELUDE: &str = r##"set -eEuo pipefail
trap 'tail -n 30 /var/log/postgresql/*.log >&2' ERR
chmod 1777 /tmp
install -d -o postgres -g postgres -m 2775 /run/postgresql
root() { echo "# $1"; env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -ec "$1"; }
pg() { echo "\$ $1"; runuser -u postgres -- env -i PATH=/usr/bin:/bin HOME=/var/lib/postgresql "${EXTRA[@]}" bash -ec "cd; $1"; }
q() { runuser -u postgres -- psql -XAtqc "$1" postgres; }
is() { [ "$1" = "$2" ] || { echo "$3: $1, not $2" >&2; tail -n 30 /var/log/postgresql/*.log >&2; exit 1; }; }
soon() { for _ in $(seq 300); do [ "$(q "$1")" = "$2" ] && return; sleep 0.2; done; is "$(q "$1")" "$2" "$1"; }
# systemd waits for this file (PIDFile= of postgresql@.service).
pidfile() { is "$(cat /run/postgresql/15-$1.pid)" "$(head -n 1 /var/lib/postgresql/15/$1/postmaster.pid)" "the PID file of $1"; }
archived() {
    segment=$(q 'set client_min_messages = error; create table if not exists filler (n int); insert into filler values (1); select pg_walfile_name(pg_switch_wal())')
    soon "select count(*) from pg_stat_archiver where last_archived_wal >= '$segment'" 1
}
rows() { q 'set client_min_messages = error; create table if not exists ledger (n int)'; q "insert into ledger select generate_series(1, $1)"; }
printf '#!/bin/sh\n[ "$1" = -u ] && user=$2 && shift 2\nexec runuser -u "$user" -- env HOME=/var/lib/postgresql "$@"\n' > /usr/bin/sudo
chmod 755 /usr/bin/sudo
rm -rf /etc/postgresql/15 /var/lib/postgresql/15 /etc/toban /var/backups/toban
pg_createcluster 15 main -- --locale=C.UTF-8 -E UTF8 -k > /dev/null
# Only this: the network is the machine's.
sed -i "s/^#listen_addresses.*/listen_addresses = ''/" /etc/postgresql/15/main/postgresql.conf
pg_ctlcluster 15 main start
"##;

impl Machine {
    fn new(env: Vec<(String, String)>) -> Machine {
        let dir = tempfile::Builder::new().prefix("toban-debian-").tempdir_in("/var/tmp").expect("a folder");
        for folder in ["up/usr/bin", "work", "root"] {
            std::fs::create_dir_all(dir.path().join(folder)).expect("make a folder");
        }
        for tool in ["pg-backup", "wal-shipper", "pg-drill"] {
            testkit::install_program(&bins().join(tool), &dir.path().join("up/usr/bin").join(tool));
        }
        Machine { dir, env }
    }

    /// Runs a script in it to its end; processes of it end too.
    fn run(&self, script: &str) -> Ran {
        let extra: String = self.env.iter().map(|(n, v)| format!(" '{n}={v}'")).collect();
        let script = format!("EXTRA=(A=b{extra})\n{PRELUDE}\n{script}");
        std::fs::write(self.dir.path().join("script"), script).expect("write the script");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--ipc", "sh", "-c", OUTSIDE, "sh"]);
        let ran =
            unshare.arg(self.dir.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
        let ran = Ran::from(ran.expect("run unshare"));
        assert_eq!(ran.status, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        ran
    }
}

/// The blocks of this kind below a heading of a page.
fn blocks(page: &str, heading: &str, kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).expect("the page");
    let below =
        text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("{page} has no {heading}")).1;
    let level = heading.bytes().take_while(|b| *b == b'#').count();
    let (mut all, mut fence) = (Vec::new(), None::<(bool, String)>);
    for line in below.lines() {
        fence = match (fence, line.strip_prefix("```")) {
            (Some((wanted, block)), Some(_)) => {
                all.extend(wanted.then_some(block));
                None
            }
            (Some((wanted, block)), None) => Some((wanted, block + line + "\n")),
            (None, Some(opened)) => Some((opened == kind, String::new())),
            (None, None) => {
                let next = line.bytes().take_while(|b| *b == b'#').count();
                if (1..=level).contains(&next) {
                    break;
                }
                None
            }
        };
    }
    assert!(!all.is_empty(), "{page}, {heading}: no block of kind {kind:?}");
    all
}

/// What is typed below a heading, as the lines of a script: `$` by postgres, `#` by root.
fn typed(page: &str, heading: &str) -> String {
    let quoted = |line: &str| format!("'{}'", line.replace('\'', r"'\''"));
    let line = |line: &str| match line.split_once(' ')? {
        ("$", words) => Some(format!("pg {}\n", quoted(words))),
        ("#", words) if !words.starts_with("systemctl") => Some(format!("root {}\n", quoted(words))),
        _ => None,
    };
    blocks(page, heading, "console").iter().flat_map(|b| b.lines()).filter_map(line).collect()
}

/// A file with what a block of a page says.
fn file(path: &str, text: &str) -> String {
    format!(
        "mkdir -p {}; cat >> {path} <<'END'\n{text}END\n",
        Path::new(path).parent().expect("a folder").display()
    )
}

const CLUSTER: &str = "docs/runbooks/restore-a-cluster.md";
const MOMENT: &str = "docs/runbooks/restore-to-a-point-in-time.md";
const WAL: &str = "docs/guide/wal.md";

fn config() -> String {
    file("/etc/toban/toban.toml", &blocks("docs/guide/environment.md", "## The file", "toml")[0])
}

/// The archive of the guide, into `repo`.
fn archive(repo: &str) -> String {
    let settings = blocks(WAL, "## Archive", "")[0].replace("file:///var/backups/toban", repo);
    file("/etc/postgresql/15/main/postgresql.conf", &settings)
        + "pg_ctlcluster 15 main restart\nsoon 'select true' t\n"
}

/// The runbook from its second chapter on, and what must be there afterwards.
fn restored(rows: u32) -> String {
    format!(
        "{}{}soon 'select pg_is_in_recovery()' f\npidfile main\n\
         is \"$(q 'select count(*) from ledger')\" {rows} 'rows'\n\
         is \"$(q 'show archive_mode')\" on 'archiving again'\n{}",
        typed(CLUSTER, "## 2. Restore"),
        // It is asked once; the next line waits.
        typed(CLUSTER, "## 3. Judge, then start").replacen(
            "pg 'psql -c '\\''alter",
            "soon 'select pg_is_in_recovery()' f\npg 'psql -c '\\''alter",
            1
        ),
        typed(CLUSTER, "## 4. Afterwards"),
    )
}

#[test]
fn a_cluster_comes_back_from_a_folder() {
    let beside = "/var/lib/postgresql/15/copy --config-dir /etc/postgresql/15/copy";
    let script = [
        &typed("docs/guide/backup.md", "## The first backup"),
        &config(),
        &archive("file:///var/backups/toban"),
        "rows 100\npg 'pg-backup run'\nrows 50\narchived\nrows 7\narchived\n",
        // The machine's data directory is gone; then its configuration too.
        "pg_ctlcluster 15 main stop\nmv /var/lib/postgresql/15/main /var/lib/postgresql/15/old\n",
        &typed(CLUSTER, "## 1. Stop and look"),
        &restored(157),
        // The new timeline began while nothing was archived; the same content again is fine.
        "pg 'cd /var/lib/postgresql/15/main; wal-shipper push pg_wal/00000002.history'\n",
        "rows 3\narchived\npg_ctlcluster 15 main stop\nrm -rf /var/lib/postgresql/15/main /etc/postgresql/15/main\n",
        &typed(CLUSTER, "## 2. Restore").replace("15/main'", "15/main --config-dir /etc/postgresql/15/main'"),
        "pg 'pg_ctlcluster 15 main start'\nsoon 'select pg_is_in_recovery()' f\npidfile main\n\
         is \"$(q 'select count(*) from ledger')\" 160 rows\n\
         is \"$(stat -c %a /etc/postgresql/15/main/conf.d)\" 755 'the empty folder of the configuration'\n\
         runuser -u nobody -- pg_lsclusters | grep -q 'main.*online'\n",
        // Beside it, as another cluster of Debian's: both run, each with its own PID file.
        &format!("pg 'pg-backup restore -D {beside} --target immediate'\n"),
        "sed -i 's/^port = .*/port = 5499/' /etc/postgresql/15/copy/postgresql.conf\n\
         pid=$(cat /run/postgresql/15-main.pid)\npg 'pg_ctlcluster 15 copy start'\npidfile copy\n\
         is \"$(cat /run/postgresql/15-main.pid)\" \"$pid\" 'the PID file of main'\n\
         pg 'psql -p 5499 -Xc \"select 1\"'\npg_ctlcluster 15 copy stop\n",
        "pg 'pg-drill --cluster main --no-live'\n",
    ];
    let ran = Machine::new(Vec::new()).run(&script.concat());
    assert!(!ran.stderr.contains("is not known"), "{ran:?}");
}

/// What the guide has written down so that Debian's server reaches the bucket.
fn credentials(s3: &S3) -> String {
    let key = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).expect(name).1;
    let profile = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY")
    );
    let others = s3.env().into_iter().filter(|(n, _)| !n.contains("_KEY"));
    let others: String = others.map(|(n, v)| format!("{n} = '{v}'\n")).collect();
    let environment = blocks(WAL, "### Credentials", "")[0].clone() + &others;
    file("/etc/toban/aws-credentials", &profile)
        + "chown postgres /etc/toban/aws-credentials\nchmod 600 /etc/toban/aws-credentials\n"
        + &file("/etc/postgresql/15/main/environment", &environment)
}

#[test]
fn a_cluster_comes_back_from_a_bucket() {
    let s3 = S3::start();
    let repo = s3.url("debian");
    let backup = format!("pg 'pg-backup run --repo {repo}'\n");
    let restore = "pg-backup restore --target latest -D /var/lib/postgresql/15/main --repo";
    let script = [
        &archive(&repo),
        &backup,
        "rows 100\nq 'select pg_switch_wal()'\n",
        // Credentials of a shell do not reach the server that Debian starts.
        "soon 'select failed_count > 0 from pg_stat_archiver' t\n",
        &credentials(&s3),
        "pg_ctlcluster 15 main restart\nrows 10\narchived\npg_ctlcluster 15 main stop\n\
         mv /var/lib/postgresql/15/main /var/lib/postgresql/15/old\n",
        // It says so when it is tried, and not when all is well.
        "mv /etc/postgresql/15/main/environment /etc/toban/aside\n",
        &format!(
            "pg '{restore} {repo} --dry-run' 2> /tmp/said\ngrep -q 'the environment that Debian gives' /tmp/said\n"
        ),
        "grep -q /etc/postgresql/15/main/environment /tmp/said\nmv /etc/toban/aside /etc/postgresql/15/main/environment\n",
        &format!("pg '{restore} {repo}' 2> /tmp/said\n! grep -q 'environment' /tmp/said\n"),
        "pg 'pg_ctlcluster 15 main start'\nsoon 'select pg_is_in_recovery()' f\npidfile main\n\
         is \"$(q 'select count(*) from ledger')\" 110 rows\n",
    ];
    Machine::new(s3.env()).run(&script.concat());
}

/// A server whose WAL was streamed is killed, and comes back with every row; `options` name the repository.
fn restore_streamed(options: &str, prepare: &str, machine: &Machine) {
    let line = format!(
        "wal-shipper stream --db \"host=/var/run/postgresql user=postgres dbname=postgres\"{options}"
    );
    let restore = typed(CLUSTER, "## 2. Restore").replace("15/main", &format!("15/main{options}"));
    let script = [
        prepare,
        &format!("pg '{line}' &\n"),
        "soon 'select count(*) from pg_replication_slots where active' 1\nrows 100\n",
        &format!("pg 'pg-backup run{options}'\nrows 50\n"),
        "position=$(q 'select pg_current_wal_flush_lsn()')\n\
         soon \"select flush_lsn >= '$position' from pg_stat_replication\" t\n\
         pg_ctlcluster 15 main stop -m immediate\nmv /var/lib/postgresql/15/main /var/lib/postgresql/15/old\n",
        &restore,
        "pg 'pg_ctlcluster 15 main start'\nsoon 'select pg_is_in_recovery()' f\npidfile main\n\
         is \"$(q 'select count(*) from ledger')\" 150 rows\n",
    ];
    machine.run(&script.concat());
}

#[test]
fn a_cluster_that_streamed_comes_back() {
    let prepare = typed("docs/guide/backup.md", "## The first backup") + &config();
    restore_streamed("", &prepare, &Machine::new(Vec::new()));
    let s3 = S3::start();
    restore_streamed(&format!(" --repo {}", s3.url("streamed")), &credentials(&s3), &Machine::new(s3.env()));
}

/// The runbook's way to a point in time, typed while the old server runs: each way of naming it.
#[test]
fn a_point_in_time_comes_back_beside_the_live_server() {
    let live = |lines: &str| {
        let named = lines.replace("2026-11-21T11:59:00+01:00", "'\"$time\"'");
        named.replace("12345", "'\"$xid\"'").replace("0/3000060", "'\"$lsn\"'")
    };
    let restores = live(&typed(MOMENT, "## 3. Restore"));
    let looked = typed(MOMENT, "## 4. Start, and look");
    let (start, resume) = looked.rsplit_once("pg 'psql").expect("a line that resumes");
    let resume = format!("pg 'psql{resume}");
    let mut script = [
        &typed("docs/guide/backup.md", "## The first backup"),
        &config(),
        &archive("file:///var/backups/toban"),
        "rows 100\npg 'pg-backup run'\nrows 50\n\
         time=$(q \"select to_char(clock_timestamp(), 'YYYY-MM-DD\\\"T\\\"HH24:MI:SS.USOF')\")\n\
         lsn=$(q 'select pg_current_wal_insert_lsn()')\nsleep 0.1\n\
         xid=$(q 'with i as (insert into ledger select generate_series(1, 7)) select pg_current_xact_id()')\narchived\n\
         there() { is \"$(q2 'select count(*) from ledger')\" $1 'rows of the copy'\n\
         is \"$(q 'select count(*) from ledger')\" 157 'rows of the live server'; }\n\
         q2() { runuser -u postgres -- psql -p 5433 -XAtqc \"$1\" postgres; }\n\
         promoted() { for _ in $(seq 300); do [ \"$(q2 'select pg_is_in_recovery()')\" = f ] && return; sleep 0.2; done; exit 1; }\n",
        &live(&typed(MOMENT, "## 1. What can be reached")),
        &live(&typed(MOMENT, "## 2. Ask first")),
    ]
    .concat();
    let lines: Vec<&str> = restores.lines().collect();
    assert_eq!(lines.len(), 5, "{restores}");
    for line in lines {
        let pauses = line.contains("pause");
        let rows = if line.contains("latest") { 157 } else { 150 };
        script += &format!("{line}\n{start}");
        script += &if pauses { format!("there {rows}\n{resume}promoted\n") } else { "promoted\n".into() };
        script += &format!("there {rows}\n");
        script += "pg '/usr/lib/postgresql/15/bin/pg_ctl -D /var/lib/postgresql/restored -m fast stop'\nrm -rf /var/lib/postgresql/restored\n";
    }
    Machine::new(Vec::new()).run(&script);
}
