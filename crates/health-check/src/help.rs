//! Examples and rules below the options of each verb.

pub(crate) const RUN_HELP: &str = "\
Examples:
  This machine, and what the configuration names:
    health-check run
  The disks and one server, without waiting for a second bad run:
    health-check run disk postgres --db 'host=db1 user=monitor dbname=postgres' --no-state
  As a plugin of a monitoring system, which has soft states of its own:
    health-check run --monitoring --no-state

The role that asks PostgreSQL needs: grant pg_monitor to ROLE.
A value that goes up and down is told after several bad runs and cleared below a lower limit; a state
is told at once. What could not be judged is unknown, never OK; a service that does not answer is
critical, a wrong password or a missing right unknown. The run takes 10 seconds at most.";

pub(crate) const GATE_HELP: &str = "\
Status 0: the new version may have more requests. 4: it must go back. 75: too few requests to tell,
ask again later.

It goes back when its errors or its 95th percentile pass the limits, or when it is worse than the
baseline beyond chance. Errors are answers of 500 and above.

Examples:
  for share in 5 25 50 100; do
      set-share $share; sleep 300
      health-check gate --baseline /var/log/nginx/old.log --candidate /var/log/nginx/new.log --window 5min ||
          { set-share 0; exit 1; }
  done
docs/guide/rollout.md has the whole script, and nginx's side of it.";
