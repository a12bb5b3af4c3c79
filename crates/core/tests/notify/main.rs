//! Jobs in processes of their own, with a real mail server and a scripted Slack.

mod job;
mod mail;
mod ping;
mod run;
mod secrets;
mod slack;
