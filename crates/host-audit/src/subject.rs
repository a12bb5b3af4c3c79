//! What is looked at.

use serde::{Deserialize, Serialize};

/// One part of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostSubject {
    Sockets,
    Firewall,
    Processes,
    Accounts,
    Root,
    Logins,
    Sshd,
    Files,
    Privileged,
    Kernel,
    Updates,
    Units,
}

/// What documents and auditors want to know of a subject.
pub(crate) struct SubjectWords {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) japanese: &'static str,
    /// Whether it has facts to accept; else there are findings only.
    pub(crate) has_facts: bool,
    /// What to do about something new.
    pub(crate) advice: &'static str,
    pub(crate) advice_japanese: &'static str,
    /// Sections of the CIS Debian 12 benchmark, and ISO/IEC 27001:2022 annex A.
    pub(crate) items: &'static [&'static str],
}

impl HostSubject {
    pub(crate) const ALL: [HostSubject; 12] = [
        HostSubject::Sockets,
        HostSubject::Firewall,
        HostSubject::Processes,
        HostSubject::Accounts,
        HostSubject::Root,
        HostSubject::Logins,
        HostSubject::Sshd,
        HostSubject::Files,
        HostSubject::Privileged,
        HostSubject::Kernel,
        HostSubject::Updates,
        HostSubject::Units,
    ];

    /// The subject of this name.
    pub(crate) fn find(name: &str) -> Option<HostSubject> {
        HostSubject::ALL.into_iter().find(|s| s.words().name == name)
    }

    /// Its name in keys and flags.
    pub(crate) fn name(self) -> &'static str {
        self.words().name
    }

    /// Whether there is something to accept.
    pub(crate) fn has_facts(self) -> bool {
        self.words().has_facts
    }

    /// What is said of it.
    pub(crate) fn words(self) -> &'static SubjectWords {
        &WORDS[self as usize]
    }
}

/// A subject as flags name it.
///
/// # Errors
/// The names that there are.
pub(crate) fn parse_subject(text: &str) -> Result<HostSubject, String> {
    let names: Vec<&str> = HostSubject::ALL.iter().map(|s| s.name()).collect();
    HostSubject::find(text).ok_or_else(|| format!("one of {}", names.join(", ")))
}

static WORDS: [SubjectWords; 12] = [
    SubjectWords {
        name: "sockets",
        title: "Listening sockets",
        japanese: "待ち受けソケット",
        has_facts: true,
        advice: "who started it, and was it asked for? stop it, or: host-audit accept --only",
        advice_japanese: "誰が起動したか、依頼されたものか確認する。止めるか、host-audit accept --only で承認する",
        items: &["CIS 2.1", "ISO A.8.20"],
    },
    SubjectWords {
        name: "firewall",
        title: "Firewall",
        japanese: "ファイアウォール",
        has_facts: true,
        advice: "compare with the change that was asked for; undo it, or: host-audit accept --only",
        advice_japanese: "依頼された変更と照合する。元に戻すか、host-audit accept --only で承認する",
        items: &["CIS 4.1", "ISO A.8.20", "ISO A.8.22"],
    },
    SubjectWords {
        name: "processes",
        title: "Processes that no package brought",
        japanese: "パッケージに属さないプロセス",
        has_facts: true,
        advice: "look at /proc/PID/exe and who started it before you stop it; or: host-audit accept --only",
        advice_japanese: "止める前に /proc/PID/exe と起動者を調べる。問題なければ host-audit accept --only で承認する",
        items: &["ISO A.8.7", "ISO A.8.19"],
    },
    SubjectWords {
        name: "accounts",
        title: "Accounts, groups and keys",
        japanese: "アカウント・グループ・鍵",
        has_facts: true,
        advice: "was it asked for? remove it, or: host-audit accept --only",
        advice_japanese: "依頼されたものか確認する。削除するか、host-audit accept --only で承認する",
        items: &["CIS 7.2", "ISO A.5.16", "ISO A.8.2"],
    },
    SubjectWords {
        name: "root",
        title: "Becoming root",
        japanese: "root 権限の取得",
        has_facts: true,
        advice: "ask the person what it was for; then: host-audit accept --only",
        advice_japanese: "本人に目的を確認し、host-audit accept --only で承認する",
        items: &["CIS 5.2", "ISO A.8.2", "ISO A.8.15"],
    },
    SubjectWords {
        name: "logins",
        title: "Logins",
        japanese: "ログイン",
        has_facts: true,
        advice: "ask the person whether it was they; if not: lock the account, change its keys",
        advice_japanese: "本人に確認する。本人でなければアカウントを止め、鍵を替える",
        items: &["ISO A.8.15", "ISO A.8.5"],
    },
    SubjectWords {
        name: "sshd",
        title: "The SSH server's effective settings",
        japanese: "SSH サーバーの有効な設定",
        has_facts: true,
        advice: "compare with the change that was asked for; undo it, or: host-audit accept --only",
        advice_japanese: "依頼された変更と照合する。元に戻すか、host-audit accept --only で承認する",
        items: &["CIS 5.1", "ISO A.8.9"],
    },
    SubjectWords {
        name: "files",
        title: "Files that must be closed",
        japanese: "閉じておくべきファイル",
        has_facts: false,
        advice: "",
        advice_japanese: "",
        items: &["CIS 7.1", "ISO A.8.3"],
    },
    SubjectWords {
        name: "privileged",
        title: "Setuid files and capabilities",
        japanese: "setuid ファイルとケーパビリティ",
        has_facts: true,
        advice: "who put it there? chmod u-s or setcap -r, or: host-audit accept --only",
        advice_japanese: "誰が置いたか調べる。chmod u-s や setcap -r で外すか、host-audit accept --only で承認する",
        items: &["CIS 7.1", "ISO A.8.18"],
    },
    SubjectWords {
        name: "kernel",
        title: "Kernel settings",
        japanese: "カーネル設定",
        has_facts: true,
        advice: "compare with /etc/sysctl.d; sysctl --system brings it back, or: host-audit accept --only",
        advice_japanese: "/etc/sysctl.d と照合する。sysctl --system で戻すか、host-audit accept --only で承認する",
        items: &["CIS 3.3", "CIS 1.5", "ISO A.8.9"],
    },
    SubjectWords {
        name: "updates",
        title: "Security updates and restarts",
        japanese: "セキュリティ更新と再起動",
        has_facts: false,
        advice: "",
        advice_japanese: "",
        items: &["CIS 1.2", "ISO A.8.8"],
    },
    SubjectWords {
        name: "units",
        title: "Failed units",
        japanese: "失敗したユニット",
        has_facts: false,
        advice: "",
        advice_japanese: "",
        items: &["ISO A.8.6"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_its_own_words() {
        for subject in HostSubject::ALL {
            assert_eq!(HostSubject::find(subject.name()), Some(subject));
            assert_eq!(serde_json::to_value(subject).expect("json"), subject.name());
            assert_ne!(subject.has_facts(), subject.words().advice.is_empty());
        }
    }
}
