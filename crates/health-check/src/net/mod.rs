//! Connections that keep a deadline as a whole, with and without TLS, and one HTTP request over them.

pub(crate) mod http;
mod line;
mod tls;

pub(crate) use line::{Line, resolve_name};
pub(crate) use tls::{TlsSetup, server_name};
