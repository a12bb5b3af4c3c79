//! Every kind of finding, with its id, its meaning and what to do.

toban_core::rules! {
    NEW = "new" in "change", never:
        "something is there that the accepted baseline does not know", "was it asked for? then: host-audit accept";
    CHANGED = "changed" in "change", never:
        "something is not as it was accepted", "was it asked for? then: host-audit accept";
    GONE = "gone" in "change", never:
        "something that was accepted is no longer there", "was it asked for? then: host-audit accept";
    NOT_REVIEWED = "not-reviewed" in "review", never:
        "nobody has accepted this part of the host yet, so nothing of it can be told as new",
        "look at it: host-audit list; then: host-audit accept";
    BASELINE = "baseline" in "review", never:
        "what the run is compared with; or why with nothing", "put it back from a backup, or review everything anew";
    NOT_SEEN = "not-seen" in "audit", never:
        "something could not be looked at: nothing is known of it, and nothing of it is accepted",
        "run it as root on the host itself";
    CHECKED = "checked" in "audit":
        "what was looked at: passed, or not applicable", "nothing";

    EXPOSED_SERVICE = "exposed-service" in "sockets":
        "a service that must not face a network listens on more than the loopback address",
        "bind it to 127.0.0.1 or a socket file, or close its port in the firewall";
    NO_FILTER = "no-filter" in "firewall":
        "no rule keeps anybody from any port", "load a ruleset whose input policy is drop";
    IPV6_UNFILTERED = "ipv6-unfiltered" in "firewall":
        "IPv4 is filtered and IPv6 is not", "use a table of family inet, or load the same rules with ip6tables";
    TWO_STACKS = "two-stacks" in "firewall":
        "iptables-legacy and nftables both hold rules, and each sees only its own",
        "move the rules into one of them: iptables-legacy-save shows what nft does not";
    PUBLISHED_PAST_FIREWALL = "published-past-firewall" in "firewall", by_name:
        "a port is forwarded to a container, past the rules for incoming packets",
        "publish it on 127.0.0.1, or drop it in the chain DOCKER-USER";
    UFW_NOT_LOADED = "ufw-not-loaded" in "firewall":
        "ufw is enabled, and its chains are not in the kernel", "ufw reload; then see why it was not loaded";
    UFW_LEFTOVER = "ufw-leftover" in "firewall":
        "ufw is disabled, and its chains are still in the kernel", "ufw disable, or reboot";
    PORT_NOT_JUDGED = "port-not-judged" in "firewall", by_name:
        "a rule decides over this port that is not read here, so it is not known whether it is open",
        "try it from outside, and accept it with the result as the reason";

    DELETED_PROGRAM = "deleted-program" in "processes":
        "a process runs a program whose file is gone", "keep a copy: cp /proc/PID/exe; then find out who removed it";
    PROGRAM_IN_MEMORY = "program-in-memory" in "processes":
        "a process runs a program that never was a file", "keep a copy: cp /proc/PID/exe; then find out who started it";
    PROGRAM_IN_TMP = "program-in-tmp" in "processes":
        "a process runs a program from a folder that everybody writes to", "keep a copy, then stop it";
    FALSE_KERNEL_THREAD = "false-kernel-thread" in "processes":
        "a process has the name of a kernel thread and is none", "look at /proc/PID/exe: this is how malware hides";
    UNKNOWN_USER = "unknown-user" in "processes":
        "a process runs as a user that has no account", "find out whose it is, and give it an account or stop it";

    SECOND_ROOT = "second-root" in "accounts":
        "an account beside root has the number 0, and with it every right", "remove it, or give it a number of its own";
    DUPLICATE_UID = "duplicate-uid" in "accounts":
        "two accounts have one number: to the kernel they are one", "give one of them another number";
    EMPTY_PASSWORD = "empty-password" in "accounts":
        "an account opens without a password", "passwd -l NAME";
    OLD_HASH = "old-password-hash" in "accounts":
        "a password is stored under an old hash that is quickly guessed", "have it changed";
    SERVICE_LOGIN = "service-login" in "accounts", by_name:
        "an account of a service has a password and a shell", "usermod -s /usr/sbin/nologin -L NAME";

    SUDO_WITHOUT_PASSWORD = "sudo-without-password" in "root", by_name:
        "a rule of sudo gives every command without a password", "take NOPASSWD away, or name single commands";

    DAMAGED_RECORDS = "damaged-records" in "logins":
        "a file of logins holds bytes that are no record, after a crash or because somebody edited it",
        "keep a copy of the file; last(1) stops there and shows nothing before";
    IMPLAUSIBLE_TIME = "implausible-time" in "logins":
        "a record of a login has a time that cannot be", "look at the clock, and at who may write the file";

    SSHD_ROOT_LOGIN = "sshd-root-login" in "sshd":
        "root may log in with a password", "PermitRootLogin no, or prohibit-password";
    SSHD_PASSWORDS = "sshd-passwords" in "sshd":
        "passwords are taken from the network", "PasswordAuthentication no, once everybody has a key";
    SSHD_EMPTY_PASSWORDS = "sshd-empty-passwords" in "sshd":
        "an account without a password may log in", "PermitEmptyPasswords no";
    SSHD_WEAK_CRYPTO = "sshd-weak-crypto" in "sshd":
        "an algorithm that is broken or too short is offered", "take it out of Ciphers, MACs or KexAlgorithms";
    SSHD_LOOSE = "sshd-loose" in "sshd":
        "a setting trusts what a client or another host says", "take the line out: the default is stricter";
    SSHD_CANNOT_RESTART = "sshd-cannot-restart" in "sshd":
        "the configuration has a fault: the running server lives, and will not start again",
        "correct the line before anybody reboots: sshd -t";

    FILE_OPEN = "file-open" in "files":
        "a file that must be closed can be read or written by others", "chmod and setfacl -b, then change the secret";
    PARENT_OPEN = "parent-open" in "files":
        "a folder above a file that must be closed is writable by others, who can replace it",
        "chmod go-w on the folder";
    FILE_LINK = "file-link" in "files":
        "a file that must be closed is a link to another place", "put the file itself there";
    FILE_HARD_LINK = "file-hard-link" in "files":
        "a secret has a second name, which keeps it when the first is removed", "find the other: find / -samefile FILE";
    FILE_OWNER = "file-owner" in "files":
        "a file that must be closed belongs to somebody else", "chown it, then find out since when";
    FILE_ODD = "file-odd" in "files":
        "where a file should be is something else", "find out who put it there";

    KERNEL_SETTING = "kernel-setting" in "kernel":
        "a kernel setting is weaker than the usual one", "set it in /etc/sysctl.d, then: sysctl --system";

    SECURITY_UPDATES = "security-updates" in "updates":
        "security updates wait", "apt-get upgrade; a kernel wants a reboot";
    HELD_PACKAGE = "held-package" in "updates", by_name:
        "a package is held back, also from its security updates", "apt-mark unhold NAME, or say why not";
    LISTS_OLD = "lists-old" in "updates":
        "the package lists are old: what is missing here may have come since", "apt-get update; is apt-daily.timer on?";
    UNATTENDED_OFF = "unattended-off" in "updates":
        "unattended-upgrades is installed and does not run", "dpkg-reconfigure unattended-upgrades; systemctl enable --now apt-daily-upgrade.timer";
    PACKAGES_BROKEN = "packages-broken" in "updates":
        "packages are half installed", "dpkg --audit; dpkg --configure -a";
    REBOOT_PENDING = "reboot-pending" in "updates":
        "a newer kernel is installed than the one that runs", "reboot when it suits";
    RESTART_PENDING = "restart-pending" in "updates":
        "a service still runs the old version of what was updated", "systemctl restart it";
    END_OF_LIFE = "end-of-life" in "updates":
        "the distribution gets no security updates any more", "upgrade to the next release";

    FAILED_UNIT = "failed-unit" in "units":
        "a unit of systemd has failed", "systemctl status UNIT; then: systemctl reset-failed";
}

/// Every rule.
pub(crate) fn all_rules() -> &'static [&'static toban_core::check::Rule] {
    RULES
}

/// Whether it tells what changed since the review.
pub(crate) fn is_change(rule: &toban_core::check::Rule) -> bool {
    rule.check == "change"
}
