//! A table of inputs; each line is tried by us and by psql.

use super::*;
use testkit::tls::Wish;

/// `given | VARIABLE=value …`; `-` for no string. HOME is `{dir}/empty` unless given.
const CASES: &str = include_str!("cases.txt");

#[test]
fn every_input_gives_the_session_that_psql_gets() {
    let dir = temp();
    let pg = start();
    files(dir.path(), &pg);
    let mut wrong = Vec::new();
    let mut sessions = 0;
    let cases: Vec<&str> = CASES.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    for case in &cases {
        let filled = fill(case, dir.path(), &pg);
        let (given, around) = case_of(&filled, dir.path());
        sessions += usize::from(theirs(&newest_psql(), given, &around).is_ok());
        if let Err(e) = agree(&newest_psql(), given, &around) {
            wrong.push(format!("{case}\n    {e}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 60 && sessions * 2 > cases.len(), "{sessions} of {} give a session", cases.len());
}

#[test]
fn the_flag_counts_more_than_database_url_and_that_more_than_pg_variables() {
    let (dir, pg) = (temp(), server(&[]).start());
    pg.psql("postgres", "create database url; create database flag; create database variable");
    let at = |db: &str| format!("postgresql://postgres@127.0.0.1:{}/{db}", pg.port());
    let mut variables = vec![
        ("PGHOST".to_string(), "127.0.0.1".to_string()),
        ("PGPORT".into(), pg.port().to_string()),
        ("PGUSER".into(), "postgres".into()),
        ("PGDATABASE".into(), "variable".into()),
    ];
    let dbname = |given: Option<&str>, variables: &[_]| {
        let said = ours(given, &around(variables, dir.path())).expect("a session");
        said.split('|').nth(1).expect("a database").to_string()
    };
    assert_eq!(dbname(None, &variables), "variable");
    variables.push(("DATABASE_URL".into(), at("url")));
    assert_eq!(dbname(None, &variables), "url");
    assert_eq!(dbname(Some(&at("flag")), &variables), "flag");
    assert_eq!(dbname(Some("flag"), &variables), "flag");
}

fn start() -> Pg {
    let cert = Wish::new("localhost", &["localhost", "127.0.0.1"]).self_signed();
    let hba = [
        "hostssl all carol 127.0.0.1/32 scram-sha-256",
        "hostnossl all dave 127.0.0.1/32 trust",
        "host all carol,dave all reject",
        "host all nobody all reject",
        "host all erin all trust",
        "local all bob,alice scram-sha-256",
        "host all alice,bob 127.0.0.1/32 scram-sha-256",
        "local all all trust",
    ];
    let pg = server(&hba).tls(&cert.pem, &cert.key).start();
    let roles = ["carol", "dave", "erin", "nobody", "root"]
        .map(|r| format!("create role {r} login password 's3cret';"));
    pg.psql("postgres", &roles.concat());
    pg.psql(
        "postgres",
        "create role alice login password 's3cret'; create role bob login password 'we:ird p@ss/%\\'''",
    );
    for db in ["alice", "bob", "app", "\"my app\"", "\"a=b\"", "\"größe\"", "root"] {
        pg.psql("postgres", &format!("create database {db}"));
    }
    pg
}

fn files(dir: &Path, pg: &Pg) {
    let text = |t: &str| fill(t, dir, pg);
    file(&dir.join("empty/x"), 0o600, "");
    let lines = "# a comment\n*:*:nowhere:alice:wrong\nlocalhost:{port}:app:alice:s3cret\n\
                 127.0.0.1:{port}:*:alice:s3cret\n127.0.0.1:*:*:bob:we:ird p@ss/%\\\\'\n{sock}:*:*:alice:s3cret\n";
    file(&dir.join("home/.pgpass"), 0o600, &text(lines));
    file(&dir.join("crlf"), 0o600, &text("*:*:*:alice:s3cret\r\n"));
    file(
        &dir.join("escaped"),
        0o600,
        &text("127.0.0.1:*:my app:bob:we\\:ird p@ss/%\\\\'\n*:*:*:alice:s3cret"),
    );
    file(&dir.join("wide"), 0o640, "*:*:*:alice:s3cret\n");
    file(&dir.join("first-wins"), 0o600, "*:*:*:*:wrong\n*:*:*:alice:s3cret\n");
    let service = "# services\n[app]\nhost=127.0.0.1\nport={port}\nuser=alice\npassword=s3cret\ndbname=app\n\
                   application_name=from service\n\n[erin]\nhost=127.0.0.1\nport={port}\nuser=erin\ndbname=app\n\
                   [blank]\nhost = 127.0.0.1\n[nested]\nservice=app\n[odd]\ncolour=red\n[noequals]\nhost\n";
    file(&dir.join("home/.pg_service.conf"), 0o644, &text(service));
    file(&dir.join("services"), 0o644, &text(service));
    file(
        &dir.join("sys/pg_service.conf"),
        0o644,
        &text("[sys]\nhost={sock}\nport={port}\nuser=erin\ndbname=app\n"),
    );
}

fn fill(text: &str, dir: &Path, pg: &Pg) -> String {
    let encoded = toban_core::pg::uri::encode_component(&pg.socket_dir().display().to_string());
    text.replace("{dir}", &dir.display().to_string())
        .replace("{sock}", &pg.socket_dir().display().to_string())
        .replace("{esock}", &encoded)
        .replace("{port}", &pg.port().to_string())
}

fn case_of<'a>(case: &'a str, dir: &Path) -> (Option<&'a str>, Environment) {
    let (given, env) = case.split_once(" | ").unwrap_or((case, ""));
    let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_string(), v.to_string())).expect("K=V");
    let mut variables: Vec<_> = env.split(" ; ").filter(|p| !p.is_empty()).map(pair).collect();
    let home = variables.iter().position(|(k, _)| k == "HOME").map(|i| variables.remove(i).1);
    let home = home.map_or_else(|| dir.join("empty"), PathBuf::from);
    (Some(given).filter(|g| *g != "-"), around(&variables, &home))
}
