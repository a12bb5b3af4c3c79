//! One HTTP request to one address, measured: ureq speaks HTTP over a line of ours, which keeps the deadline.

use super::line::{Line, resolve_name};
use super::tls::{TlsSetup, server_name};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use toban_core::sync::lock;
use toban_core::{Context, Error, Kind, Result, Secret};
use ureq::config::Config;
use ureq::http::{self, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Of a body that should be short no more is read.
pub(crate) const SHORT: u64 = 1 << 20;

/// A URL that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<TlsSetup>,
    authorization: Option<Secret>,
}

/// How long each part of a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timing {
    pub(crate) connect: Duration,
    pub(crate) tls: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) whole: Duration,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) timing: Timing,
}

impl Endpoint {
    /// Takes `http://` and `https://`; `trust` is the file of the certificates to trust.
    ///
    /// # Errors
    /// Usage for another text, and for a name and password inside of it.
    pub(crate) fn parse(url: &str, trust: Option<&Path>) -> Result<Endpoint> {
        let odd = |why: &str| Error::usage(format!("this is no URL that can be asked: {why}"));
        let uri: Uri = url.parse().map_err(|_| odd("it does not parse"))?;
        let authority = uri.authority().ok_or_else(|| odd("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(odd("a password does not belong into it").hint("authorization_file names its file"));
        }
        let (default, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => (443, Some(TlsSetup::trusting(trust)?)),
            _ => return Err(odd("it begins with http:// or https://")),
        };
        let (host, port) = (authority.host().to_string(), authority.port_u16().unwrap_or(default));
        Ok(Endpoint { uri, host, port, tls, authorization: None })
    }

    /// The same, with the value of the header Authorization.
    #[must_use]
    pub(crate) fn authorized_by(self, authorization: Option<Secret>) -> Endpoint {
        Endpoint { authorization, ..self }
    }

    /// The addresses of its host.
    ///
    /// # Errors
    /// When the name has none, or the resolver does not answer in time.
    pub(crate) fn resolve_addresses(&self, deadline: Instant) -> Result<Vec<SocketAddr>> {
        resolve_name(&self.host, self.port, deadline).doing(|| format!("look up {}", self.host))
    }

    /// Whether it is of this machine, by its name.
    pub(crate) fn is_local(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|a| a.is_loopback())
    }

    /// GETs it from the first of its addresses that answers, `most` bytes of the body.
    ///
    /// # Errors
    /// Those of [`Endpoint::ask_address`], of the last address.
    pub(crate) fn ask(&self, most: u64, deadline: Instant) -> Result<HttpAnswer> {
        let mut last = Err(Error::new(Kind::Retry, format!("{} has no address", self.host)));
        for address in self.resolve_addresses(deadline)? {
            last = self.ask_address(address, most, deadline);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// GETs it from one address, `most` bytes of the body. No redirect is followed, no proxy is asked, no connection is used again.
    ///
    /// # Errors
    /// Retry when there is no whole answer in time; Failed when what answers speaks no HTTP, or TLS refuses it.
    pub(crate) fn ask_address(
        &self,
        address: SocketAddr,
        most: u64,
        deadline: Instant,
    ) -> Result<HttpAnswer> {
        let (began, timing) = (Instant::now(), Arc::new(Mutex::new(Timing::default())));
        let tls = match &self.tls {
            Some(setup) => Some((setup.clone(), server_name(&self.host)?)),
            None => None,
        };
        let dial = Dial { tls, deadline, began, timing: Arc::clone(&timing) };
        let agent = ureq::Agent::with_parts(agent_config(deadline), dial, Fixed(address));
        let answered = self.send_request(&agent).and_then(|response| read_answer(response, most));
        let (status, location, body) = answered.map_err(|e| explain_error(&e))?;
        let timing = Timing { whole: began.elapsed(), ..*lock(&timing) };
        Ok(HttpAnswer { status, location, body, timing })
    }

    fn send_request(&self, agent: &ureq::Agent) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let mut builder = http::Request::get(self.uri.clone());
        if let Some(authorization) = &self.authorization {
            builder = builder.header("Authorization", authorization.reveal().trim());
        }
        agent.run(builder.body(())?)
    }
}

fn agent_config(deadline: Instant) -> Config {
    let left = deadline.saturating_duration_since(Instant::now());
    Config::builder()
        .timeout_global(Some(left.max(Duration::from_millis(1))))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("health-check/", env!("CARGO_PKG_VERSION")))
        .build()
}

type Parts = (u16, Option<String>, Vec<u8>);

fn read_answer(mut response: http::Response<ureq::Body>, most: u64) -> Result<Parts, ureq::Error> {
    let location = response.headers().get("Location").and_then(|v| v.to_str().ok()).map(String::from);
    let mut body = Vec::new();
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    reader.take(most).read_to_end(&mut body)?;
    Ok((response.status().as_u16(), location, body))
}

/// Opens the line that ureq speaks over.
#[derive(Debug)]
struct Dial {
    tls: Option<(TlsSetup, ServerName<'static>)>,
    deadline: Instant,
    began: Instant,
    timing: Arc<Mutex<Timing>>,
}

impl Connector<()> for Dial {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        let Some(address) = details.addrs.iter().next() else { return Ok(None) };
        let mut line = Line::connect_tcp(*address, self.deadline)?;
        let connected = self.began.elapsed();
        lock(&self.timing).connect = connected;
        if let Some((setup, name)) = &self.tls {
            line = line.begin_tls(setup, name.clone())?;
            lock(&self.timing).tls = Some(self.began.elapsed().saturating_sub(connected));
        }
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Wire { line, buffers, began: self.began, timing: Arc::clone(&self.timing) }))
    }
}

/// The line with ureq's buffers.
#[derive(Debug)]
struct Wire {
    line: Line,
    buffers: LazyBuffers,
    began: Instant,
    timing: Arc<Mutex<Timing>>,
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.line.write_all(&self.buffers.output()[..amount])?;
        Ok(self.line.flush()?)
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let read = self.line.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        let mut timing = lock(&self.timing);
        if read > 0 && timing.first_byte.is_none() {
            timing.first_byte = Some(self.began.elapsed());
        }
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // Never used again: what is measured must contain the connecting.
        false
    }
}

/// The one address that is asked.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut all = self.empty();
        all.push(self.0);
        Ok(all)
    }
}

fn explain_error(e: &ureq::Error) -> Error {
    let late = || Error::new(Kind::Retry, "no whole answer in time");
    match e {
        ureq::Error::Timeout(_) => late(),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => late(),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            Error::failed(format!("TLS: {}", toban_core::tls::describe_error(&io.to_string())))
        }
        ureq::Error::Io(io) => Error::new(Kind::Retry, io.to_string()),
        other => Error::failed(other.to_string()),
    }
}
