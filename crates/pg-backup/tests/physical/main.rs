//! Physical backups as their users meet them: the real binary, real servers, and PostgreSQL's own judges.

mod busy;
mod cloud;
mod conf;
mod copy;
mod damage;
mod doctor;
mod encrypted;
mod faults;
mod incremental;
mod kept;
mod keys;
mod kill;
mod lab;
mod large;
mod load;
mod pairs;
mod planted;
mod pooler;
mod refused;
mod remote;
mod rounds;
mod same;
mod status;
mod stock;
mod tablespaces;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests of dumps use the rest of it")]
mod world;
