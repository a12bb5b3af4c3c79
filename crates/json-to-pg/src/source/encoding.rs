//! Texts that are no UTF-8, by their names.

/// What a file's first bytes say of its encoding, when it is none that JSON may have (RFC 8259, section 8.1).
pub(crate) fn name_foreign(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, ..] | [_, 0, _, 0, ..] => Some("UTF-16 (little-endian)"),
        [0xfe, 0xff, ..] | [0, _, 0, _, ..] => Some("UTF-16 (big-endian)"),
        _ => None,
    }
}

/// The encoding that bytes are probably in which are no UTF-8: Japanese files are EUC-JP or Shift_JIS.
pub(crate) fn guess_encoding(bytes: &[u8]) -> &'static str {
    match (count_pairs(bytes, is_euc), count_pairs(bytes, is_shift_jis)) {
        (Some(euc), Some(sjis)) if euc >= sjis => "it looks like EUC-JP",
        (Some(_), None) => "it looks like EUC-JP",
        (_, Some(_)) => "it looks like Shift_JIS",
        (None, None) => "its encoding is not known",
    }
}

/// Pairs of an encoding; none where a byte fits no pair of it.
fn count_pairs(bytes: &[u8], is_pair: fn(u8, u8) -> Option<usize>) -> Option<usize> {
    let (mut at, mut pairs) = (0, 0);
    while at < bytes.len() {
        if bytes[at] < 0x80 {
            at += 1;
            continue;
        }
        // The text may be cut in a pair.
        let Some(second) = bytes.get(at + 1) else { break };
        at += is_pair(bytes[at], *second)?;
        pairs += 1;
    }
    Some(pairs)
}

fn is_euc(first: u8, second: u8) -> Option<usize> {
    let fits =
        matches!(first, 0xa1..=0xf4) && second >= 0xa1 || first == 0x8e && (0xa1..=0xdf).contains(&second);
    fits.then_some(2)
}

fn is_shift_jis(first: u8, second: u8) -> Option<usize> {
    match first {
        0x81..=0x9f | 0xe0..=0xfc if (0x40..=0xfc).contains(&second) && second != 0x7f => Some(2),
        0xa1..=0xdf => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_by_name() {
        assert!(name_foreign(b"\xff\xfe[\0").is_some() && name_foreign(b"\0[\0]").is_some());
        assert_eq!(name_foreign(b"[{\"a\""), None);
        // 日本語 in each.
        assert!(guess_encoding(b"[\"\x93\xfa\x96\x7b\x8c\xea\"]").contains("Shift_JIS"));
        assert!(guess_encoding(b"[\"\xc6\xfc\xcb\xdc\xb8\xec\"]").contains("EUC-JP"));
        assert!(guess_encoding(b"\xff\xff").contains("not known"));
    }
}
