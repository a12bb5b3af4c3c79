//! Opening a session: the hosts in order, with and without TLS as sslmode allows, inside the timeout.

use super::conninfo::{ConnInfo, parse_integer};
use super::explain::{explain_failure, merge_failures};
use super::host::Host;
use super::target::Target;
use super::tls::Mode;
use super::verify::Verdict;
use crate::error::{Error, Result};
use postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use postgres::{Client, Config, NoTls};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

/// One try that did not give a session.
pub(super) struct Attempt {
    pub(super) error: Error,
    /// The server answered: other hosts are not tried, as libpq has it.
    pub(super) answered: bool,
    /// TLS was spoken, or might have been.
    pub(super) encrypted: bool,
}

impl ConnInfo {
    /// Connects, trying the hosts in order (or shuffled, by load_balance_hosts) until one fits
    /// target_session_attrs. A host that cannot be reached or is starting up is passed over; one that refuses the
    /// role, the password or the database ends the search.
    ///
    /// # Errors
    /// Retry: unreachable, starting up, out of connections. Failed: the server or we refused. Usage: a certificate
    /// file is missing or bad. The message names the host; a password is never part of it.
    pub fn connect(&self) -> Result<Client> {
        self.connect_here().map(|(client, _)| client)
    }

    /// The same, and where it led: a child given that connection goes to the server that was taken, not to another
    /// of the list.
    ///
    /// # Errors
    /// Those of [`ConnInfo::connect`].
    pub fn connect_here(&self) -> Result<(Client, ConnInfo)> {
        let mut troubles = Vec::new();
        for target in self.target.list_rounds() {
            for host in self.order_hosts() {
                match self.connect_to_target(&host, *target) {
                    Ok(client) => return Ok((client, self.with_host(host))),
                    // "If a connection is established successfully, but authentication fails, the remaining hosts in
                    // the list are not tried" (libpq, "Specifying Multiple Hosts"): a wrong password on each of them
                    // may lock the role.
                    Err(e) if e.answered => return Err(e.error),
                    Err(e) => troubles.push(e.error),
                }
            }
        }
        Err(merge_failures(troubles, self))
    }

    fn order_hosts(&self) -> Vec<Host> {
        let mut hosts = self.hosts.clone();
        if self.shuffle {
            // The standard library's only source of chance; equal shares are all that is asked.
            use std::hash::{BuildHasher, RandomState};
            let chance = RandomState::new();
            hosts.sort_by_cached_key(|h| chance.hash_one(h.to_string()));
        }
        hosts
    }

    fn connect_to_target(&self, host: &Host, target: Target) -> Result<Client, Attempt> {
        let passing = |error| Attempt { error, answered: false, encrypted: false };
        let mut client = self.negotiate_tls(host, |mode| self.attempt_session(host, mode))?;
        match target.find_mismatch(&mut client).map_err(passing)? {
            None => Ok(client),
            Some(why) => Err(passing(Error::retry(format!("{host} {why}")))),
        }
    }

    /// `allow` tries without TLS first and `prefer` with it; each tries the other way when the server said no.
    pub(super) fn negotiate_tls<T>(
        &self,
        host: &Host,
        attempt: impl Fn(Mode) -> Result<T, Attempt>,
    ) -> Result<T, Attempt> {
        if host.is_socket() {
            return attempt(Mode::Disable);
        }
        match self.tls.mode {
            // Only a server that answered can have refused for want of TLS, or because of it (`hostssl`, `hostnossl`);
            // a second try at one that is silent would double the wait.
            Mode::Allow => attempt(Mode::Disable).or_else(|plain| match plain.answered {
                true => attempt(Mode::Require).map_err(|tls| if tls.answered { tls } else { plain }),
                false => Err(plain),
            }),
            Mode::Prefer => attempt(Mode::Prefer).or_else(|tls| match tls.encrypted {
                true => attempt(Mode::Disable).map_err(|_| tls),
                false => Err(tls),
            }),
            mode => attempt(mode),
        }
    }

    fn attempt_session(&self, host: &Host, mode: Mode) -> Result<Client, Attempt> {
        let broken = |error| Attempt { error, answered: true, encrypted: false };
        let mut config = self.make_config(host).map_err(broken)?;
        if mode == Mode::Disable {
            config.ssl_mode(SslMode::Disable);
            return self.connect_in_time(host, None, move || config.connect(NoTls));
        }
        let (client, verdict) = self.tls.client_config(&host.name).map_err(broken)?;
        config.ssl_mode(if mode == Mode::Prefer { SslMode::Prefer } else { SslMode::Require });
        self.connect_in_time(host, Some(&verdict), move || config.connect(MakeRustlsConnect::new(client)))
    }

    /// The crate's own timeout ends with the TCP handshake; a server that accepts and stays silent must not hold us.
    /// Its thread is left behind: nothing can wake it, and it ends with the socket or with the process.
    fn connect_in_time(
        &self,
        host: &Host,
        verdict: Option<&Verdict>,
        connect: impl FnOnce() -> Result<Client, postgres::Error> + Send + 'static,
    ) -> Result<Client, Attempt> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || drop(sender.send(connect())));
        let outcome = match self.timeout {
            Some(limit) => receiver.recv_timeout(limit),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match outcome {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(e)) => Err(self.explain_refusal(e, host, verdict)),
            Err(_) => Err(self.timed_out(host)),
        }
    }

    fn explain_refusal(&self, e: postgres::Error, host: &Host, verdict: Option<&Verdict>) -> Attempt {
        let sql = e.code().map(|c| c.code().to_string());
        let met = verdict.is_some_and(Verdict::saw_certificate);
        // cannot_connect_now: it is starting up or shutting down, and another host may serve.
        let answered = met || sql.is_some_and(|code| code != "57P03");
        let error = explain_failure(e, self, host, verdict);
        Attempt { error, answered, encrypted: met }
    }

    pub(super) fn timed_out(&self, host: &Host) -> Attempt {
        let seconds = self.timeout.unwrap_or(Duration::ZERO).as_secs();
        let error = Error::retry(format!("connect to {host}: no answer in {seconds} s"))
            .hint("is a firewall in between? connect_timeout=SECONDS waits longer");
        Attempt { error, answered: false, encrypted: false }
    }

    fn make_config(&self, host: &Host) -> Result<Config> {
        let mut config = Config::new();
        config.user(&self.user).dbname(&self.dbname).application_name(&self.application).port(host.port);
        match (host.name.strip_prefix('@'), host.address) {
            (Some(abstract_name), None) => config.host_path(format!("\0{abstract_name}")),
            // hostaddr stands in for the look-up alone: where there is a name beside it, that is what TLS compares
            // with the certificate and what a passfile is searched for (libpq, "hostaddr").
            (_, Some(address)) if host.name.is_empty() => config.host(&address.to_string()),
            _ => config.host(&host.name),
        };
        host.address.map(|a| config.hostaddr(a));
        self.find_password(host).map(|p| config.password(p.reveal()));
        self.settings.get("options").map(|o| config.options(o));
        self.timeout.map(|t| config.connect_timeout(t));
        if self.tls.direct {
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        config.channel_binding(self.channel_binding()?);
        self.set_keepalives(&mut config)?;
        Ok(config)
    }

    pub(super) fn channel_binding(&self) -> Result<ChannelBinding> {
        match self.settings.get("channel_binding") {
            None | Some("prefer") => Ok(ChannelBinding::Prefer),
            Some("disable") => Ok(ChannelBinding::Disable),
            Some("require") => Ok(ChannelBinding::Require),
            Some(other) => Err(Error::usage(format!("unknown channel_binding \"{other}\""))
                .hint("disable, prefer or require")),
        }
    }

    fn set_keepalives(&self, config: &mut Config) -> Result<()> {
        let number = |key| {
            parse_integer(&self.settings, key)
                .map(|n| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0))
        };
        let seconds = |n: u32| Duration::from_secs(n.into());
        // Zero is the system's default (libpq, "keepalives_idle"), which the crate takes when nothing is set.
        config.keepalives(parse_integer(&self.settings, "keepalives")? != Some(0));
        number("keepalives_idle")?.map(|n| config.keepalives_idle(seconds(n)));
        number("keepalives_interval")?.map(|n| config.keepalives_interval(seconds(n)));
        number("keepalives_count")?.map(|n| config.keepalives_retries(n));
        number("tcp_user_timeout")?.map(|n| config.tcp_user_timeout(Duration::from_millis(n.into())));
        Ok(())
    }
}
