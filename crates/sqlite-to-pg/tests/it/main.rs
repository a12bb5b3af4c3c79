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
mod pools;
mod real;
mod refusals;
mod rejects;
mod schema;
mod servers;
mod undo;
mod values;
mod whole;
mod world;
