//! user-audit as its users meet it: the real binary against real servers.

mod app;
mod data;
mod graphs;
mod hba;
mod packs;
mod parity;
mod roles;
mod trouble;
mod world;
