//! A crate's production code as text that can be measured: without tests, and beside each file a copy in which
//! comments and literals are crossed out, so that what is found there is code.

use crate::sh::Result;
use std::path::Path;

/// One file of a crate, without its tests.
pub(super) struct Source {
    /// From the repository's folder.
    pub(super) path: String,
    /// The module, as its path from the crate's root: `["store", "s3"]`.
    pub(super) module: Vec<String>,
    /// As it was written, with empty lines for tests, so that lines keep their numbers.
    pub(super) text: String,
    /// Of the same length and lines, with blanks for comments and quotes for what stands in quotes.
    pub(super) code: String,
    test_lines: usize,
}

impl Source {
    pub(super) fn new(path: &str, module: Vec<String>, text: &str) -> Source {
        let (text, test_lines) = without_tests(text);
        let code = blank_literals(&text);
        Source { path: path.to_string(), module, text, code, test_lines }
    }

    pub(super) fn lines(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// Lines with something to compile on them.
    pub(super) fn code_lines(&self) -> usize {
        self.code.lines().filter(|l| !l.trim().is_empty()).count()
    }

    /// Lines of comments that say why: no doc comments, which say what a caller gets.
    pub(super) fn why_lines(&self) -> usize {
        let is_why =
            |line: &str| line.starts_with("//") && !line.starts_with("///") && !line.starts_with("//!");
        self.text.lines().filter(|l| is_why(l.trim_start())).count()
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }
}

/// The files below `src` of a crate, without modules that are compiled for tests alone.
pub(super) fn read_crate(root: &Path, src: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut for_tests = Vec::new();
    for file in super::files(src, "rs")? {
        let text = super::read(&file)?;
        let module = module_of(file.strip_prefix(src).unwrap_or(&file));
        for_tests.extend(test_modules(&text).into_iter().map(|name| [module.clone(), vec![name]].concat()));
        sources.push(Source::new(&super::shown(root, &file), module, &text));
    }
    sources.retain(|s| !for_tests.iter().any(|t| s.module.starts_with(t)));
    Ok(sources)
}

fn module_of(path: &Path) -> Vec<String> {
    let names = path.with_extension("");
    let names: Vec<String> = names.iter().map(|n| n.to_string_lossy().into_owned()).collect();
    match names.split_last() {
        Some((last, folders)) if ["lib", "main", "mod"].contains(&last.as_str()) => folders.to_vec(),
        _ => names,
    }
}

const TEST: &str = "#[cfg(test)]";

/// The names of modules in files of their own that only tests have.
fn test_modules(text: &str) -> Vec<String> {
    let items = text.split(TEST).skip(1).filter_map(|rest| rest.split_once([';', '{']));
    let names = items.filter_map(|(item, _)| item.split_once("mod "));
    names.map(|(_, name)| name.to_string()).filter(|name| name.chars().all(is_word)).collect()
}

/// The text with empty lines for the items that are compiled for tests alone, and how many these are.
fn without_tests(text: &str) -> (String, usize) {
    let code = blank_literals(text);
    let (mut kept, mut test_lines, mut from) = (String::new(), 0, 0);
    while let Some(at) = code[from..].find(TEST).map(|n| from + n) {
        let begin = line_start(text, at);
        let end = item_end(&code, at + TEST.len());
        let end = text[end..].find('\n').map_or(text.len(), |n| end + n + 1);
        let lines = text[begin..end].lines().count();
        kept += &text[from..begin];
        kept += &"\n".repeat(lines);
        test_lines += lines;
        from = end;
    }
    (kept + &text[from..], test_lines)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

/// After the item that begins at `at`: its closing brace, or its semicolon.
fn item_end(code: &str, at: usize) -> usize {
    match code[at..].find(['{', ';']).map(|n| at + n) {
        Some(brace) if code[brace..].starts_with('{') => closing(code, brace).map_or(code.len(), |n| n + 1),
        Some(semicolon) => semicolon + 1,
        None => code.len(),
    }
}

/// Where the bracket that opens at `open` is closed.
pub(super) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + at);
        }
    }
    None
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands as a word of its own.
pub(super) fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let alone =
        move |at: &usize| !code[..*at].ends_with(is_word) && !code[*at + word.len()..].starts_with(is_word);
    code.match_indices(word).map(|(at, _)| at).filter(alone)
}

/// The name that begins at `at`, after blanks.
pub(super) fn name_at(code: &str, at: usize) -> &str {
    let rest = code[at..].trim_start();
    &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
}

/// The text with blanks for comments and quotes for what stands in quotes; lines and offsets stay.
fn blank_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (length, fill) = next_token(rest, code.ends_with(is_word));
        let (token, after) = rest.split_at(length);
        match fill {
            None => code.push_str(token),
            Some(fill) => code.extend(token.bytes().map(|b| if b == b'\n' { '\n' } else { fill })),
        }
        rest = after;
    }
    code
}

/// How long the token is that begins here, and what stands for its bytes where it is no code.
fn next_token(rest: &str, inside_word: bool) -> (usize, Option<char>) {
    let comment = match rest.get(..2) {
        Some("//") => rest.find('\n').or(Some(rest.len())),
        Some("/*") => Some(block_comment(rest)),
        _ => None,
    };
    if let Some(length) = comment {
        return (length, Some(' '));
    }
    let literal = match rest.chars().next() {
        Some('"') => Some(quoted(rest, '"')),
        Some('\'') => char_literal(rest),
        Some('r') if !inside_word => raw_string(rest),
        // br"…": the b alone is a word, and then the r is inside of it.
        Some('b') if !inside_word => raw_string(&rest[1..]).map(|n| n + 1),
        _ => None,
    };
    match literal {
        Some(length) => (length, Some('"')),
        None => (rest.chars().next().map_or(0, char::len_utf8), None),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    for (at, _) in rest.char_indices() {
        match rest.get(at..at + 2) {
            Some("/*") => depth += 1,
            Some("*/") if depth == 1 => return at + 2,
            Some("*/") => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of what stands in quotes of this kind, where a backslash takes the next character with it.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` and `'\n'`; nothing for a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let mut inside = rest.chars().skip(1);
    let first = inside.next()?;
    (first == '\\' || inside.next() == Some('\'')).then(|| quoted(rest, '\''))
}

/// `r"…"`, `r#"…"#`.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?.chars().take_while(|c| *c == '#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closed = body.find(&end).map_or(body.len(), |n| n + end.len());
    Some(2 + hashes + closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_blank() {
        let text =
            "let a = \"{ fn\"; // fn\nlet b = '{'; let c: &'a str = r#\"} \" fn\"#; /* fn\n{ */ d(b'\\'')";
        let code = blank_literals(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains("fn") && !code.contains('{') && !code.contains('}'), "{code}");
        assert!(code.contains("let c: &'a str =") && code.ends_with(')'), "{code}");
    }

    #[test]
    fn tests_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod of_tests;\n#[cfg(test)]\n#[derive(X)]\nstruct T {\n    a: u8,\n}\nfn b() {}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        assert_eq!(
            without_tests(text),
            (format!("fn a() {{}}{}fn b() {{}}\n{}", "\n".repeat(8), "\n".repeat(4)), 11)
        );
        assert_eq!(test_modules(text), ["of_tests"]);
    }

    #[test]
    fn modules_by_their_files() {
        let module = |path| module_of(Path::new(path)).join("::");
        assert_eq!(module("lib.rs"), "");
        assert_eq!(module("store/mod.rs"), "store");
        assert_eq!(module("store/s3.rs"), "store::s3");
    }
}
