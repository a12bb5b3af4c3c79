//! user-audit as its users meet it: the real binary against real servers.

mod accounts;
mod app;
mod data;
mod evidence;
mod frameworks;
mod grants;
mod graphs;
mod hba;
mod lockout;
mod packs;
mod parity;
mod power;
mod proofs;
mod roles;
mod seen;
mod trouble;
mod unseen;
mod world;
