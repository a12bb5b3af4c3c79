//! Java's keystores of old, JKS and JCEKS: what certificates they hold lies in them unencrypted.
//! Their form is in the source of OpenJDK, sun.security.provider.JavaKeyStore.

/// What a keystore holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Keystore {
    /// DER, those of a key with its own certificate first.
    pub(crate) certs: Vec<Vec<u8>>,
    /// Why the rest could not be read.
    pub(crate) trouble: Option<&'static str>,
}

/// The keystore in `bytes`; none when it is none.
pub(crate) fn read(bytes: &[u8]) -> Option<Keystore> {
    let mut rest = Rest(bytes);
    let version = match rest.number()? {
        0xfeed_feed | 0xcece_cece => rest.number()?,
        _ => return None,
    };
    let mut store = Keystore::default();
    for _ in 0..rest.number()? {
        if let Err(why) = entry(&mut rest, version, &mut store.certs) {
            store.trouble = Some(why);
            break;
        }
    }
    Some(store)
}

fn entry(rest: &mut Rest<'_>, version: usize, certs: &mut Vec<Vec<u8>>) -> Result<(), &'static str> {
    const CUT: &str = "the keystore ends before its last entry";
    let kind = rest.number().ok_or(CUT)?;
    rest.text().and_then(|_alias| rest.take(8)).ok_or(CUT)?;
    let count = match kind {
        // A private key, encrypted, then its chain.
        1 => rest.number().and_then(|length| rest.take(length)).and_then(|_key| rest.number()).ok_or(CUT)?,
        2 => 1,
        // A serialized Java object, whose end only Java finds.
        3 => return Err("what stands behind a secret key of the keystore cannot be read"),
        _ => return Err("the keystore has an entry of an unknown kind"),
    };
    for _ in 0..count {
        certs.push(certificate(rest, version).ok_or(CUT)?);
    }
    Ok(())
}

fn certificate(rest: &mut Rest<'_>, version: usize) -> Option<Vec<u8>> {
    if version > 1 {
        rest.text()?;
    }
    let length = rest.number()?;
    rest.take(length).map(<[u8]>::to_vec)
}

/// What is still to be read; all numbers are big-endian.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        let four = <[u8; 4]>::try_from(self.take(4)?).ok()?;
        usize::try_from(u32::from_be_bytes(four)).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let two = <[u8; 2]>::try_from(self.take(2)?).ok()?;
        self.take(usize::from(u16::from_be_bytes(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let store = read(&keystore()).expect("a keystore");
        assert_eq!(store.certs, [&b"ROOT"[..], b"LEAF", b"CA"]);
        assert!(store.trouble.is_some_and(|t| t.contains("secret key")), "{store:?}");
    }

    #[test]
    fn cut_anywhere_it_says_so() {
        let whole = keystore();
        for end in 12..whole.len() - 10 {
            let store = read(&whole[..end]).expect("still a keystore");
            assert!(store.trouble.is_some(), "{end}: {store:?}");
        }
        assert_eq!(read(b"\xfe\xed\xfe\xee"), None);
    }
}
