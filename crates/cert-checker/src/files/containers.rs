//! What certificates come in beside PEM: just enough of DER for PKCS#7 and private keys, and Java's keystores.

/// One element: its tag and what it holds. Unlike pkix, which judges, this takes whatever a file may hold: the lengths of
/// BER that are longer than need be, and nothing about what follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

/// The first element of `bytes`, and what follows it; none when it is cut or malformed.
pub(crate) fn read_element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
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
pub(crate) fn read_elements(mut bytes: &[u8]) -> Vec<Element<'_>> {
    let mut found = Vec::new();
    while let Some((element, rest)) = read_element(bytes) {
        found.push(element);
        bytes = rest;
    }
    found
}

/// SignedData of PKCS#7: 1.2.840.113549.1.7.2.
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// The certificates of a PKCS#7 file; none when it is none.
pub(crate) fn read_pkcs7(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let outer = read_elements(read_element(bytes)?.0.body);
    (outer.first()?.body == SIGNED_DATA).then_some(())?;
    let signed = read_elements(read_element(outer.get(1)?.body)?.0.body);
    let set = signed.iter().find(|e| e.tag == 0xa0)?;
    Some(read_elements(set.body).iter().filter(|e| e.tag == 0x30).map(|e| e.whole.to_vec()).collect())
}

/// Modulus and exponent of an RSA private key, in PKCS#1 or PKCS#8.
pub(crate) fn read_rsa_key(key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts = read_elements(read_element(key)?.0.body);
    match (parts.get(1)?.tag, parts.len()) {
        // PKCS#8: version, algorithm, then the key in an octet string.
        (0x30, _) => read_rsa_key(parts.get(2).filter(|p| p.tag == 4)?.body),
        (2, 9..) => Some((parts[1].body.to_vec(), parts[2].body.to_vec())),
        _ => None,
    }
}

/// What a keystore of Java's holds, JKS or JCEKS: its certificates lie in it unencrypted. The form is in the source of
/// OpenJDK, sun.security.provider.JavaKeyStore.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct JavaKeystore {
    /// DER, those of a key with its own certificate first.
    pub(crate) certs: Vec<Vec<u8>>,
    /// Why the rest could not be read.
    pub(crate) fault: Option<&'static str>,
}

/// The keystore in `bytes`; none when it is none.
pub(crate) fn read_java_keystore(bytes: &[u8]) -> Option<JavaKeystore> {
    let mut rest = BigEndian(bytes);
    let version = match rest.read_u32()? {
        0xfeed_feed | 0xcece_cece => rest.read_u32()?,
        _ => return None,
    };
    let mut store = JavaKeystore::default();
    for _ in 0..rest.read_u32()? {
        if let Err(why) = read_entry(&mut rest, version, &mut store.certs) {
            store.fault = Some(why);
            break;
        }
    }
    Some(store)
}

fn read_entry(
    rest: &mut BigEndian<'_>,
    version: usize,
    certs: &mut Vec<Vec<u8>>,
) -> Result<(), &'static str> {
    const CUT: &str = "the keystore ends before its last entry";
    let kind = rest.read_u32().ok_or(CUT)?;
    rest.read_text().and_then(|_alias| rest.take(8)).ok_or(CUT)?;
    let count = match kind {
        // A private key, encrypted, then its chain.
        1 => rest
            .read_u32()
            .and_then(|length| rest.take(length))
            .and_then(|_key| rest.read_u32())
            .ok_or(CUT)?,
        2 => 1,
        // A serialized Java object, whose end only Java finds.
        3 => return Err("what follows a secret key in the keystore cannot be read"),
        _ => return Err("the keystore has an entry of an unknown kind"),
    };
    for _ in 0..count {
        certs.push(read_certificate(rest, version).ok_or(CUT)?);
    }
    Ok(())
}

fn read_certificate(rest: &mut BigEndian<'_>, version: usize) -> Option<Vec<u8>> {
    if version > 1 {
        rest.read_text()?;
    }
    let length = rest.read_u32()?;
    rest.take(length).map(<[u8]>::to_vec)
}

/// What is still to be read; all numbers are big-endian.
struct BigEndian<'a>(&'a [u8]);

impl<'a> BigEndian<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn read_u32(&mut self) -> Option<usize> {
        let four = <[u8; 4]>::try_from(self.take(4)?).ok()?;
        usize::try_from(u32::from_be_bytes(four)).ok()
    }

    fn read_text(&mut self) -> Option<&'a [u8]> {
        let two = <[u8; 2]>::try_from(self.take(2)?).ok()?;
        self.take(usize::from(u16::from_be_bytes(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(read_element(&[0x30, 0x82, 0xff]), None);
        assert_eq!(read_element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(read_element(&[0x30, 0x80, 0, 0]), None);
        let (first, rest) = read_element(&[4, 1, 7, 9]).expect("an element");
        assert_eq!((first.body, rest), (&[7][..], &[9][..]));
    }

    /// A JCEKS of a trusted certificate, a key with a chain of two, and a secret key.
    fn keystore() -> Vec<u8> {
        let of32 = |n: u32| n.to_be_bytes().to_vec();
        let text = |t: &str| [vec![0, t.len() as u8], t.as_bytes().to_vec()].concat();
        let cert = |c: &[u8]| [text("X.509"), of32(c.len() as u32), c.to_vec()].concat();
        let head = |kind, alias| [of32(kind), text(alias), vec![0; 8]].concat();
        [
            [of32(0xcece_cece), of32(2), of32(3)].concat(),
            [head(2, "root"), cert(b"ROOT")].concat(),
            [head(1, "web"), of32(3), b"KEY".to_vec(), of32(2), cert(b"LEAF"), cert(b"CA")].concat(),
            [head(3, "secret"), b"\xac\xed object".to_vec()].concat(),
        ]
        .concat()
    }

    #[test]
    fn certificates_of_every_entry() {
        let store = read_java_keystore(&keystore()).expect("a keystore");
        assert_eq!(store.certs, [&b"ROOT"[..], b"LEAF", b"CA"]);
        assert!(store.fault.is_some_and(|t| t.contains("secret key")), "{store:?}");
    }

    #[test]
    fn cut_anywhere_it_says_so() {
        let whole = keystore();
        for end in 12..whole.len() - 10 {
            let store = read_java_keystore(&whole[..end]).expect("still a keystore");
            assert!(store.fault.is_some(), "{end}: {store:?}");
        }
        assert_eq!(read_java_keystore(b"\xfe\xed\xfe\xee"), None);
    }
}
