//! The real binary between real servers and real stores.

mod ahead;
mod archive;
mod faults;
mod kill;
mod push;
mod recovery;
mod world;
