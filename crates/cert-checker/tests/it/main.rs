//! The tool from outside: the real binary, other programs as judges.

mod catalogue;
mod daemons;
mod files;
mod hostile;
mod mint;
mod revoked;
mod runs;
mod server;
mod transport;
mod world;
