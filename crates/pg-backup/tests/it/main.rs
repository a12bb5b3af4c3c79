//! pg-backup as its users meet it: the real binary against real servers.

mod belongs;
mod check;
mod cut;
mod dump;
mod faults;
mod foreign;
mod hidden;
mod kill;
mod prune;
mod refused;
mod replace;
mod retention;
mod round_trip;
mod safety;
mod telling;
mod verify;
mod world;
