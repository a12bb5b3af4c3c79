//! A proxy that pools transactions is refused: by pgbouncer.

use crate::lab::{back_up, lab};
use testkit::Pooler;

#[test]
fn of_transactions_is_refused_and_of_sessions_is_not() {
    let world = lab(15);
    let transactions = Pooler::start(&world.pg, "transaction");
    let said = world
        .run(&["run", "--db", &transactions.conninfo()])
        .refused(1, "goes through a proxy that pools transactions");
    assert_eq!(said.lines().count(), 2, "a line and a hint: {said}");
    assert!(said.contains("hint: connect to the server itself"), "{said}");
    drop(transactions);
    let sessions = Pooler::start(&world.pg, "session");
    back_up(&world, &["--db", &sessions.conninfo()]);
}
