//! The real binary between real SQLite files and real servers; values are judged by psql and sqlite3.

mod bad;
mod chance;
mod damage;
mod existing;
mod itsm;
mod keys;
mod kill;
mod live;
mod matrix;
mod names;
mod objects;
mod odd;
mod pairs;
mod plans;
mod pools;
mod reading;
mod real;
mod refusals;
mod rejects;
mod schema;
mod servers;
mod undo;
mod values;
mod whole;
mod world;
