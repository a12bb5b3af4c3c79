//! The real binary between real SQLite files and real servers; values are judged by psql and sqlite3.

mod bad;
mod chance;
mod existing;
mod itsm;
mod keys;
mod kill;
mod live;
mod matrix;
mod objects;
mod odd;
mod plans;
mod real;
mod rejects;
mod schema;
mod servers;
mod values;
mod world;
