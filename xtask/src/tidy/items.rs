//! The functions and types that a file defines, found by their brackets: rustfmt has no part in it.

use super::source::{Source, closing, is_word, name_at, words};

/// A function as it is written, with or without a body.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    /// From `fn` to the closing brace; none for the declaration in a trait.
    pub(super) lines: Option<usize>,
    /// The types of its parameters, `self` as `self`.
    pub(super) parameters: Vec<String>,
    /// It stands in `impl Trait for Type`: its name and parameters are the trait's.
    pub(super) of_trait: bool,
}

impl Function {
    /// A name that we chose and that a search for the word finds everywhere else too.
    pub(super) fn is_one_word(&self) -> bool {
        !self.of_trait && !self.name.trim_matches('_').contains('_')
    }

    pub(super) fn takes_tuple(&self) -> bool {
        !self.of_trait && self.parameters.iter().any(|p| is_tuple(p))
    }

    /// So many parameters beside `self` that it wants a struct of options.
    pub(super) fn takes_many(&self) -> bool {
        !self.of_trait && self.parameters.iter().filter(|p| *p != "self").count() >= 5
    }
}

pub(super) fn functions(source: &Source) -> Vec<Function> {
    let traits = trait_impls(&source.code);
    let at = words(&source.code, "fn");
    at.filter_map(|at| function_at(source, at, traits.iter().any(|t| t.contains(&at)))).collect()
}

fn function_at(source: &Source, at: usize, of_trait: bool) -> Option<Function> {
    let code = &source.code;
    let after = at + "fn".len();
    // `fn(u8) -> u8` is a type.
    let name = Some(name_at(code, after)).filter(|name| !name.is_empty())?;
    let open = after_generics(code, after + code[after..].find(name)? + name.len());
    let close = closing(code, open).filter(|_| code[open..].starts_with('('))?;
    let body = close + code[close..].find(['{', ';'])?;
    let end = closing(code, body).filter(|_| code[body..].starts_with('{'));
    let line = source.line_at(at);
    Some(Function {
        name: name.to_string(),
        line,
        lines: end.map(|end| source.line_at(end) - line + 1),
        parameters: split_list(&code[open + 1..close]).into_iter().map(parameter_type).collect(),
        of_trait,
    })
}

/// Past `<…>`, if it stands there; the `>` of an arrow closes nothing.
fn after_generics(code: &str, at: usize) -> usize {
    let mut depth = 0;
    for (n, c) in code[at..].char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !code[..at + n].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if c == '>' { at + n + 1 } else { at + n };
        }
    }
    code.len()
}

/// The parts between commas that stand in no bracket.
pub(super) fn split_list(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if list[..at].ends_with(['-', '=']) => {}
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts.into_iter().map(str::trim).filter(|p| !p.is_empty()).collect()
}

fn parameter_type(parameter: &str) -> String {
    // A pattern has no path in it, so the first colon ends it.
    let (pattern, of_type) = parameter.split_once(':').unwrap_or((parameter, ""));
    match pattern.split(|c| !is_word(c)).any(|word| word == "self") {
        true => "self".to_string(),
        false => of_type.trim().to_string(),
    }
}

/// `(A, B)`, `&(A, B)`, `&'a mut (A, B)`: more parameters than there seem to be.
fn is_tuple(of_type: &str) -> bool {
    let mut inner = of_type.trim_start_matches('&').trim_start();
    while let Some(rest) = inner.strip_prefix("mut ").or_else(|| after_lifetime(inner)) {
        inner = rest.trim_start();
    }
    inner.strip_prefix('(').is_some_and(|rest| split_list(rest.trim_end_matches(')')).len() > 1)
}

fn after_lifetime(of_type: &str) -> Option<&str> {
    of_type.strip_prefix('\'')?.split_once(' ').map(|(_, rest)| rest)
}

/// Where the bodies of `impl Trait for Type` lie.
fn trait_impls(code: &str) -> Vec<std::ops::Range<usize>> {
    let at =
        words(code, "impl").filter(|at| code[..*at].trim_end().ends_with(['}', ';', ']', '{']) || *at == 0);
    let bodies = at.filter_map(|at| {
        let open = at + code[at..].find('{')?;
        let is_trait =
            words(&code[at..open], "for").any(|n| !code[at + n + 3..].trim_start().starts_with('<'));
        is_trait.then_some(open..closing(code, open)?)
    });
    bodies.collect()
}

/// The names of the structs, enums and traits of a file.
pub(super) fn types(source: &Source) -> impl Iterator<Item = String> {
    let kinds = ["struct", "enum", "trait", "union"];
    kinds.into_iter().flat_map(|kind| {
        words(&source.code, kind)
            .map(|at| name_at(&source.code, at + kind.len()))
            .filter(|name| name.starts_with(|c: char| c.is_uppercase()))
            .map(String::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("a.rs", Vec::new(), text)
    }

    fn one(text: &str) -> Function {
        functions(&source(text)).pop().expect("a function")
    }

    #[test]
    fn functions_are_measured() {
        let text = "impl A {\n    pub(crate) fn one(&self) {\n        x('{');\n    }\n}\nfn two<T: Fn(u8) -> u8>(t: T)\nwhere\n    T: Copy,\n{\n}\ntrait B {\n    fn three();\n}\ntype F = fn(u8);\n";
        let found = functions(&source(text));
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 2, Some(3)), ("two", 6, Some(5)), ("three", 12, None)]);
    }

    #[test]
    fn parameters_are_counted_as_they_are_written() {
        let f = one("fn f<'a>(&'a mut self, a: BTreeMap<K, (V, W)>, b: impl Fn(A, B) -> C, c: [u8; 4],) {}");
        assert_eq!(f.parameters, ["self", "BTreeMap<K, (V, W)>", "impl Fn(A, B) -> C", "[u8; 4]"]);
        assert!(!f.takes_tuple());
    }

    #[test]
    fn a_tuple_is_more_parameters_than_there_seem_to_be() {
        for tuple in ["a: (A, B)", "(a, b): (A, B)", "a: &(A, B)", "a: &'a mut (A, B)"] {
            assert!(one(&format!("fn f({tuple}) {{}}")).takes_tuple(), "{tuple}");
        }
        for other in ["a: ()", "a: &[(A, B)]", "a: Option<(A, B)>", "a: impl Fn((A, B))", "a: (A)"] {
            assert!(!one(&format!("fn f({other}) {{}}")).takes_tuple(), "{other}");
        }
    }

    #[test]
    fn names_of_a_trait_are_not_ours() {
        let text = "impl Iterator for A {\n    fn next(&mut self) {}\n}\nimpl<F: for<'a> Fn(&'a u8)> B<F> {\n    fn go(&self) {}\n}\n";
        let found = functions(&source(text));
        assert_eq!(found.iter().map(|f| f.of_trait).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn types_by_their_names() {
        let text = "pub struct A<T>(T);\n// struct B\nenum C {}\npub(crate) trait D {}\n";
        assert_eq!(types(&source(text)).collect::<Vec<_>>(), ["A", "C", "D"]);
    }
}
