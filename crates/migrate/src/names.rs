//! Names in PostgreSQL: short enough, free, snake_case.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Bytes of a name in PostgreSQL.
const MOST: usize = 63;

/// The same name, or one of 63 bytes that ends in a hash of the whole: always the same one.
pub fn short_name(name: &str) -> String {
    let name = name.replace('\0', "");
    if name.len() <= MOST {
        return name;
    }
    // PostgreSQL would cut a longer name itself (NAMEDATALEN), and two that differ at their ends would be one.
    let hash: String = toban_core::sum::hex(&Sha256::digest(name.as_bytes())[..4]);
    format!("{}_{hash}", &name[..name.floor_char_boundary(MOST - 9)])
}

/// A name that nothing in `taken` has; it is added there.
pub fn free_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = short_name(name);
    let mut n = 1;
    while !taken.insert(candidate.clone()) {
        n += 1;
        candidate = short_name(&format!("{name}_{n}"));
    }
    candidate
}

/// `userId` as `user_id`; what is neither letter nor digit becomes `_`.
pub fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|b| chars[b]);
        let after = chars.get(at + 1);
        let starts = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase()
                    || b.is_ascii_digit()
                    || (b.is_uppercase() && after.is_some_and(|a| a.is_lowercase()))
            });
        if starts {
            out.push('_');
        }
        match c.is_alphanumeric() {
            true => out.extend(c.to_lowercase()),
            false => out.push('_'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        let cases = [
            ("userId", "user_id"),
            ("HTTPServer", "http_server"),
            ("a b-c", "a_b_c"),
            ("Item2Name", "item2_name"),
            ("ok", "ok"),
        ];
        cases.iter().for_each(|(given, expected)| assert_eq!(snake_case(given), *expected));
    }
}
