//! Just enough of DER to find certificates in PKCS#7 and numbers in private keys.

/// One element: its tag and what it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

/// The first element of `bytes`, and what follows it; none when it is cut or malformed.
pub(crate) fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, &first) = (bytes.first()?, bytes.get(1)?);
    let (length, head) = match first {
        short @ ..=0x7f => (usize::from(short), 2),
        long @ 0x81..=0x84 => {
            let n = usize::from(long & 0x7f);
            let digits = bytes.get(2..2 + n)?;
            (digits.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)), 2 + n)
        }
        _ => return None,
    };
    let whole = bytes.get(..head.checked_add(length)?)?;
    Some((Element { tag, body: &whole[head..], whole }, &bytes[whole.len()..]))
}

/// The elements that `bytes` is made of, up to the first malformed one.
pub(crate) fn elements(mut bytes: &[u8]) -> Vec<Element<'_>> {
    let mut found = Vec::new();
    while let Some((element, rest)) = element(bytes) {
        found.push(element);
        bytes = rest;
    }
    found
}

/// SignedData of PKCS#7: 1.2.840.113549.1.7.2.
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// The certificates of a PKCS#7 file; none when it is none.
pub(crate) fn pkcs7(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let outer = elements(element(bytes)?.0.body);
    (outer.first()?.body == SIGNED_DATA).then_some(())?;
    let signed = elements(element(outer.get(1)?.body)?.0.body);
    let set = signed.iter().find(|e| e.tag == 0xa0)?;
    Some(elements(set.body).iter().filter(|e| e.tag == 0x30).map(|e| e.whole.to_vec()).collect())
}

/// Modulus and exponent of an RSA private key, in PKCS#1 or PKCS#8.
pub(crate) fn rsa_numbers(key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts = elements(element(key)?.0.body);
    match (parts.get(1)?.tag, parts.len()) {
        // PKCS#8: version, algorithm, then the key in an octet string.
        (0x30, _) => rsa_numbers(parts.get(2).filter(|p| p.tag == 4)?.body),
        (2, 9..) => Some((parts[1].body.to_vec(), parts[2].body.to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(element(&[0x30, 0x82, 0xff]), None);
        assert_eq!(element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(element(&[0x30, 0x80, 0, 0]), None);
        let (first, rest) = element(&[4, 1, 7, 9]).expect("an element");
        assert_eq!((first.body, rest), (&[7][..], &[9][..]));
    }
}
