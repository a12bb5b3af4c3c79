//! A live move: the changes of a file that an application writes to are captured in it and applied to its copy, until
//! the application changes over; and back, until nobody needs the way back any more.

mod apply;
mod back;
pub(crate) mod capture;
mod commands;
mod constraints;
pub(crate) mod cutover;
pub(crate) mod fallback;
mod fence;
mod file;
mod forecast;
mod held;
mod inverse;
mod keys;
mod link;
mod openers;
mod record;
pub(crate) mod rehearsal;
mod reverse_log;
mod state;
pub(crate) mod status;
pub(crate) mod sync;
mod target_fence;
mod touched;
mod triggers;
mod uniques;
