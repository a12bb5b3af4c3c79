//! `key`: a key that was made here writes and reads everything, and another does not.

use crate::lab::{back_up, fill, lab};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use testkit::Ran;

#[test]
fn a_new_key_opens_what_is_written_to_it() {
    let mut world = lab(15);
    world.app();
    fill(&world, 5_000);
    let path = |name: &str| world.path(name).display().to_string();
    let (own, other, recipients) = (path("own"), path("other"), path("recipients"));

    // Printed for a person or a pipe, and never into a file of this machine by accident.
    let printed = world.run(&["key", "new"]);
    assert!(printed.status == Some(0) && printed.stderr.contains("Write on paper"), "{printed:?}");
    assert!(printed.stdout.contains("AGE-SECRET-KEY-1") && !printed.stderr.contains("AGE-SECRET-KEY-1Q"));
    let mut kept = world.command(&["key", "new"]);
    kept.stdout(File::create(path("kept")).expect("a file"));
    Ran::from(kept.output().expect("run pg-backup")).refused(2, "the identity would stay on this machine");
    assert_eq!(fs::read(path("kept")).expect("read"), b"");
    fs::write(&own, &printed.stdout).expect("write");
    fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let made = world.run(&["key", "new", "--here", &other]);
    assert!(made.status == Some(0) && made.stdout.is_empty(), "{made:?}");
    assert_eq!(fs::metadata(&other).expect("look").mode() & 0o777, 0o600);
    world.run(&["key", "new", "--here", &other]).refused(1, "exists");

    back_up(&world, &[]);
    world.run(&["key", "test", "--identity", &own]).refused(4, "nothing was opened");
    let recipient = |ran: &Ran| ran.stderr.trim().rsplit(' ').next().unwrap_or_default().to_string();
    let (first, second) = (recipient(&printed), recipient(&made));
    fs::write(&recipients, &first).expect("write");
    world.set("TOBAN_RECIPIENTS_FILE", &recipients);
    back_up(&world, &[]);
    world.dump("app", &[]);
    let opened = world.run(&["key", "test", "--identity", &own, "--json"]).json();
    let of = |kind: &str| opened.iter().filter(|r| r["kind"] == kind && r["encrypted"] == true).count();
    assert_eq!((of("backup"), of("dump")), (1, 1), "{opened:?}");
    world.run(&["key", "test", "--identity", &other]).refused(2, &first);

    // The plain one is readable for everybody, and what only the first can read is named once it is removed.
    let ran = world.run(&["key", "check", "--json"]);
    ran.refused(4, "1 backups and dumps");
    let counts = |ran: &Ran, who: Value| {
        let records = ran.records();
        let line = records.iter().find(|r| r["recipient"] == who).expect("a line").clone();
        (line["backups"].as_u64(), line["dumps"].as_u64(), line["configured"].as_bool())
    };
    assert_eq!(counts(&ran, Value::Null), (Some(1), Some(0), Some(false)));
    assert_eq!(counts(&ran, first.clone().into()), (Some(1), Some(1), Some(true)));
    fs::write(&recipients, &second).expect("write");
    let ran = world.run(&["key", "check", "--json"]);
    ran.refused(4, "3 backups and dumps");
    assert_eq!(counts(&ran, second.into()), (Some(0), Some(0), Some(true)));
    assert_eq!(counts(&ran, first.into()), (Some(1), Some(1), Some(false)));
}
