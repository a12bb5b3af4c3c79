//! The audit of many accounts: time and memory, beside the script of three queries that it replaces.

use crate::measure::{Cost, cost_ending, median};
use crate::scratch::Scratch;
use crate::sh::{self, Result};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Accounts in the database
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    users: u32,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

/// One way to audit: a line of shell, and the status that it ends with.
struct Way {
    name: &'static str,
    line: &'static str,
    ending: i32,
}

const WAYS: [Way; 3] = [
    Way { name: "the SQL script", line: "exec psql -Xq -d itsm -f script.sql -o /dev/null", ending: 0 },
    Way { name: "user-audit app", line: "exec user-audit app --db dbname=itsm >/dev/null 2>&1", ending: 4 },
    Way {
        name: "user-audit app --pack",
        line: "exec user-audit app --db dbname=itsm --pack packs-$$ >/dev/null 2>&1",
        ending: 4,
    },
];

/// Every account has a role; one in ten is idle, one in twenty has an old password, ten are administrators.
const FILL: &str = "
create table users (id bigserial primary key, email varchar(255) not null unique, name varchar(255), password_hash varchar(255),
  is_active boolean not null default true, last_login_at timestamptz, password_changed_at timestamptz,
  created_at timestamptz not null, updated_at timestamptz not null);
create table roles (id bigserial primary key, name varchar(64) not null unique);
create table user_roles (user_id bigint not null references users (id), role_id bigint not null references roles (id),
  granted_at timestamptz not null default now(), primary key (user_id, role_id));
insert into roles (name) values ('admin'), ('editor');
insert into users (email, name, password_hash, last_login_at, password_changed_at, created_at, updated_at)
  select 'user' || n || '@example.org', 'User ' || n, md5(n::text), now() - make_interval(days => case n % 10 when 0 then 200 else 5 end),
  now() - make_interval(days => case n % 20 when 1 then 100 else 10 end), now() - interval '1 year', now() from generate_series(1, :users) n;
insert into user_roles (user_id, role_id) select n, case when n <= 10 then 1 else 2 end from generate_series(1, :users) n;
vacuum analyze;
";

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = super::stage(&["user-audit"])?;
    scratch.file("fill.sql", 0o600, FILL.as_bytes())?;
    scratch.file("script.sql", 0o600, include_bytes!("../../sql/audit-script.sql"))?;
    println!("filling {} accounts …", args.users);
    let users = args.users;
    sh::quietly(
        &mut scratch.shell(&format!("createdb itsm && psql -Xq -d itsm -v users={users} -f fill.sql")),
    )?;
    let costs = measure(&scratch, args.runs)?;
    let page = page(args, &costs);
    println!("{page}");
    super::record("Accounts", &page)
}

/// The ways take turns, so that a busy minute of the machine hits all of them.
fn measure(scratch: &Scratch, runs: usize) -> Result<Vec<Cost>> {
    let mut costs = vec![Vec::new(); WAYS.len()];
    for round in 1..=runs {
        for (way, costs) in WAYS.iter().zip(&mut costs) {
            let once = cost_ending(&mut scratch.shell(way.line), way.ending)?;
            println!("round {round}: {:<24} {:>6.2} s {:>6.0} MiB", way.name, once.wall, once.rss);
            costs.push(once);
        }
    }
    Ok(costs.iter().map(|c| median(c)).collect())
}

fn page(args: &Args, costs: &[Cost]) -> String {
    let mut text = format!(
        "Written by `cargo xtask bench accounts --users {} --runs {}`: medians of {} runs that take turns.\n\
         The script makes three lists; user-audit judges every rule. RSS is the peak of the one process that asks.\n\n\
         | | wall s | CPU s | RSS MiB |\n| --- | --- | --- | --- |\n",
        args.users, args.runs, args.runs
    );
    for (way, cost) in WAYS.iter().zip(costs) {
        text += &format!("| {} | {:.2} | {:.2} | {:.0} |\n", way.name, cost.wall, cost.cpu, cost.rss);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_way() {
        let text = page(&Args { users: 7, runs: 1 }, &[Cost { wall: 1.0, cpu: 0.5, rss: 9.0 }; 3]);
        assert!(
            text.contains("--users 7 --runs 1")
                && text.ends_with("| user-audit app --pack | 1.00 | 0.50 | 9 |\n"),
            "{text}"
        );
    }
}
