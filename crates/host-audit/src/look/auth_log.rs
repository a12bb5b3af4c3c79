//! What sshd, sudo, su, pkexec and others write into the log: lines as events. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// One line that says who did what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthEvent {
    Accepted {
        user: String,
        address: String,
        method: String,
    },
    Failed {
        user: String,
        address: String,
    },
    /// `actor` ran `program` as `target`.
    BecameRoot {
        method: &'static str,
        actor: String,
        target: String,
        program: String,
    },
    Refused {
        method: &'static str,
        actor: String,
        why: String,
    },
}

/// An event and its time, where the line has one that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimedEvent {
    pub(crate) at: Option<Timestamp>,
    pub(crate) event: AuthEvent,
}

/// The event of one line of a syslog file; `near` is when the file was last written, which tells the year.
pub(crate) fn parse_line(line: &str, near: Timestamp) -> Option<TimedEvent> {
    let (at, rest) = split_time(line, near);
    let (_host, rest) = rest.split_once(' ')?;
    let (tag, message) = rest.split_once(": ")?;
    let program = tag.split(['[', ' ']).next()?;
    parse_message(program, message).map(|event| TimedEvent { at, event })
}

/// RFC 3339 as rsyslog writes it now, or RFC 3164 without a year: then it is the last such day before the file's end.
fn split_time(line: &str, near: Timestamp) -> (Option<Timestamp>, &str) {
    if line.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        let (stamp, rest) = line.split_once(' ').unwrap_or((line, ""));
        return (stamp.parse().ok(), rest);
    }
    let Some((stamp, rest)) = line.split_at_checked(15) else { return (None, "") };
    (read_old_stamp(stamp, near), rest.trim_start())
}

fn read_old_stamp(stamp: &str, near: Timestamp) -> Option<Timestamp> {
    let zone = TimeZone::system();
    let year = near.to_zoned(zone.clone()).year();
    let in_year = |year: i16| {
        // Days are padded by a blank; so is %e.
        let text = format!("{year} {stamp}");
        Some(DateTime::strptime("%Y %b %e %H:%M:%S", &text).ok()?.to_zoned(zone.clone()).ok()?.timestamp())
    };
    let late = near + jiff::SignedDuration::from_hours(24);
    in_year(year).filter(|t| *t <= late).or_else(|| in_year(year - 1))
}

/// The event of a message, by the program that wrote it.
pub(crate) fn parse_message(program: &str, message: &str) -> Option<AuthEvent> {
    match program.rsplit('/').next().unwrap_or(program) {
        "sshd" | "sshd-session" | "sshd-auth" => parse_sshd(message),
        "sudo" | "sudo-rs" => parse_sudo(message.trim_start()),
        "su" => parse_su(message),
        "pkexec" => parse_pkexec(message),
        "doas" => parse_doas(message),
        _ => None,
    }
}

/// `Accepted METHOD for USER from ADDRESS port N ssh2…`. The user is the client's own text and may hold all of these
/// words: what follows him is looked for from the right.
fn parse_sshd(message: &str) -> Option<AuthEvent> {
    let accepted = message.strip_prefix("Accepted ");
    let failed = message.strip_prefix("Failed ").filter(|m| !m.starts_with("none "));
    let (method, rest) = accepted.or(failed)?.split_once(" for ")?;
    let (user, tail) = rest.rsplit_once(" from ")?;
    let address = tail.split(' ').next()?.to_string();
    let user = user.strip_prefix("invalid user ").unwrap_or(user).to_string();
    Some(match accepted.is_some() {
        true => AuthEvent::Accepted { user, address, method: method.into() },
        false => AuthEvent::Failed { user, address },
    })
}

/// `ACTOR : FIELD=… ; FIELD=… ; COMMAND=…`: the command is the last and may itself hold ` ; USER=`.
fn parse_sudo(message: &str) -> Option<AuthEvent> {
    let (actor, rest) = message.split_once(" : ")?;
    let actor = actor.trim().to_string();
    // How a command ended (1.9.15 and newer) is a line of the same actor and program, and so the same use. It is not left
    // out by its `EXIT=`, which anybody could put at the end of a command to hide it.
    let (head, command) = rest.split_once("COMMAND=")?;
    let fields: Vec<&str> = head.split(" ; ").map(str::trim).filter(|f| !f.is_empty()).collect();
    let field = |name: &str| fields.iter().find_map(|f| f.strip_prefix(name));
    // What comes before the fields is why it was refused.
    let why = fields.first().filter(|f| !f.contains('='));
    match why {
        Some(why) => Some(AuthEvent::Refused { method: "sudo", actor, why: (*why).into() }),
        None => Some(AuthEvent::BecameRoot {
            method: "sudo",
            actor,
            target: field("USER=").unwrap_or("root").into(),
            program: first_word(command),
        }),
    }
}

/// Of the arguments nothing is kept: they may hold secrets.
fn first_word(command: &str) -> String {
    command.split_whitespace().next().unwrap_or_default().into()
}

/// `(to root) anna on pts/1`, and `FAILED SU (to root) anna on pts/1`.
fn parse_su(message: &str) -> Option<AuthEvent> {
    let failed = message.strip_prefix("FAILED SU ");
    let (target, rest) = failed.unwrap_or(message).strip_prefix("(to ")?.split_once(") ")?;
    let actor = rest.split(" on ").next()?.to_string();
    Some(match failed {
        Some(_) => AuthEvent::Refused { method: "su", actor, why: format!("to {target}") },
        None => {
            AuthEvent::BecameRoot { method: "su", actor, target: target.into(), program: "a shell".into() }
        }
    })
}

/// `anna: Executing command [USER=root] [TTY=…] [CWD=…] [COMMAND=/usr/bin/x y]`.
fn parse_pkexec(message: &str) -> Option<AuthEvent> {
    let (actor, rest) = message.split_once(": Executing command [USER=")?;
    let (target, rest) = rest.split_once(']')?;
    let command = rest.split_once("[COMMAND=")?.1.trim_end_matches(']');
    Some(AuthEvent::BecameRoot {
        method: "pkexec",
        actor: actor.into(),
        target: target.into(),
        program: first_word(command),
    })
}

/// `anna ran command ls as root from /home/anna`.
fn parse_doas(message: &str) -> Option<AuthEvent> {
    let (actor, rest) = message.split_once(" ran command ")?;
    let (command, target) = rest.rsplit_once(" from ")?.0.rsplit_once(" as ")?;
    Some(AuthEvent::BecameRoot {
        method: "doas",
        actor: actor.into(),
        target: target.into(),
        program: first_word(command),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn used(line: &str) -> Option<(String, String, String)> {
        match parse_message("sudo", line)? {
            AuthEvent::BecameRoot { actor, target, program, .. } => Some((actor, target, program)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_of_sudo_has_its_actor_target_and_program() {
        for fields in [
            "TTY=pts/0 ; PWD=/root ; USER=root",
            "PWD=/ ; USER=root",
            "TTY=pts/1 ; PWD=/ ; USER=root ; GROUP=adm",
            "HOST=db1 ; PWD=/ ; USER=root ; ENV=A=b",
            "CHROOT=/x ; PWD=/ ; USER=root ; TSID=00001A",
        ] {
            let line = format!("    anna : {fields} ; COMMAND=/usr/bin/apt update");
            assert_eq!(used(&line), Some(("anna".into(), "root".into(), "/usr/bin/apt".into())), "{line}");
        }
        let nested = "anna : PWD=/ ; USER=root ; COMMAND=/bin/echo x ; USER=root ; COMMAND=/bin/sh";
        assert_eq!(used(nested).map(|u| u.2), Some("/bin/echo".into()));
        let twin = used("anna : PWD=/ ; USER=root ; COMMAND=/bin/ls -l ; EXIT=0");
        assert_eq!(twin, used("anna : PWD=/ ; USER=root ; COMMAND=/bin/ls -l"));
        assert_eq!(used("anna : (command continued) -x"), None);
    }

    #[test]
    fn refusals_are_no_uses() {
        for why in ["command not allowed", "user NOT in sudoers", "3 incorrect password attempts"] {
            let line = format!("anna : {why} ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh");
            assert!(
                matches!(parse_message("sudo", &line), Some(AuthEvent::Refused { why: w, .. }) if w == why),
                "{line}"
            );
        }
    }

    #[test]
    fn other_ways_are_named() {
        for (program, line, actor, target) in [
            ("su", "(to root) anna on pts/1", "anna", "root"),
            (
                "pkexec",
                "anna: Executing command [USER=root] [TTY=unknown] [CWD=/] [COMMAND=/usr/bin/id -u]",
                "anna",
                "root",
            ),
            ("doas", "anna ran command id as root from /home/anna", "anna", "root"),
        ] {
            match parse_message(program, line) {
                Some(AuthEvent::BecameRoot { method, actor: a, target: t, .. }) => {
                    assert_eq!((method, a.as_str(), t.as_str()), (program, actor, target));
                }
                other => panic!("{program}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_name_cannot_pose_as_an_address() {
        let line =
            "Failed password for invalid user x from 10.0.0.1 port 22 ssh2 from 203.0.113.9 port 4711 ssh2";
        let Some(AuthEvent::Failed { address, .. }) = parse_message("sshd-session", line) else {
            panic!("failed")
        };
        assert_eq!(address, "203.0.113.9");
        for program in ["sshd", "sshd-session", "sshd-auth"] {
            let line = "Accepted publickey for anna from fe80::1%eth0 port 4711 ssh2: ED25519 SHA256:abc";
            let Some(AuthEvent::Accepted { user, address, method }) = parse_message(program, line) else {
                panic!("accepted")
            };
            assert_eq!(
                (user.as_str(), address.as_str(), method.as_str()),
                ("anna", "fe80::1%eth0", "publickey")
            );
        }
    }

    #[test]
    fn a_line_of_december_read_in_january_is_of_last_year() {
        let near: Timestamp = "2027-01-02T00:00:00Z".parse().expect("a time");
        for (line, year) in [
            ("Dec 30 23:00:01 db1 sshd[7]: Accepted password for a from 1.2.3.4 port 1 ssh2", "2026"),
            ("Jan  1 23:00:01 db1 sshd[7]: Accepted password for a from 1.2.3.4 port 1 ssh2", "2027"),
            (
                "2025-03-01T10:00:00.123456+01:00 db1 sshd[7]: Accepted password for a from 1.2.3.4 port 1 ssh2",
                "2025",
            ),
        ] {
            let event = parse_line(line, near).expect("an event");
            assert!(event.at.expect("a time").to_string().starts_with(year), "{line}: {event:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in ".{0,120}") {
            let near = Timestamp::UNIX_EPOCH;
            for program in ["sshd", "sudo", "su", "pkexec", "doas"] {
                let _ = parse_message(program, &line);
                let _ = parse_line(&format!("Dec  1 01:02:03 h {program}: {line}"), near);
            }
        }

        #[test]
        fn the_real_address_wins(name in "[a-z ]{0,20}( from [0-9.]{7,9} port 22 ssh2)?") {
            let line = format!("Failed password for invalid user {name} from 198.51.100.7 port 9 ssh2");
            let Some(AuthEvent::Failed { address, .. }) = parse_message("sshd", &line) else { panic!("failed") };
            prop_assert_eq!(address, "198.51.100.7");
        }
    }
}
