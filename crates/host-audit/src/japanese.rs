//! Findings in Japanese: the same ids, objects and facts; meaning and advice in the reader's words.

use crate::finding::HostFinding;
use crate::subject::HostSubject;
use toban_core::Severity;
use toban_core::check::Finding;

/// A rule's meaning and advice.
struct RuleWords {
    id: &'static str,
    meaning: &'static str,
    action: &'static str,
}

const fn words(id: &'static str, meaning: &'static str, action: &'static str) -> RuleWords {
    RuleWords { id, meaning, action }
}

const WORDS: [RuleWords; 51] = [
    words("new", "承認済みの基準にないもの", "依頼されたものか確認し、host-audit accept で承認する"),
    words("changed", "承認時から変わったもの", "依頼されたものか確認し、host-audit accept で承認する"),
    words("gone", "承認済みだが今はないもの", "依頼されたものか確認し、host-audit accept で承認する"),
    words("not-reviewed", "まだ誰も承認していない", "host-audit list で確認し、host-audit accept で承認する"),
    words("baseline", "比較の基準", "バックアップから戻すか、すべてを改めて承認する"),
    words("not-seen", "見られなかったもの", "ホスト上で root として実行する"),
    words("checked", "監査した", "なし"),
    words(
        "exposed-service",
        "外部に公開すべきでないサービスが待ち受けている",
        "127.0.0.1 かソケットファイルに限定するか、ファイアウォールで閉じる",
    ),
    words("no-filter", "どのポートも遮断されていない", "input の policy を drop にしたルールを読み込む"),
    words(
        "ipv6-unfiltered",
        "IPv4 は遮断されているが IPv6 はされていない",
        "inet テーブルを使うか、ip6tables に同じルールを入れる",
    ),
    words("two-stacks", "iptables-legacy と nftables の両方にルールがある", "どちらか一方にまとめる"),
    words(
        "published-past-firewall",
        "ポートが受信ルールを通らずコンテナへ転送されている",
        "127.0.0.1 で公開するか、DOCKER-USER で遮断する",
    ),
    words("ufw-not-loaded", "ufw は有効だがカーネルにルールがない", "ufw reload を実行し、原因を調べる"),
    words("ufw-leftover", "ufw は無効だがカーネルにルールが残っている", "ufw disable を実行するか再起動する"),
    words(
        "port-not-judged",
        "読めないルールが判定するため、ポートの開閉が分からない",
        "外部から試し、結果を理由として承認する",
    ),
    words(
        "deleted-program",
        "削除されたプログラムが動いている",
        "cp /proc/PID/exe で写しを取り、誰が削除したか調べる",
    ),
    words(
        "program-in-memory",
        "ファイルのないプログラムが動いている",
        "cp /proc/PID/exe で写しを取り、誰が起動したか調べる",
    ),
    words("program-in-tmp", "誰でも書き込める場所のプログラムが動いている", "写しを取ってから止める"),
    words(
        "false-kernel-thread",
        "カーネルスレッドを装うプロセスがある",
        "/proc/PID/exe を調べる。マルウェアの手口である",
    ),
    words(
        "unknown-user",
        "アカウントのないユーザーのプロセスがある",
        "持ち主を調べ、アカウントを作るか止める",
    ),
    words("second-root", "root 以外に UID 0 のアカウントがある", "削除するか、別の UID にする"),
    words("duplicate-uid", "二つのアカウントが同じ UID を持つ", "一方の UID を変える"),
    words("empty-password", "パスワードなしで入れるアカウントがある", "passwd -l NAME で止める"),
    words("old-password-hash", "古い方式のパスワードハッシュがある", "パスワードを変更させる"),
    words(
        "service-login",
        "サービス用アカウントがログインできる",
        "usermod -s /usr/sbin/nologin -L NAME で止める",
    ),
    words(
        "sudo-without-password",
        "sudo がパスワードなしで全コマンドを許す",
        "NOPASSWD を外すか、コマンドを限定する",
    ),
    words("damaged-records", "ログイン記録に壊れた部分がある", "ファイルの写しを取る。last はそこで止まる"),
    words("implausible-time", "ログイン記録の時刻がありえない", "時計と、ファイルに書ける者を確認する"),
    words(
        "sshd-root-login",
        "root がパスワードでログインできる",
        "PermitRootLogin を no か prohibit-password にする",
    ),
    words(
        "sshd-passwords",
        "ネットワークからパスワードでログインできる",
        "全員が鍵を持ったら PasswordAuthentication no にする",
    ),
    words(
        "sshd-empty-passwords",
        "パスワードなしのアカウントがログインできる",
        "PermitEmptyPasswords no にする",
    ),
    words(
        "sshd-weak-crypto",
        "破られた、または短すぎる暗号方式を提示している",
        "Ciphers・MACs・KexAlgorithms から外す",
    ),
    words("sshd-loose", "接続元の申告を信用する設定がある", "その行を消す。既定値の方が厳しい"),
    words("sshd-cannot-restart", "設定に誤りがあり、sshd は再起動できない", "再起動の前に直す: sshd -t"),
    words(
        "file-open",
        "閉じておくべきファイルを他者が読み書きできる",
        "chmod と setfacl -b で閉じ、秘密を替える",
    ),
    words("parent-open", "上位フォルダーに他者が書き込める", "フォルダーに chmod go-w を実行する"),
    words("file-link", "閉じておくべきファイルが別の場所へのリンクである", "ファイルそのものを置く"),
    words("file-hard-link", "秘密のファイルに別名がある", "find / -samefile FILE で別名を探す"),
    words("file-owner", "閉じておくべきファイルの所有者が違う", "chown で戻し、いつからか調べる"),
    words("file-odd", "ファイルの場所に別のものがある", "誰が置いたか調べる"),
    words("kernel-setting", "カーネル設定が通常より弱い", "/etc/sysctl.d に書き、sysctl --system を実行する"),
    words(
        "security-updates",
        "セキュリティ更新が適用されていない",
        "apt-get upgrade を実行する。カーネルは再起動が要る",
    ),
    words(
        "held-package",
        "セキュリティ更新を含め、更新が保留されている",
        "apt-mark unhold NAME で解除するか、理由を残す",
    ),
    words("lists-old", "パッケージ一覧が古い", "apt-get update を実行し、apt-daily.timer を確認する"),
    words(
        "unattended-off",
        "unattended-upgrades が入っているが動いていない",
        "dpkg-reconfigure unattended-upgrades を実行し、apt-daily-upgrade.timer を有効にする",
    ),
    words(
        "packages-broken",
        "途中までしか入っていないパッケージがある",
        "dpkg --audit、次に dpkg --configure -a を実行する",
    ),
    words("reboot-pending", "新しいカーネルが入っているが動いていない", "都合のよい時に再起動する"),
    words("restart-pending", "サービスが更新前の版で動いている", "systemctl restart で再起動する"),
    words("end-of-life", "ディストリビューションの更新が終了している", "次の版へ上げる"),
    words(
        "failed-unit",
        "systemd のユニットが失敗している",
        "systemctl status UNIT で調べ、systemctl reset-failed を実行する",
    ),
    words("accept-expired", "承認の期限が切れた", "改めて判断する"),
];

/// The finding in Japanese; commands in it stay as they are typed.
pub(crate) fn translate_finding(finding: HostFinding) -> HostFinding {
    let Some(words) = WORDS.iter().find(|w| w.id == finding.base.rule.id) else { return finding };
    let base = finding.base;
    let subject = finding.subject.map(HostSubject::words);
    let advice = match base.advice.as_str() {
        "" => String::new(),
        own if own == base.rule.action => words.action.into(),
        own => match subject.filter(|s| s.advice == own) {
            Some(subject) => subject.advice_japanese.into(),
            None => own.into(),
        },
    };
    let base = Finding { text: format!("{}: {}", words.meaning, base.text), advice, ..base };
    HostFinding { base, ..finding }
}

/// One of the four words.
pub(crate) fn translate_word(word: &str) -> &'static str {
    match word {
        "passed" => "合格",
        "finding" => "所見あり",
        "not applicable" => "該当なし",
        _ => "未確認",
    }
}

/// A severity.
pub(crate) fn translate_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "正常",
        Severity::Warning => "警告",
        Severity::Critical => "重大",
        Severity::Unknown => "不明",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    #[test]
    fn every_rule_is_said_in_japanese() {
        let missing: Vec<&str> =
            rules::all_rules().iter().map(|r| r.id).filter(|id| !WORDS.iter().any(|w| w.id == *id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
