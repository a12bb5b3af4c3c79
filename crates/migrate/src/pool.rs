//! Connection pools by the signs of an address: which one it is, and how to get past it or into its session mode.

/// What to do instead of connecting through a pool in transaction mode at this address.
pub fn suggest_session(host: &str, port: u16) -> String {
    let label = host.split(['.', ':']).next().unwrap_or_default();
    let in_domain = |domain: &str| host.split(':').next().unwrap_or_default().ends_with(domain);
    // The vendors' own words on each of these names and ports are the same for all of their customers.
    let (pool, remedy) = match port {
        6543 if in_domain(".pooler.supabase.com") => {
            ("Supavisor of Supabase", "its port 5432 is in session mode".to_string())
        }
        _ if label.ends_with("-pooler") && in_domain(".neon.tech") => {
            let plain = host.split(':').next().unwrap_or_default().replacen("-pooler.", ".", 1);
            ("PgBouncer of Neon", format!("the host {plain} is PostgreSQL itself"))
        }
        _ if host.contains(".proxy-") && in_domain(".rds.amazonaws.com") => {
            ("Amazon's RDS Proxy", "connect to the endpoint of the instance or cluster".to_string())
        }
        25061 if in_domain(".ondigitalocean.com") => {
            ("PgBouncer of DigitalOcean", "its port 25060 is PostgreSQL itself".to_string())
        }
        6432 if in_domain(".postgres.database.azure.com") => {
            ("PgBouncer of Azure", "its port 5432 is PostgreSQL itself".to_string())
        }
        6432 => (
            "PgBouncer, Odyssey or PgCat, by its port",
            "connect to PostgreSQL's own port, mostly 5432, or name a database there with pool_mode = session"
                .to_string(),
        ),
        9999 => (
            "Pgpool-II, by its port",
            "connect to PostgreSQL's own port, mostly 5432".to_string(),
        ),
        _ => {
            return "connect to PostgreSQL itself, by its own port, or to a pool in session mode (of PgBouncer: \
                    pool_mode = session, for the database or the user)"
                .into();
        }
    };
    format!("this is {pool}: {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_known_by_their_addresses() {
        for (host, port, words) in [
            ("aws-0-eu-central-1.pooler.supabase.com:6543", 6543, "its port 5432 is in session mode"),
            ("ep-cool-1234-pooler.eu-west-2.aws.neon.tech", 5432, "ep-cool-1234.eu-west-2.aws.neon.tech is"),
            ("app.proxy-abc.eu-west-1.rds.amazonaws.com", 5432, "RDS Proxy: connect to the endpoint"),
            ("db-1.b.db.ondigitalocean.com", 25061, "port 25060"),
            ("app.postgres.database.azure.com", 6432, "port 5432 is PostgreSQL itself"),
            ("db1", 6432, "PgBouncer, Odyssey or PgCat"),
            ("db1:9999", 9999, "Pgpool-II"),
            ("db1", 5432, "pool_mode = session"),
            ("pooler.example.org", 6543, "pool_mode = session"),
        ] {
            let said = suggest_session(host, port);
            assert!(said.contains(words), "{host} {port}: {said}");
        }
    }
}
