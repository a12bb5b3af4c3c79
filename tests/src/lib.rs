//! Tests of several binaries together; see `it/`.
