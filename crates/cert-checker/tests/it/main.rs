//! The tool from outside: the real binary, other programs as judges.

mod verify;
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
