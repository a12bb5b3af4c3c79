//! The real binary between real SQLite files and real servers; values are judged by psql and sqlite3.

mod bad;
mod existing;
mod itsm;
mod keys;
mod kill;
mod live;
mod objects;
mod plans;
mod real;
mod rejects;
mod servers;
mod values;
mod world;
