//! Every version and cipher that a server takes, each asked for by a hello of its own.

use super::ciphers;
use super::hello::{self, ClientHello, NoFlight, ServerFlight, TLS13};
use super::probe::{self, ProbeRequest};
use serde::Serialize;
use std::io::ErrorKind;

/// What a server takes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Survey {
    #[serde(skip)]
    pub(crate) versions: Vec<u16>,
    #[serde(skip)]
    pub(crate) ciphers: Vec<(u16, u16)>,
    pub(crate) dh_bits: Option<usize>,
    /// `TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`, in the server's order of preference.
    pub(crate) accepted: Vec<String>,
    /// The deadline came before the end.
    pub(crate) cut: bool,
}

/// No server takes more of one version.
const MOST: usize = 96;

/// Asks until the server refuses what is left, for every version.
pub(crate) fn survey_server(ask: &ProbeRequest<'_>) -> Survey {
    let mut survey = Survey::default();
    for version in [TLS13, hello::TLS12, hello::TLS11, hello::TLS10, hello::SSL3] {
        let mut offer = ciphers::offered_suites(version == TLS13);
        while !offer.is_empty() && offer.len() + MOST > ciphers::offered_suites(version == TLS13).len() {
            let hello = ClientHello { version, ciphers: &offer, sni: ask.sni };
            let answer = match probe::send_hello(ask, &hello) {
                Ok(answer) => answer,
                Err(e) => {
                    survey.cut |= matches!(e, NoFlight::Io(e) if e.kind() == ErrorKind::TimedOut);
                    break;
                }
            };
            // A server that answers with a suite that was not offered breaks RFC 5246, 7.4.1.3: asking on would not end.
            let Some(position) = offer.iter().position(|c| *c == answer.cipher) else { break };
            if answer.version != version {
                break;
            }
            offer.remove(position);
            survey.add_answer(version, &answer);
        }
        survey.cut |= ask.deadline.time_left().is_err();
    }
    survey
}

impl Survey {
    fn add_answer(&mut self, version: u16, answer: &ServerFlight) {
        if !self.versions.contains(&version) {
            self.versions.push(version);
        }
        self.ciphers.push((version, answer.cipher));
        self.accepted.push(format!(
            "{} {}",
            hello::version_name(version),
            ciphers::suite_name(answer.cipher)
        ));
        self.dh_bits = [self.dh_bits, answer.dh_bits].into_iter().flatten().min();
    }
}
