//! The real binary between real servers and real stores.

mod archive;
mod push;
mod recovery;
mod world;
