//! Rules: every kind of finding, declared once with its id, its meaning and what to do about it.

use serde::Serialize;
use std::fmt::Write;

/// A kind of finding. Only [`crate::rules!`] makes one, and lists it: so no finding has an id that is not documented.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// The id: in lower case with dashes, the same for ever.
    pub id: &'static str,
    /// The check that looks for it; a check may have several rules.
    pub check: &'static str,
    /// What it means.
    #[serde(skip)]
    pub meaning: &'static str,
    /// What to do about it.
    #[serde(skip)]
    pub action: &'static str,
    /// How an `[[accept]]` entry may take it.
    #[serde(skip)]
    pub acceptable: Acceptable,
}

/// How findings of a rule may be accepted in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptable {
    /// By name or by a pattern.
    Anyhow,
    /// By the whole name alone: a pattern would hide whoever comes next.
    ByName,
    /// Never: what nobody has looked at yet must not be hidden.
    Never,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

impl Rule {
    /// The beginning of what [`crate::rules!`] expands to. A bad id does not compile.
    #[doc(hidden)]
    #[must_use]
    pub const fn declare(id: &'static str, check: &'static str) -> Rule {
        assert!(is_plain(id) && is_plain(check), "ids are lower-case letters, digits and dashes");
        Rule { id, check, meaning: "", action: "", acceptable: Acceptable::Anyhow }
    }

    /// The same, documented.
    #[doc(hidden)]
    #[must_use]
    pub const fn document(self, meaning: &'static str, action: &'static str) -> Rule {
        Rule { meaning, action, ..self }
    }

    /// The same, accepted so.
    #[doc(hidden)]
    #[must_use]
    pub const fn accept(self, acceptable: Acceptable) -> Rule {
        Rule { acceptable, ..self }
    }
}

const fn is_plain(id: &str) -> bool {
    let (bytes, mut at) = (id.as_bytes(), 0);
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

/// Declares the rules of a tool: a `static` for each, and `RULES`, which is all of them in the order of the declaration.
///
/// `NAME = "id" in "check": "meaning", "what to do";` with `, by_name` or `, never` after the check where it cannot be
/// accepted just so ([`Acceptable`]).
#[macro_export]
macro_rules! rules {
    ($($name:ident = $id:literal in $check:literal $(, $how:ident)?: $meaning:literal, $action:expr;)+) => {
        $(
            #[doc = $meaning]
            pub(crate) static $name: $crate::check::Rule = $crate::check::Rule::declare($id, $check)
                .document($meaning, $action)$(.accept($crate::rules!(@ $how)))?;
        )+

        /// Every rule, in the order in which they are declared.
        pub(crate) static RULES: &[&$crate::check::Rule] = &[$(&$name),+];
    };
    (@ by_name) => { $crate::check::Acceptable::ByName };
    (@ never) => { $crate::check::Acceptable::Never };
}

/// The rules of a tool as a table in Markdown, and those that every tool has; empty for a tool without a check.
pub fn markdown(rules: &[&Rule]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let mut table = String::from("| id | check | what it means | what to do |\n| --- | --- | --- | --- |\n");
    for rule in rules.iter().chain(super::shared_rules()) {
        let cell = |text: &str| text.replace('|', "\\|");
        let (meaning, action) = (cell(rule.meaning), cell(rule.action));
        let _ = writeln!(table, "| `{}` | {} | {meaning} | {action} |", rule.id, rule.check);
    }
    table
}
