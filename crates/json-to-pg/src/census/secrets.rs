//! What must not be printed, and how passwords are hashed.

/// Words of a name whose values are secret.
const SECRET: [&str; 10] =
    ["password", "passwd", "pwd", "secret", "token", "session", "api_key", "apikey", "private_key", "hash"];

/// Whether values of this path are never shown.
pub(crate) fn is_secret(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    SECRET.iter().any(|word| lower.contains(word))
}

/// Whether a member holds passwords or their hashes.
pub(crate) fn is_password(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["password", "passwd", "pwd"].iter().any(|word| lower.contains(word))
        && !["_at", "_changed", "reset", "expire", "must_", "hint"].iter().any(|word| lower.contains(word))
}

/// The scheme of a password's hash; `plain` is no hash at all.
pub(crate) fn hash_scheme(text: &str) -> &'static str {
    let prefixes = [
        ("$2a$", "bcrypt"),
        ("$2b$", "bcrypt"),
        ("$2y$", "bcrypt"),
        ("$argon2", "argon2"),
        ("argon2", "argon2"),
        ("scrypt:", "scrypt"),
        ("$scrypt$", "scrypt"),
        ("pbkdf2:", "pbkdf2"),
        ("pbkdf2_", "pbkdf2"),
        ("$pbkdf2", "pbkdf2"),
        ("bcrypt", "bcrypt"),
        ("$5$", "sha256-crypt"),
        ("$6$", "sha512-crypt"),
        ("$y$", "yescrypt"),
        ("{SSHA", "salted SHA"),
    ];
    match prefixes.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        Some((_, scheme)) => scheme,
        None if text.is_empty() => "empty",
        None if text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) => "unsalted digest",
        None => "plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_by_their_form() {
        let cases = [
            ("$2b$12$abcdefghijklmnopqrstuv", "bcrypt"),
            ("$argon2id$v=19$m=65536", "argon2"),
            ("scrypt:32768:8:1$salt$00", "scrypt"),
            ("pbkdf2:sha256:600000$x$00", "pbkdf2"),
            ("pbkdf2_sha256$600000$x$00", "pbkdf2"),
            ("5f4dcc3b5aa765d61d8327deb882cf99", "unsalted digest"),
            ("hunter2", "plain"),
            ("", "empty"),
        ];
        cases.iter().for_each(|(text, scheme)| assert_eq!(hash_scheme(text), *scheme, "{text}"));
    }

    #[test]
    fn names_of_secrets() {
        for path in ["password_hash", "mfa_secret", "details.access_token", "session_id", "Password"] {
            assert!(is_secret(path), "{path}");
        }
        assert!(
            !is_secret("full_name") && is_password("password_hash") && !is_password("password_changed_at")
        );
    }
}
