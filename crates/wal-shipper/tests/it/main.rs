//! The real binary between real servers and real stores.

mod archive;
mod failover;
mod kill;
mod loss;
mod push;
mod recovery;
mod stream;
mod streaming;
mod world;
