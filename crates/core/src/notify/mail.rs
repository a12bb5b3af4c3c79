//! Mail, by SMTP over TLS or by this machine's sendmail.

use super::deliver::SendError;
use super::http::{is_loopback, is_tls};
use super::{Env, message};
use crate::config::{Address, MailConfig, Tls};
use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::sendmail::SendmailTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::{self, SmtpTransport};
use lettre::{Transport, transport::smtp::client};
use std::path::Path;
use std::time::Duration;

/// Authentication is required, too weak, refused, or wants TLS (RFC 4954).
const LOGIN: [u16; 4] = [530, 534, 535, 538];

/// Who sends to whom, and through what.
#[derive(Clone)]
pub(super) struct Mail {
    from: Mailbox,
    to: Vec<Mailbox>,
    route: Route,
}

#[derive(Clone)]
enum Route {
    Sendmail(SendmailTransport),
    // Boxed: it is ten times the size of the other.
    Smtp(Box<SmtpServer>),
}

#[derive(Clone)]
struct SmtpServer {
    host: String,
    port: u16,
    tls: client::Tls,
    login: Option<(String, Secret)>,
}

impl Mail {
    /// Mail as `config` and the environment set it up; `None` when they do not.
    ///
    /// # Errors
    /// Usage, naming what is missing or wrong.
    pub(super) fn open_mail(config: Option<&MailConfig>, tool: &str, env: Env<'_>) -> Result<Option<Mail>> {
        let wanted = env("SMTP_HOST").is_some() && env("TOBAN_MAIL_TO").is_some();
        if config.is_none() && !wanted {
            return Ok(None);
        }
        let config = config.cloned().unwrap_or_default();
        let to = read_recipients(&config, env)?;
        let from = read_sender(&config, &to, tool, env)?;
        let route = match config.sendmail.program() {
            Some(program) => Route::Sendmail(SendmailTransport::new_with_command(program)),
            None => Route::Smtp(Box::new(read_server(&config, env)?)),
        };
        Ok(Some(Mail { from, to, route }))
    }

    /// Sends `message`, once. An address that the server refuses must not keep the others from being told: then
    /// each is tried by itself.
    pub(super) fn send_mail(&self, message: &message::Message, limit: Duration) -> Result<(), SendError> {
        let mail = self.write_mail(message).map_err(SendError::Refused)?;
        let together = self.hand_over(&mail, &self.to, limit);
        let (Err(SendError::Refused(_)), 2..) = (&together, self.to.len()) else { return together };
        let apart = self.to.iter().map(|to| (to, self.hand_over(&mail, std::slice::from_ref(to), limit)));
        let (taken, refused): (Vec<_>, Vec<_>) = apart.partition(|(_, sent)| sent.is_ok());
        if taken.is_empty() {
            return together;
        }
        let refused: Vec<String> = refused.iter().map(|(to, _)| to.email.to_string()).collect();
        log::warn!("mail: the server does not take mail for {}", refused.join(", "));
        Ok(())
    }

    fn write_mail(&self, message: &message::Message) -> Result<Message> {
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut mail = Message::builder()
            .from(self.from.clone())
            .subject(&message.subject)
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .date(message.date.into())
            // RFC 3834: no vacation notice answers this.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_string()))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        mail.body(message.text.clone()).doing(|| "write the mail".into())
    }

    fn hand_over(&self, mail: &Message, to: &[Mailbox], limit: Duration) -> Result<(), SendError> {
        let to = to.iter().map(|m| m.email.clone()).collect();
        let envelope = Envelope::new(Some(self.from.email.clone()), to)
            .doing(|| "address the mail".into())
            .map_err(SendError::Refused)?;
        match &self.route {
            Route::Sendmail(program) => program
                .send_raw(&envelope, &mail.formatted())
                .doing(|| "hand the mail to sendmail".into())
                .map_err(SendError::NotNow),
            Route::Smtp(server) => server.send_envelope(&envelope, &mail.formatted(), limit),
        }
    }
}

impl SmtpServer {
    fn send_envelope(&self, envelope: &Envelope, mail: &[u8], limit: Duration) -> Result<(), SendError> {
        let mut transport = SmtpTransport::builder_dangerous(&self.host)
            .port(self.port)
            .tls(self.tls.clone())
            .timeout(Some(limit));
        if let Some((user, pass)) = &self.login {
            transport = transport.credentials(Credentials::new(user.clone(), pass.reveal().to_string()));
        }
        let sent = transport.build().send_raw(envelope, mail);
        sent.map(drop).map_err(|e| judge_error(e, &format!("send mail by {}:{}", self.host, self.port)))
    }
}

/// A 5xx is for good, a 4xx and a lost connection pass; what TLS, the client itself or the login dislikes needs a
/// person, and trying it again at once may lock the account.
fn judge_error(e: smtp::Error, doing: &str) -> SendError {
    // RFC 5321, 4.2.1: 4yz may be tried again as it is, 5yz may not. A refused login is 5yz too, but its cause is
    // here, and the message is worth keeping until somebody has corrected it.
    let login = e.status().is_some_and(|code| LOGIN.contains(&u16::from(code)));
    let (permanent, person) =
        (e.is_permanent(), login || is_tls(&e) || e.is_tls() || e.is_client() || e.is_response());
    let e = Error::failed(doing).because(e);
    match (permanent && !login, person) {
        (true, _) => SendError::Refused(e),
        (_, true) => SendError::NotNow(e),
        _ => SendError::Transient(e, None),
    }
}

fn read_recipients(config: &MailConfig, env: Env<'_>) -> Result<Vec<Mailbox>> {
    let addresses = match env("TOBAN_MAIL_TO") {
        Some(list) => list.split(',').map(str::parse).collect::<Result<Vec<Address>>>(),
        None => Ok(config.to.clone()),
    };
    let addresses = addresses.doing(|| "TOBAN_MAIL_TO".into())?;
    let to = addresses.iter().map(parse_mailbox).collect::<Result<Vec<Mailbox>>>()?;
    if to.is_empty() {
        return Err(Error::usage("[notify.mail] has no address").hint("set `to`, or TOBAN_MAIL_TO"));
    }
    Ok(to)
}

fn parse_mailbox(address: &Address) -> Result<Mailbox> {
    let bad = |e| Error::usage(format!("{:?} is not a mail address", address.0)).because(e);
    address.0.parse().map_err(|e: lettre::address::AddressError| bad(e))
}

fn read_sender(config: &MailConfig, to: &[Mailbox], tool: &str, env: Env<'_>) -> Result<Mailbox> {
    let address = match (env("TOBAN_MAIL_FROM"), &config.from) {
        (Some(text), _) => text.parse(),
        (None, Some(from)) => Ok(from.clone()),
        (None, None) => format!("{tool}@{}", sender_domain(&crate::machine::host_name(), to)).parse(),
    };
    address
        .and_then(|address| parse_mailbox(&address))
        .doing(|| "the sender's address".into())
        .map_err(|e| e.hint("set `from` in [notify.mail], or TOBAN_MAIL_FROM"))
}

/// The domain to send from, by a machine called `host`. A host's name without one is refused by many servers as a
/// sender's domain that does not exist: then it is the first receiver's.
fn sender_domain(host: &str, to: &[Mailbox]) -> String {
    let local = [".localdomain", ".local", ".localhost"].iter().any(|end| host.ends_with(end));
    let receivers = to.first().map(|to| to.email.domain()).filter(|d| d.contains('.'));
    match receivers {
        Some(domain) if local || !host.contains('.') => domain.to_string(),
        _ => host.to_string(),
    }
}

fn read_server(config: &MailConfig, env: Env<'_>) -> Result<SmtpServer> {
    let hint = "set smtp_host in [notify.mail], or SMTP_HOST, or sendmail = true";
    let host = env("SMTP_HOST").or_else(|| config.smtp_host.clone());
    let host = host.ok_or_else(|| Error::usage("no mail server is named").hint(hint))?;
    let login = read_login(config, env)?;
    if config.tls == Tls::None && (login.is_some() || !is_loopback(&host)) {
        return Err(Error::usage("tls = \"none\" is only for this machine, and without smtp_user")
            .hint("leave `tls` out: STARTTLS is then required"));
    }
    let usual = match config.tls {
        Tls::Starttls => 587,
        Tls::Implicit => 465,
        Tls::None => 25,
    };
    let port = match env("SMTP_PORT") {
        Some(text) => text.parse().doing(|| format!("SMTP_PORT={text}"))?,
        None => config.smtp_port.unwrap_or(usual),
    };
    Ok(SmtpServer { tls: make_tls(config, &host)?, host, port, login })
}

fn read_login(config: &MailConfig, env: Env<'_>) -> Result<Option<(String, Secret)>> {
    let Some(user) = env("SMTP_USER").or_else(|| config.smtp_user.clone()) else { return Ok(None) };
    let pass = Secret::find(config.smtp_pass_file.as_deref(), "smtp_pass", "SMTP_PASS")?;
    let hint = "set smtp_pass_file in [notify.mail], the credential smtp_pass, or SMTP_PASS";
    let pass = pass.ok_or_else(|| Error::usage(format!("no password for {user} was found")).hint(hint))?;
    Ok(Some((user, pass)))
}

fn make_tls(config: &MailConfig, host: &str) -> Result<client::Tls> {
    if config.tls == Tls::None {
        return Ok(client::Tls::None);
    }
    let mut parameters = TlsParameters::builder(host.to_string());
    if let Some(path) = &config.ca_file {
        parameters = parameters.add_root_certificate(read_certificate(path)?);
    }
    let parameters = parameters.build_rustls().doing(|| "set up TLS for mail".into())?;
    // Opportunistic would send the password in clear to whoever strips STARTTLS from the greeting.
    Ok(match config.tls {
        Tls::Implicit => client::Tls::Wrapper(parameters),
        _ => client::Tls::Required(parameters),
    })
}

fn read_certificate(path: &Path) -> Result<Certificate> {
    let doing = || format!("read the certificates in {}", path.display());
    let pem = std::fs::read(path).doing(doing)?;
    Certificate::from_pem(&pem).doing(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_a_domain() {
        let to = |address: &str| [address.parse::<Mailbox>().expect("an address")];
        for (host, receiver, domain) in [
            ("db1.example.org", "dba@example.com", "db1.example.org"),
            ("db1", "dba@example.com", "example.com"),
            ("db1.localdomain", "dba@example.com", "example.com"),
            ("db1", "root@localhost", "db1"),
        ] {
            assert_eq!(super::sender_domain(host, &to(receiver)), domain, "{host} to {receiver}");
        }
    }
}
