//! The tool from outside: the real binary, other programs as judges.

mod catalogue;
mod hostile;
mod mint;
mod server;
mod world;
