//! When two addresses or two role names are the same to a person.

use unicode_normalization::UnicodeNormalization;

/// An address as a person sees it: without case, blanks, compatibility forms, look-alikes and `+tag`.
pub(crate) fn skeleton(email: &str) -> String {
    let seen = folded(email);
    match seen.split_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or(local)),
        None => seen,
    }
}

/// A name without case, blanks around it, compatibility forms and look-alikes.
pub(crate) fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.trim().to_ascii_lowercase();
    }
    name.trim().nfkc().flat_map(char::to_lowercase).map(look_alike).nfc().collect()
}

/// Latin letters for those of Cyrillic and Greek that look the same; Unicode's confusables.txt has them all, these
/// are the ones that make whole words.
fn look_alike(c: char) -> char {
    const PAIRS: &str = "аaеeоoрpсcуyхxіiјjѕsһhԁdԛqԝwοoαaνvιiκkρpυuτtɡgıiӏl";
    let mut pairs = PAIRS.chars();
    while let (Some(from), Some(to)) = (pairs.next(), pairs.next()) {
        if from == c {
            return to;
        }
    }
    c
}

/// The part before `@`.
pub(crate) fn local(email: &str) -> &str {
    email.split('@').next().unwrap_or(email)
}

/// The part after the last `@`, lower case.
pub(crate) fn domain(email: &str) -> Option<String> {
    email.trim().rsplit_once('@').map(|(_, d)| d.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_person_twice() {
        let same = "anna.mo@example.org";
        for email in [
            "Anna.Mo@Example.ORG",
            "anna.mo@example.org ",
            "anna.mo+crm@example.org",
            "аnnа.mо@example.org",
            "ａnna.mo@example.org",
        ] {
            assert_eq!(skeleton(email), same, "{email}");
        }
        assert_eq!(skeleton("caf\u{65}\u{301}@x"), skeleton("café@x"));
        assert_ne!(skeleton("anna.mo@example.com"), same);
    }
}
