//! Drills as their users meet them: the real binaries, real servers, faults planted by hand.

mod faults_files;
mod faults_live;
mod faults_repo;
mod foreign;
mod harmless;
mod healthy;
mod killed;
mod refused;
mod world;
