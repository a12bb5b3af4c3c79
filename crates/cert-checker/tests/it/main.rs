//! The tool from outside: the real binary, other programs as judges.

mod verify;
