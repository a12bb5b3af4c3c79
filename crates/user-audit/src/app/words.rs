//! The roles that one cell names: a word, a list, JSON, an array of PostgreSQL, what PHP serializes.

use serde_json::Value;

/// Every role in the cell, in its order.
pub(crate) fn roles_in(cell: &str) -> Vec<String> {
    let cell = cell.trim();
    let json = || serde_json::from_str::<Value>(cell).ok();
    let found = match cell.as_bytes() {
        [] => Vec::new(),
        [b'[', ..] | [b'{', .., b'}'] | [b'"', ..] if json().is_some() => {
            json().map(|v| of_json(&v)).unwrap_or_default()
        }
        [b'{', inner @ .., b'}'] => of_array(std::str::from_utf8(inner).unwrap_or_default()),
        [b'a', b':', b'0'..=b'9', ..] if cell.ends_with('}') => of_php(cell),
        _ => cell.split([',', ';', '|']).map(String::from).collect(),
    };
    let trimmed = found.iter().map(|w| w.trim().to_string());
    trimmed.filter(|w| !w.is_empty()).collect()
}

/// Texts, the names of objects, and keys whose value says yes.
fn of_json(value: &Value) -> Vec<String> {
    const NAMES: [&str; 6] = ["name", "role", "code", "slug", "roles", "authority"];
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(n) => vec![n.to_string()],
        Value::Array(all) => all.iter().flat_map(of_json).collect(),
        Value::Object(fields) => match NAMES.iter().find_map(|n| fields.get(*n)) {
            Some(named) => of_json(named),
            None => {
                let yes = |v: &Value| !matches!(v, Value::Bool(false) | Value::Null) && v.as_i64() != Some(0);
                fields.iter().filter(|(_, v)| yes(v)).map(|(k, _)| k.clone()).collect()
            }
        },
        Value::Bool(_) | Value::Null => Vec::new(),
    }
}

/// `admin,"a, b",NULL` of an array's text.
fn of_array(inner: &str) -> Vec<String> {
    let (mut found, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => word.extend(chars.next()),
            ',' if !quoted => found.push(std::mem::take(&mut word)),
            '{' | '}' if !quoted => {}
            c => word.push(c),
        }
    }
    found.push(word);
    found.retain(|w| w != "NULL");
    found
}

/// `a:1:{s:13:"administrator";b:1;}`: every text, but the keys whose value is false.
fn of_php(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in text.split("s:").skip(1) {
        let Some((name, after)) = piece.split_once(":\"").and_then(|(_, rest)| rest.split_once('"')) else {
            continue;
        };
        if !after.starts_with(";b:0") {
            found.push(name.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::roles_in;

    #[test]
    fn however_an_application_writes_them() {
        for (cell, roles) in [
            ("admin", vec!["admin"]),
            (" Super Admin ", vec!["Super Admin"]),
            ("admin,editor", vec!["admin", "editor"]),
            ("admin; editor|x", vec!["admin", "editor", "x"]),
            (r#"["admin", "user"]"#, vec!["admin", "user"]),
            (r#"[{"id": 1, "name": "admin"}, {"role": "x"}]"#, vec!["admin", "x"]),
            (r#"{"admin": true, "editor": false, "x": 1}"#, vec!["admin", "x"]),
            (r#"{"roles": ["admin"]}"#, vec!["admin"]),
            (r#""admin""#, vec!["admin"]),
            ("{admin,user}", vec!["admin", "user"]),
            (r#"{"a, b",NULL,c\"d}"#, vec!["a, b", "c\"d"]),
            (r#"a:1:{s:13:"administrator";b:1;}"#, vec!["administrator"]),
            (r#"a:2:{s:6:"editor";b:0;s:5:"admin";b:1;}"#, vec!["admin"]),
            (r#"a:1:{i:0;s:10:"ROLE_ADMIN";}"#, vec!["ROLE_ADMIN"]),
            ("", vec![]),
            ("{}", vec![]),
            ("[]", vec![]),
            ("7", vec!["7"]),
        ] {
            assert_eq!(roles_in(cell), roles, "{cell}");
        }
    }
}
