//! What a configuration file says of other files: directives of any of them, and `@file` in pg_hba.conf and
//! pg_ident.conf.

/// Other files that a line names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Include {
    File(String),
    /// Every `*.conf` in it.
    Folder(String),
}

/// Whose rules a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// postgresql.conf: `name = 'value'`.
    Settings,
    /// pg_hba.conf, pg_ident.conf: words, some of which may be `@file`.
    Rules,
}

/// All that `text` names.
pub(crate) fn find_includes(text: &str, syntax: Syntax) -> Vec<Include> {
    match syntax {
        Syntax::Settings => text.lines().filter_map(parse_directive).collect(),
        Syntax::Rules => {
            // A backslash at its end continues a line.
            let text = text.replace("\\\n", "");
            text.lines().flat_map(|line| parse_directive(line).into_iter().chain(find_lists(line))).collect()
        }
    }
}

/// The line with another path, where it includes what `moved` knows another place of.
pub(crate) fn moved_line(
    line: &str,
    syntax: Syntax,
    moved: impl Fn(&Include) -> Option<String>,
) -> Option<String> {
    let to = moved(&parse_directive(line)?)?;
    let word = line.trim_start().split(|c: char| c.is_whitespace() || c == '=').next()?;
    Some(match syntax {
        Syntax::Settings => format!("{word} = {}", toban_core::pg::quote_setting(&to)),
        Syntax::Rules => format!("{word} \"{to}\""),
    })
}

/// `include 'x'`, `include_if_exists = 'x'`, `include_dir 'x'`; pg_hba.conf has them from 16 on, quotes optional.
fn parse_directive(line: &str) -> Option<Include> {
    let (name, value) = parse_assignment(line).filter(|(_, value)| !value.is_empty())?;
    match name.to_ascii_lowercase().as_str() {
        "include" | "include_if_exists" => Some(Include::File(value)),
        "include_dir" => Some(Include::Folder(value)),
        _ => None,
    }
}

/// The name and the value of a line `name = 'value'` or `name value`, as postgresql.conf has them.
pub(crate) fn parse_assignment(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start().trim_start_matches('=').trim_start();
    let value = match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => unquote_value(&rest[1..], quote),
        _ => rest.split(['#', ' ', '\t']).next()?.to_string(),
    };
    (!name.starts_with('#') && !name.is_empty()).then_some((name, value))
}

/// Up to the quote that ends it; one that is doubled or follows a backslash is of the value.
fn unquote_value(text: &str, quote: char) -> String {
    let (mut value, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            c if c == quote && chars.peek() == Some(&quote) => value.extend(chars.next()),
            c if c == quote => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    value
}

/// `@file` as a word or in a list of words; the name may be quoted, the `@` may not.
fn find_lists(line: &str) -> Vec<Include> {
    let mut found = Vec::new();
    let (mut word, mut quoted, mut list) = (String::new(), false, false);
    for c in line.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            '@' if word.is_empty() && !quoted && !list => list = true,
            '#' if !quoted => break,
            c if !quoted && (c.is_whitespace() || c == ',') => {
                let name = std::mem::take(&mut word);
                found.extend((list && !name.is_empty()).then_some(Include::File(name)));
                list = false;
            }
            c => word.push(c),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Include {
        Include::File(path.into())
    }

    #[test]
    fn directives_as_postgresql_reads_them() {
        assert_eq!(parse_directive("include 'a b.conf' # why"), Some(file("a b.conf")));
        assert_eq!(parse_directive("  Include_If_Exists='x.conf'"), Some(file("x.conf")));
        assert_eq!(parse_directive("include_dir 'conf.d'"), Some(Include::Folder("conf.d".into())));
        assert_eq!(parse_directive("include \"hba x\""), Some(file("hba x")));
        for other in ["#include 'x'", "included = 'x'", "local all all trust", "", "include"] {
            assert_eq!(parse_directive(other), None, "{other}");
        }
    }

    #[test]
    fn a_directive_leads_to_another_place() {
        let moved = |i: &Include| {
            matches!(i, Include::File(f) if f.starts_with('/')).then(|| "/new/it's".to_string())
        };
        let line = |text, syntax| moved_line(text, syntax, moved);
        assert_eq!(
            line("  include '/old/x' # why", Syntax::Settings).as_deref(),
            Some("include = '/new/it''s'")
        );
        assert_eq!(line("include /old/x", Syntax::Rules).as_deref(), Some("include \"/new/it's\""));
        assert_eq!(line("include 'x'", Syntax::Settings), None);
        assert_eq!(line("work_mem = '/old/x'", Syntax::Settings), None);
    }

    #[test]
    fn lists_as_postgresql_reads_them() {
        let rules = "host @dbs,app @\"the admins\" ::1/128 md5 # @no\nlocal all \"@not\",\\\n@yes trust\n";
        assert_eq!(find_includes(rules, Syntax::Rules), ["dbs", "the admins", "yes"].map(file));
        assert_eq!(find_includes("log_line_prefix = '%m @x '", Syntax::Settings), []);
    }
}
