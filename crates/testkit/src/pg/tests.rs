use super::*;

#[test]
fn serves_survives_a_crash_and_leaves_nothing() {
    let mut pg = Pg::start(&["work_mem=5MB"]);
    assert_eq!(pg.psql("postgres", "show work_mem; select current_user"), "5MB\npostgres");
    pg.psql("postgres", "create table t as select 42 as n");
    pg.kill();
    pg.restart();
    assert_eq!(pg.psql("postgres", "select n from t"), "42");
    let (dir, pid) = (pg.socket_dir().to_path_buf(), pg.pid());
    drop(pg);
    assert!(!dir.exists() && !lives(&pid));
}

#[test]
fn a_standby_follows_its_primary() {
    let primary = Pg::builder().tcp().start();
    let standby = Pg::builder().standby_of(&primary).start();
    primary.psql("postgres", "create table t as select 1 as n");
    until("the row arrives", Duration::from_secs(5), || {
        let seen = standby.psql("postgres", "select to_regclass('t'), pg_is_in_recovery()");
        if seen == "t|t" { Ok(()) } else { Err(format!("{seen}\n{}", standby.log())) }
    });
}

#[test]
fn a_failing_statement_panics_with_the_servers_words() {
    let pg = Pg::start(&[]);
    let panicked =
        std::panic::catch_unwind(|| pg.psql("postgres", "select 1/0; select 2")).expect_err("it fails");
    let text = panicked.downcast_ref::<String>().expect("a message");
    assert!(text.contains("division by zero"), "{text}");
}

/// The test below runs this one in a process of its own and kills that.
#[test]
#[expect(clippy::print_stdout, reason = "its parent reads it")]
fn owner_that_gets_killed() {
    if std::env::var_os("TESTKIT_OWNER").is_none() {
        return;
    }
    let pg = Pg::start(&[]);
    println!("\nserver {} {}", pg.pid(), pg.socket_dir().display());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_owner_leaves_no_server() {
    use std::io::BufRead;
    let mut owner = Command::new(std::env::current_exe().expect("our own path"));
    owner.args(["--exact", "pg::tests::owner_that_gets_killed", "--nocapture"]).env("TESTKIT_OWNER", "1");
    let mut owner = owner.stdout(Stdio::piped()).spawn().expect("run ourselves");
    let lines = std::io::BufReader::new(owner.stdout.take().expect("piped")).lines();
    let line = lines.map_while(Result::ok).find(|l| l.starts_with("server ")).expect("a server's line");
    let words: Vec<&str> = line.split(' ').collect();
    owner.kill().expect("kill the owner");
    owner.wait().expect("reap the owner");
    let pid = words[1].parse().expect("a process id");
    until("server and folder go", LIMIT, || match lives(&pid) || Path::new(words[2]).exists() {
        true => Err(line.clone()),
        false => Ok(()),
    });
}
