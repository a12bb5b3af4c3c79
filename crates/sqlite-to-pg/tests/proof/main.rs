//! `sqlite-to-pg verify` as a judge: faults that were planted, copies that others made, roles that may only read.

mod constraints;
mod copies;
mod definitions;
mod faults;
mod itsm;
mod planned;
mod refused;
mod shapes;
mod world;
