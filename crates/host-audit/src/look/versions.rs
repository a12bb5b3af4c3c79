//! Debian's order of versions (deb-version(7)).

use std::cmp::Ordering;

/// Which of two versions is newer.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let (epoch_a, rest_a) = split_epoch(a);
    let (epoch_b, rest_b) = split_epoch(b);
    let upstream =
        |v: &str| v.rsplit_once('-').map_or((v.to_string(), "0".to_string()), |(u, r)| (u.into(), r.into()));
    let ((up_a, rev_a), (up_b, rev_b)) = (upstream(rest_a), upstream(rest_b));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_parts(&up_a, &up_b))
        .then_with(|| compare_parts(&rev_a, &rev_b))
}

fn split_epoch(version: &str) -> (u64, &str) {
    version.split_once(':').map_or((0, version), |(e, rest)| (e.parse().unwrap_or(0), rest))
}

/// Letters and marks, then digits, by turns; `~` sorts before the end itself.
fn compare_parts(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (text_a, rest_a) = split_run(a, false);
        let (text_b, rest_b) = split_run(b, false);
        let (digits_a, next_a) = split_run(rest_a, true);
        let (digits_b, next_b) = split_run(rest_b, true);
        let number = |d: &str| d.parse::<u64>().unwrap_or(0);
        let order = compare_text(text_a, text_b).then_with(|| number(digits_a).cmp(&number(digits_b)));
        if order.is_ne() || (next_a.is_empty() && next_b.is_empty()) {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
}

fn split_run(text: &str, digits: bool) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

fn compare_text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => 0,
        None => 1,
        Some(c) if c.is_ascii_alphabetic() => 2 + u32::from(c),
        Some(c) => 1000 + u32::from(c),
    };
    let length = a.chars().count().max(b.chars().count());
    let weights = |t: &str| (0..=length).map(|i| weight(t.chars().nth(i))).collect::<Vec<_>>();
    weights(a).cmp(&weights(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_manuals_own_order() {
        let sorted =
            ["1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0-10", "1.0a", "1.0+x", "1.1", "1.10", "1:0.1"];
        for pair in sorted.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_one(a in "[0-9][0-9a.~+-]{0,8}", b in "[0-9][0-9a.~+-]{0,8}") {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
            prop_assert_eq!(compare_versions(&a, &a), Ordering::Equal);
        }
    }
}
