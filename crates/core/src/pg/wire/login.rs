//! Startup and authentication: password, md5 and SCRAM, bound to the server's certificate where TLS is spoken.

use super::{Parsed, Wire};
use crate::error::{Context, Error, Result};
use crate::pg::conninfo::ConnInfo;
use crate::secret::Secret;
use bytes::BytesMut;
use postgres::config::ChannelBinding as Wanted;
use postgres::fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::time::{Duration, Instant};
use x509_parser::prelude::FromDer;

/// Says who we are and gets as far as ready for commands.
///
/// # Errors
/// Usage when a password is wanted and none is known; else what the server says.
pub(super) fn log_in(wire: &mut Wire, to: &ConnInfo, password: Option<&Secret>) -> Result<()> {
    let mut out = BytesMut::new();
    let options = to.settings.get("options").map(|o| ("options", o));
    // `replication=true` asks for a physical walsender, which has no database (protocol, "Streaming Replication
    // Protocol"); so none is named.
    let fixed = [("user", to.user.as_str()), ("replication", "true"), ("application_name", &to.application)];
    frontend::startup_message(fixed.into_iter().chain(options), &mut out).doing(|| "log in".into())?;
    wire.send_bytes(&out)?;
    let until = to.timeout.map(|limit| Instant::now() + limit);
    loop {
        let Some(message) = wire.next_parsed(until)? else {
            return Err(Error::retry("the server does not answer"));
        };
        if let Message::ReadyForQuery(_) = message {
            return Ok(());
        }
        answer_request(wire, to, password, message)?;
    }
}

fn answer_request(wire: &mut Wire, to: &ConnInfo, password: Option<&Secret>, message: Message) -> Result<()> {
    let asked = || password.ok_or_else(|| Error::usage("the server asks for a password, and none is known"));
    match message {
        Message::AuthenticationOk => check_binding(wire, to),
        Message::AuthenticationCleartextPassword => send_password(wire, asked()?.reveal().as_bytes()),
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(to.user.as_bytes(), asked()?.reveal().as_bytes(), body.salt());
            send_password(wire, hash.as_bytes())
        }
        Message::AuthenticationSasl(body) => authenticate_scram(wire, to, asked()?, &body),
        Message::AuthenticationGss | Message::AuthenticationSspi | Message::AuthenticationKerberosV5 => {
            Err(Error::failed("the server asks for GSS or SSPI authentication, which is not supported"))
        }
        other => wire.convert_message(Parsed::Other(other)).map(drop),
    }
}

fn send_password(wire: &mut Wire, password: &[u8]) -> Result<()> {
    let mut out = BytesMut::new();
    frontend::password_message(password, &mut out).doing(|| "log in".into())?;
    wire.send_bytes(&out)
}

/// The server let us in without proof of who it is.
fn check_binding(wire: &Wire, to: &ConnInfo) -> Result<()> {
    match to.channel_binding()? {
        Wanted::Require if !wire.bound => {
            Err(Error::failed("channel_binding=require, and the server did not authenticate with it"))
        }
        _ => Ok(()),
    }
}

fn authenticate_scram(
    wire: &mut Wire,
    to: &ConnInfo,
    password: &Secret,
    body: &AuthenticationSaslBody,
) -> Result<()> {
    let offered: Vec<String> =
        body.mechanisms().map(|m| Ok(m.to_string())).collect().doing(|| "log in".into())?;
    let wanted = to.channel_binding()?;
    let digest = wire.socket.peer_certificate().and_then(end_point).filter(|_| wanted != Wanted::Disable);
    let plus = offered.iter().any(|m| m == SCRAM_SHA_256_PLUS);
    // With "y" instead of "n" (RFC 5802, section 6) we say that we could have bound: a server that did offer it breaks
    // off, since somebody between us took the offer away.
    let (mechanism, binding) = match digest {
        Some(digest) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(digest)),
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    if wanted == Wanted::Require && mechanism != SCRAM_SHA_256_PLUS {
        return Err(Error::failed("channel_binding=require, and the server does not offer it"));
    }
    exchange_messages(wire, mechanism, ScramSha256::new(password.reveal().as_bytes(), binding))?;
    wire.bound = mechanism == SCRAM_SHA_256_PLUS;
    Ok(())
}

fn exchange_messages(wire: &mut Wire, mechanism: &str, mut scram: ScramSha256) -> Result<()> {
    let doing = || "log in".to_string();
    let mut out = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut out).doing(doing)?;
    wire.send_bytes(&out)?;
    loop {
        let until = Instant::now() + Duration::from_secs(30);
        let next =
            wire.next_parsed(Some(until))?.ok_or_else(|| Error::retry("the server does not answer"))?;
        match next {
            Message::AuthenticationSaslContinue(body) => {
                scram.update(body.data()).doing(doing)?;
                let mut out = BytesMut::new();
                frontend::sasl_response(scram.message(), &mut out).doing(doing)?;
                wire.send_bytes(&out)?;
            }
            // Its signature is the server's own proof that it knows the password's verifier (RFC 5802, section 3).
            Message::AuthenticationSaslFinal(body) => return scram.finish(body.data()).doing(doing),
            other => wire.convert_message(Parsed::Other(other)).map(drop)?,
        }
    }
}

/// `tls-server-end-point` of RFC 5929: the certificate's digest by the hash of its own signature, SHA-256 where that
/// is MD5 or SHA-1. `None` for signatures without a hash (Ed25519), which have no such binding.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // MD5 and SHA-1 with RSA, SHA-1 with ECDSA; SHA-256 with either.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Sha384::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}
