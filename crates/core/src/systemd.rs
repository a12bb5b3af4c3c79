//! What systemd is told while a job or a service runs (sd_notify(3)).

/// One line for `systemctl status` (sd_notify STATUS=); nothing when systemd does not listen.
pub fn show_status(text: &str) {
    // An error means that nobody listens, which is no trouble of ours.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&crate::out::escape(text))]);
}

/// Tells systemd that a service is up (READY=1).
pub fn notify_ready() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells systemd's watchdog that a service is alive (WATCHDOG=1).
pub fn notify_alive() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
}

/// Tells systemd that a service is on its way down (STOPPING=1).
pub fn notify_stopping() {
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
}
