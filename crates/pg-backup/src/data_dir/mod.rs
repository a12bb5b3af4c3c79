//! What a data directory and its machine say, to whoever backs it up and to whoever restores it.

pub(crate) mod control;
pub(crate) mod host;
pub(crate) mod include;
pub(crate) mod owner;
