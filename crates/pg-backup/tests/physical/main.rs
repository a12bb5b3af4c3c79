//! Physical backups as their users meet them: the real binary, real servers, and PostgreSQL's own judges.

mod busy;
mod conf;
mod damage;
mod kept;
mod kill;
mod lab;
mod load;
mod refused;
mod stock;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "the tests of dumps use the rest of it")]
mod world;
