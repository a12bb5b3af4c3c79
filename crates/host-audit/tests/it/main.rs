//! host-audit as its users meet it: the real binary on a host made of files, and real nft and sshd.

mod baseline;
mod evidence;
mod peers;
mod planted;
mod quiet;
mod world;
