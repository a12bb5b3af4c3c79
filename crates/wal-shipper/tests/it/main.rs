//! The real binary between real servers and real stores.

mod ahead;
mod archive;
mod azure;
mod failover;
mod faults;
mod kill;
mod loss;
mod planted;
mod push;
mod recovery;
mod stream;
mod stream_kill;
mod streaming;

mod world;
