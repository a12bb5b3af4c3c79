//! What frameworks call the columns of their accounts, the likeliest first; compared without case and underscores.

use crate::source::Field;

/// What a column must be able to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Any,
    Text,
    Time,
    Flag,
    /// A time or a flag.
    Mark,
}

/// Keys of a mapping that are columns of the accounts.
pub(super) const COLUMNS: [(&str, Want, &[&str]); 12] = [
    (
        "email",
        Want::Text,
        &["delivery_email", "email", "email_address", "mail", "e_mail", "user_email", "primary_email"],
    ),
    (
        "login",
        Want::Text,
        &["username", "user_name", "login", "user_login", "login_name", "account_name", "name"],
    ),
    ("active", Want::Flag, &["is_active", "active", "enabled", "is_enabled", "activated", "is_activated"]),
    (
        "disabled",
        Want::Flag,
        &[
            "disabled",
            "is_disabled",
            "banned",
            "is_banned",
            "blocked",
            "is_blocked",
            "block",
            "suspended",
            "is_suspended",
            "deactivated",
            "is_deactivated",
            "inactive",
            "is_inactive",
            "is_locked",
            "locked",
            "prohibit_login",
            "archived",
            "is_archived",
        ],
    ),
    (
        "created",
        Want::Time,
        &[
            "created_at",
            "date_joined",
            "created",
            "created_on",
            "created_date",
            "create_date",
            "created_timestamp",
            "created_unix",
            "create_at",
            "createdat",
            "registered_at",
            "registered",
            "user_registered",
            "register_date",
            "registration_date",
            "joined_at",
            "inserted_at",
            "date_created",
            "date_creation",
            "creation_date",
            "created_time",
            "creation_time",
            "creation_ts",
            "time_created",
            "user_registration",
            "user_regdate",
            "signup_date",
            "createdatetime",
        ],
    ),
    (
        "password",
        Want::Text,
        &[
            "password_hash",
            "hashed_password",
            "encrypted_password",
            "password_digest",
            "password",
            "passwd",
            "pass",
            "user_pass",
            "user_password",
            "pwd_hash",
            "pwd",
            "pass_hash",
            "crypted_password",
        ],
    ),
    (
        "password_changed",
        Want::Time,
        &[
            "password_changed_at",
            "password_updated_at",
            "password_set_at",
            "password_changed",
            "password_changed_on",
            "password_change_date",
            "password_last_changed",
            "password_last_changed_at",
            "last_password_change",
            "last_password_changed_at",
            "last_password_update",
            "password_last_update",
            "password_modified_at",
            "password_last_set",
            "password_date",
            "pwd_changed",
            "pwd_changed_at",
            "passwd_changed_on",
            "passwd_changed_at",
            "user_passchg",
        ],
    ),
    (
        "deleted",
        Want::Mark,
        &[
            "deleted_at",
            "deleted",
            "is_deleted",
            "delete_at",
            "removed_at",
            "discarded_at",
            "deleted_on",
            "date_deleted",
            "is_removed",
            "deletion_date",
        ],
    ),
    (
        "locked_until",
        Want::Time,
        &[
            "locked_until",
            "lockout_end",
            "lockout_end_date_utc",
            "banned_until",
            "ban_expires",
            "ban_expires_at",
            "suspended_till",
            "suspended_until",
            "lock_expires_at",
            "lock_expiration_date",
            "account_locked_until",
            "blocked_until",
        ],
    ),
    (
        "locked_since",
        Want::Time,
        &[
            "locked_at",
            "banned_at",
            "blocked_at",
            "suspended_at",
            "disabled_at",
            "deactivated_at",
            "archived_at",
        ],
    ),
    (
        "mfa",
        Want::Any,
        &[
            "mfa_enabled",
            "is_mfa_enabled",
            "two_factor_enabled",
            "two_factor_activated",
            "is_two_factor_enabled",
            "otp_required_for_login",
            "mfa_active",
            "totp_enabled",
            "is_totp_enabled",
            "is_2fa_enabled",
            "twofa_enabled",
            "otp_enabled",
            "two_factor_confirmed_at",
            "tf_primary_method",
            "twofa_scheme",
            "tfa_secret",
            "otp_secret",
            "totp_secret",
            "mfa_secret",
            "two_factor_secret",
        ],
    ),
    (
        "admin_flag",
        Want::Flag,
        &[
            "is_superuser",
            "is_admin",
            "admin",
            "superuser",
            "is_super_admin",
            "super_admin",
            "is_administrator",
            "sysadmin",
            "sysadmin_flag",
            "is_sysadmin",
            "super_user",
        ],
    ),
];

/// The login that is on now or was the last: where they are there, `last_sign_in_at` is the one before.
pub(super) const CURRENT: [&str; 4] =
    ["current_sign_in_at", "current_login_at", "current_signin_at", "current_login"];
/// The last login.
pub(super) const LAST: [&str; 24] = [
    "last_login_at",
    "last_login",
    "last_login_on",
    "last_login_date",
    "last_login_time",
    "last_login_unix",
    "last_login_timestamp",
    "last_logged_in_at",
    "last_logged_in",
    "last_sign_in_at",
    "last_sign_in",
    "last_signin_at",
    "last_signed_in_at",
    "last_logon",
    "last_logon_at",
    "last_logon_date",
    "last_logon_time",
    "last_successful_login",
    "last_successful_login_at",
    "last_authenticated_at",
    "last_auth_at",
    "logged_in_at",
    "last_login_datetime",
    "lastlogindate",
];
/// Any sign of life, of which a login is one.
pub(super) const SEEN: [&str; 17] = [
    "last_seen_at",
    "last_seen",
    "last_active_at",
    "last_active",
    "last_activity_at",
    "last_activity",
    "last_access",
    "last_accessed_at",
    "last_access_at",
    "last_visit_at",
    "last_visit",
    "last_visit_date",
    "last_visited_at",
    "last_online",
    "last_activity_date",
    "last_online_at",
    "user_last_active",
];
/// Columns that name roles.
pub(super) const ROLE: [&str; 9] = [
    "roles",
    "role",
    "role_slug",
    "user_role",
    "user_roles",
    "role_name",
    "authorities",
    "role_names",
    "app_role",
];
/// Words of statuses that mean yes.
pub(super) const ACTIVE: [&str; 10] = [
    "active",
    "enabled",
    "ok",
    "normal",
    "confirmed",
    "verified",
    "live",
    "activated",
    "approved",
    "current",
];

/// A name without case and underscores.
pub(super) fn squeeze_name(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a name, without their plural.
pub(super) fn split_words(name: &str) -> Vec<String> {
    let (mut all, mut word, mut before) = (Vec::new(), String::new(), ' ');
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            all.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    all.push(word);
    let singular = |w: String| match w.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => w.strip_suffix('s').filter(|s| !s.ends_with('s')).map(String::from).unwrap_or(w),
    };
    all.into_iter().filter(|w| !w.is_empty()).map(singular).collect()
}

impl Want {
    /// Whether a column of this type can hold it; SQLite's columns hold anything.
    pub(super) fn fits(self, kind: &str) -> bool {
        let has = |parts: &[&str]| parts.iter().any(|p| kind.contains(p));
        let boolean = has(&["bool", "tinyint", "bit"]);
        let number = has(&["int", "numeric", "serial", "double", "real", "decimal"]);
        let time = has(&["timestamp", "date"]) || kind == "time";
        let words = has(&["char", "text", "citext", "string", "clob"]) || kind == "enum";
        match self {
            _ if kind.is_empty() => true,
            Want::Any => true,
            Want::Text => words && !time,
            Want::Time => (time || number || words) && !boolean && kind != "enum",
            Want::Flag => boolean || has(&["int"]),
            Want::Mark => boolean || time || number,
        }
    }
}

/// The column with the first of these names that can hold what is wanted.
pub(super) fn find_first<'a>(names: &[&str], want: Want, columns: &'a [Field]) -> Option<&'a Field> {
    names
        .iter()
        .find_map(|n| columns.iter().find(|c| squeeze_name(&c.name) == squeeze_name(n) && want.fits(&c.kind)))
}
