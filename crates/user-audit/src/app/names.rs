//! When two addresses or two role names are the same to a person.

use unicode_normalization::UnicodeNormalization;

/// An address as a person sees it: without case, blanks, compatibility forms, look-alikes and `+tag`.
pub(crate) fn address_skeleton(email: &str) -> String {
    let seen = fold_name(email);
    match seen.split_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or(local)),
        None => seen,
    }
}

/// A name without case, blanks around it, compatibility forms and look-alikes.
pub(crate) fn fold_name(name: &str) -> String {
    if name.is_ascii() {
        return name.trim().to_ascii_lowercase();
    }
    name.trim().nfkc().flat_map(char::to_lowercase).map(look_alike).nfc().collect()
}

/// Latin letters for those of Cyrillic and Greek that look the same; Unicode's confusables.txt has them all, these
/// are the ones that make whole words.
// Unicode TR39 calls them confusables: an address with a Cyrillic letter is another one to the database and the same to a
// person who approves it.
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
pub(crate) fn local_part(email: &str) -> &str {
    email.split('@').next().unwrap_or(email)
}

/// The part after the last `@`, lower case.
pub(crate) fn domain_part(email: &str) -> Option<String> {
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
            assert_eq!(address_skeleton(email), same, "{email}");
        }
        assert_eq!(address_skeleton("caf\u{65}\u{301}@x"), address_skeleton("café@x"));
        assert_ne!(address_skeleton("anna.mo@example.com"), same);
    }
}
