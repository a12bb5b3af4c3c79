//! JSON as it was written: numbers keep their digits, strings their escapes, keys that stand twice are reported.

pub(crate) mod canonical;
pub(crate) mod document;
pub(crate) mod value;

pub(crate) use document::{DuplicateKey, Parser, SyntaxError};
pub(crate) use value::{Shape, Value};
