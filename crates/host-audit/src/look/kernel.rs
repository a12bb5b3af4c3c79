//! Kernel settings: what they are, and which are weaker than usual.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, Sight, Unseen};
use crate::rules;
use crate::subject::HostSubject;
use toban_core::Severity;

/// A setting, and the values that are well; none where only a change matters.
struct KernelSetting {
    name: &'static str,
    well: &'static [&'static str],
    why: &'static str,
}

const fn setting(name: &'static str, well: &'static [&'static str], why: &'static str) -> KernelSetting {
    KernelSetting { name, well, why }
}

/// CIS Debian 12, sections 1.5 and 3.3, and those that open the kernel itself.
const SETTINGS: [KernelSetting; 24] = [
    setting("kernel.randomize_va_space", &["2"], "addresses of programs can be guessed"),
    setting("kernel.kptr_restrict", &["1", "2"], "addresses of the kernel are readable"),
    setting("kernel.dmesg_restrict", &["1"], "everybody reads the kernel's messages"),
    setting("kernel.yama.ptrace_scope", &["1", "2", "3"], "processes of one user read each other's memory"),
    setting("kernel.unprivileged_bpf_disabled", &["1", "2"], "everybody loads programs into the kernel"),
    setting("kernel.sysrq", &[], ""),
    setting("kernel.modules_disabled", &[], ""),
    setting("kernel.core_pattern", &[], ""),
    setting("fs.protected_hardlinks", &["1"], "links to files of others can be made"),
    setting("fs.protected_symlinks", &["1"], "links in /tmp are followed for others"),
    setting("fs.protected_fifos", &["1", "2"], "pipes of others in /tmp are opened"),
    setting("fs.protected_regular", &["1", "2"], "files of others in /tmp are opened"),
    setting("fs.suid_dumpable", &["0", "2"], "memory of setuid programs is dumped"),
    setting("net.ipv4.ip_forward", &[], ""),
    setting("net.ipv4.tcp_syncookies", &["1", "2"], "a flood of SYN fills the queue"),
    setting("net.ipv4.conf.all.rp_filter", &[], ""),
    setting("net.ipv4.conf.all.accept_redirects", &["0"], "neighbours change routes"),
    setting("net.ipv4.conf.all.send_redirects", &["0"], "a host that is no router tells others their route"),
    setting("net.ipv4.conf.all.accept_source_route", &["0"], "senders choose the route"),
    setting("net.ipv4.icmp_echo_ignore_broadcasts", &["1"], "the host answers to broadcasts"),
    setting("net.ipv6.conf.all.forwarding", &[], ""),
    setting("net.ipv6.conf.all.accept_redirects", &["0"], "neighbours change routes"),
    setting("net.ipv6.conf.all.accept_source_route", &["0"], "senders choose the route"),
    setting("net.ipv6.conf.all.disable_ipv6", &[], ""),
];

/// A name and its value, as /proc/sys has it.
#[derive(Debug)]
pub(crate) struct KernelValue {
    name: &'static str,
    value: String,
}

/// Reads them; one that this kernel does not have is left out.
pub(crate) fn read_kernel(host: &HostView) -> Sight<Vec<KernelValue>> {
    let mut values = Vec::new();
    for setting in &SETTINGS {
        if let Some(text) = host.read_some(&format!("/proc/sys/{}", setting.name.replace('.', "/")))? {
            values.push(KernelValue { name: setting.name, value: text.trim().into() });
        }
    }
    match values.is_empty() {
        true => Err(Unseen::new("/proc/sys", "it is empty").cure("a unit needs ProcSubset=all")),
        false => Ok(values),
    }
}

/// Facts of all, and findings of what is weak.
pub(crate) fn judge_kernel(values: &[KernelValue], report: &mut SubjectReport) {
    report.looked_at = format!("{} settings", values.len());
    for KernelValue { name, value } in values {
        report.facts.push(HostFact::new(*name, value).says(format!("{name} = {value}")));
        let weak = SETTINGS
            .iter()
            .find(|s| s.name == *name && !s.well.is_empty() && !s.well.contains(&value.as_str()));
        report.findings.extend(weak.map(|s| {
            HostFinding::new(HostSubject::Kernel, &rules::KERNEL_SETTING, name, Severity::Warning)
                .says(format!("{name} = {value}: {}", s.why))
                .advise(format!(
                    "{name} = {} in /etc/sysctl.d/60-toban.conf, then: sysctl --system",
                    s.well[0]
                ))
        }));
    }
}
