//! A child process gets the same connection, by its environment alone.

use super::*;

const CANARY: &str = "c4n4ry-pass";

/// Printed by a child in place of pg_dump: its arguments, then its PG* variables.
const CHILD: &str = "tr '\\0' ' ' < /proc/self/cmdline; echo; env | grep ^PG | sort";

fn resolve(given: Option<&str>, around: &Environment) -> ConnInfo {
    ConnInfo::resolve_in(given, "pg-backup", around).expect("it resolves")
}

#[test]
fn psql_as_a_child_is_in_the_session_we_are_in() {
    let dir = temp();
    let pg = server(&["host all all 127.0.0.1/32 scram-sha-256"]).start();
    pg.psql(
        "postgres",
        &format!("create role alice login password '{CANARY}'; create database \"a=b c\" owner alice"),
    );
    let port = pg.port();
    file(&dir.path().join(".pgpass"), 0o600, &format!("127.0.0.1:*:*:alice:{CANARY}\n"));
    file(&dir.path().join("cred/pgpass"), 0o440, &format!("127.0.0.1:*:*:alice:{CANARY}\n"));
    file(
        &dir.path().join(".pg_service.conf"),
        0o644,
        &format!("[s]\nhost=127.0.0.1\nport={port}\nuser=alice\n"),
    );
    let credentials = dir.path().join("cred").display().to_string();
    let inputs = [
        (format!("postgresql://alice:{CANARY}@127.0.0.1:{port}/a%3Db%20c?application_name=x"), vec![]),
        (format!("host=127.0.0.1 port={port} user=alice dbname='a=b c' options='-c work_mem=8MB'"), vec![]),
        ("service=s dbname='a=b c'".to_string(), vec![("PGHOST", "elsewhere"), ("PGPASSWORD", "")]),
        (
            format!("host=127.0.0.1,127.0.0.1 port=1,{port} user=alice dbname='a=b c' connect_timeout=3"),
            vec![],
        ),
        (format!("hostaddr=127.0.0.1 port={port} user=alice dbname='a=b c' password={CANARY}"), vec![]),
        (
            format!("host=127.0.0.1 port={port} user=alice dbname='a=b c' passfile={credentials}/pgpass"),
            vec![("CREDENTIALS_DIRECTORY", credentials.as_str())],
        ),
        (format!("host={} port={port} user=postgres dbname=postgres", pg.socket_dir().display()), vec![]),
    ];
    for (given, variables) in inputs {
        let variables: Vec<_> = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let around = around(&variables, dir.path());
        let mut psql = Command::new(newest_psql());
        // Variables that were not there when we resolved would lead astray.
        psql.env("PGOPTIONS", "-c work_mem=99MB").env("PGSERVICE", "nosuch").env("PGSSLMODE", "verify-full");
        psql.env("HOME", dir.path()).args(["-X", "-At", "-w", "-c", PROBE]);
        resolve(Some(&given), &around).set_environment(&mut psql);
        let child = said(&mut psql).unwrap_or_else(|e| panic!("{given}: {e}"));
        let mut client = resolve(Some(&given), &around).connect().expect("we connect");
        let own = client.simple_query(PROBE).expect("the probe runs").iter().find_map(row).expect("one row");
        assert_eq!(child, own, "{given}");
    }
}

#[test]
fn another_database_is_the_same_server() {
    let (dir, pg) = (temp(), server(&[]).start());
    pg.psql("postgres", "create database app");
    let conninfo = resolve(Some(&pg.url()), &around(&[], dir.path())).with_dbname("app");
    let rows =
        conninfo.connect().expect("connect").query("select current_database()::text", &[]).expect("ask");
    assert_eq!(rows[0].get::<_, String>(0), "app");
    let mut child = Command::new("sh");
    conninfo.set_environment(child.args(["-c", "echo $PGDATABASE"]));
    assert_eq!(said(&mut child).as_deref(), Ok("app"));
}

#[test]
fn a_child_goes_to_the_server_that_was_taken() {
    let (dir, pg) = (temp(), server(&[]).start());
    for list in ["host=nosuch.invalid,127.0.0.1 port=1,PORT", "hostaddr=127.0.0.1,127.0.0.1 port=1,PORT"] {
        let given = format!("{} user=postgres", list.replace("PORT", &pg.port().to_string()));
        let (_client, here) =
            resolve(Some(&given), &around(&[], dir.path())).connect_here().expect("the second");
        let mut child = Command::new("sh");
        here.set_environment(child.args(["-c", "echo $PGHOST$PGHOSTADDR:$PGPORT"]));
        assert_eq!(said(&mut child), Ok(format!("127.0.0.1:{}", pg.port())), "{given}");
    }
}

#[test]
fn the_password_is_never_printed_nor_on_a_childs_command_line() {
    let (dir, pg) = (temp(), server(&["host all all 127.0.0.1/32 scram-sha-256"]).start());
    let port = pg.port();
    file(&dir.path().join("pass"), 0o600, &format!("*:*:*:*:{CANARY}\n"));
    let passfile = dir.path().join("pass").display().to_string();
    let inputs = [
        (Some(format!("postgresql://postgres:{CANARY}@127.0.0.1:{port}/postgres")), vec![]),
        (Some(format!("host=127.0.0.1 port={port} user=postgres password={CANARY}")), vec![]),
        (None, vec![("DATABASE_URL", format!("postgres://nosuch:{CANARY}@127.0.0.1:{port}/x"))]),
        (
            None,
            vec![
                ("PGPASSWORD", CANARY.to_string()),
                ("PGHOST", "127.0.0.1".into()),
                ("PGPORT", port.to_string()),
            ],
        ),
        (Some(format!("host=127.0.0.1 port={port} user=postgres passfile={passfile}")), vec![]),
    ];
    for (given, variables) in inputs {
        let variables: Vec<_> = variables.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        let conninfo = resolve(given.as_deref(), &around(&variables, dir.path()));
        let e = conninfo.connect().map(|_| ()).expect_err("a wrong password");
        let mut child = Command::new("sh");
        conninfo.set_environment(child.args(["-c", CHILD]));
        let shown = said(&mut child).expect("the child runs");
        let argv = shown.lines().next().expect("a command line");
        let texts = [
            format!("{conninfo:?}"),
            conninfo.describe(),
            format!("{e:?} {e} {:?}", e.find_hint()),
            argv.into(),
        ];
        for text in texts {
            assert!(!text.contains(CANARY), "{text}");
        }
    }
}

#[test]
fn a_broken_string_is_refused_without_showing_it() {
    let dir = temp();
    let broken = [
        format!("postgresql://u:{CANARY}%zz@h/db"),
        format!("postgresql://u:{CANARY}@[h/db"),
        format!("host=h password='{CANARY}"),
        format!("host=h password=x {CANARY}"),
        format!("host=h password={CANARY} colour=red"),
        format!("postgresql://u:{CANARY}@h/db?colour={CANARY}"),
        format!("mysql://u:{CANARY}@h/db"),
        format!("postgresql://u:{CANARY}@h:port/db"),
        format!("postgresql://u:/{CANARY}@h/db?x"),
        format!("postgresql://u:{CANARY}/x@h/db"),
        format!("postgresql://u:x@{CANARY}@h/db"),
    ];
    for given in broken {
        for (given, variables) in
            [(Some(given.as_str()), vec![]), (None, vec![("DATABASE_URL".to_string(), given.clone())])]
        {
            let e =
                ConnInfo::resolve_in(given, "t", &around(&variables, dir.path())).expect_err("it is broken");
            assert_eq!(e.kind(), toban_core::Kind::Usage, "{e:?}");
            assert!(!format!("{e:?} {:?}", e.find_hint()).contains(CANARY), "{e:?}");
        }
    }
}
