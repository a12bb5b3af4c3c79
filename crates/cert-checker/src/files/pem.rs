//! PEM as it is found: text between blocks, CRLF, a byte order mark, labels of every age, indented in YAML, after
//! `\n` in JSON, and as base64 once more in Kubernetes' Secrets and kubeconfigs. A block that is damaged hides no other.

use super::containers::{Element, read_element, read_elements};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// As `CERTIFICATE`.
    pub(crate) label: String,
    /// The content, or why it cannot be read.
    pub(crate) der: Result<Vec<u8>, String>,
    /// A key under a passphrase.
    pub(crate) encrypted: bool,
    /// What OpenSSL's `TRUSTED CERTIFICATE` adds about the certificate's use as a root.
    pub(crate) trust: Trust,
}

/// For which uses a root is trusted, as object identifiers in DER (OpenSSL's X509_CERT_AUX).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Trust {
    /// Any use, where it is none.
    only: Option<Vec<Vec<u8>>>,
    not: Vec<Vec<u8>>,
}

impl Trust {
    fn read_aux(aux: &[u8]) -> Option<Trust> {
        let (outer, rest) = read_element(aux)?;
        (outer.tag == 0x30 && rest.is_empty()).then_some(())?;
        let list = |tag: u8| read_elements(outer.body).into_iter().find(|e| e.tag == tag);
        let uses = |list: Element<'_>| read_elements(list.body).iter().map(|e| e.body.to_vec()).collect();
        Some(Trust { only: list(0x30).map(uses), not: list(0xa0).map(uses).unwrap_or_default() })
    }

    /// Whether it is trusted for any of these uses; none asks for any.
    pub(crate) fn allows(&self, uses: &[&[u8]]) -> bool {
        let any = pkix::ANY_EKU.to_vec();
        let fits = |list: &Vec<Vec<u8>>, use_: &[u8]| list.iter().any(|known| known == use_ || *known == any);
        let allowed =
            |use_: &[u8]| !fits(&self.not, use_) && self.only.as_ref().is_none_or(|only| fits(only, use_));
        uses.is_empty() || uses.iter().any(|use_| allowed(use_))
    }
}

impl Block {
    /// Whether it holds a certificate.
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE")
    }

    /// Whether it holds a revocation list.
    pub(crate) fn is_list(&self) -> bool {
        self.label == "X509 CRL"
    }

    /// Whether it holds a private key.
    pub(crate) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }
}

const BEGIN: &str = "-----BEGIN ";
/// The same in base64, whatever the label is.
const WRAPPED: &str = "LS0tLS1CRUdJTi";

/// What `bytes` hold in DER: themselves, or the blocks of that kind with those that cannot be read.
pub(crate) fn select_ders(bytes: &[u8], of_kind: impl Fn(&Block) -> bool) -> Vec<Result<Vec<u8>, String>> {
    // PEM is text; DER begins with the tag of a sequence and the length of a length, which no text does.
    match bytes {
        [0x30, length, ..] if *length >= 0x80 => vec![Ok(bytes.to_vec())],
        _ => read_blocks(bytes).into_iter().filter(of_kind).map(|block| block.der).collect(),
    }
}

/// Every block of `bytes`, in order.
pub(crate) fn read_blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = read_plain(&text.replace("\\n", "\n"));
    let wrapped = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    for word in wrapped.filter(|w| w.starts_with(WRAPPED)) {
        match STANDARD.decode(word) {
            Ok(inner) => found.extend(read_plain(&String::from_utf8_lossy(&inner))),
            Err(e) => {
                let der = Err(format!("no base64: {e}"));
                let trust = Trust::default();
                found.push(Block { label: "CERTIFICATE".into(), der, encrypted: false, trust });
            }
        }
    }
    found
}

fn read_plain(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        // Anything may come before it on the line, as a key of YAML or JSON does; RFC 7468, 2, lets a parser be that lax.
        let Some((_, rest)) = line.split_once(BEGIN) else { continue };
        let Some(label) = rest.strip_suffix("-----") else { continue };
        found.push(read_block(label, &mut lines));
    }
    found
}

fn read_block<'t>(label: &str, lines: &mut impl Iterator<Item = &'t str>) -> Block {
    let mut body = String::new();
    let mut encrypted = label.starts_with("ENCRYPTED");
    let mut ended = false;
    for line in lines {
        if line.starts_with("-----") {
            // In JSON and YAML the closing quotation mark follows it.
            ended = line.starts_with(&format!("-----END {label}-----"));
            break;
        }
        // Headers of RFC 1421: `Proc-Type: 4,ENCRYPTED`.
        if line.contains(':') { encrypted |= line.contains("ENCRYPTED") } else { body.push_str(line) }
    }
    let der = match ended {
        true => STANDARD.decode(&body).map_err(|e| format!("no base64: {e}")),
        false => Err("without its END line".into()),
    };
    let mut block = Block { label: label.to_string(), der, encrypted, trust: Trust::default() };
    if label == "TRUSTED CERTIFICATE" {
        block.split_trust();
    }
    block
}

impl Block {
    /// Takes apart the certificate and what follows it about its trust.
    fn split_trust(&mut self) {
        let Ok(both) = &self.der else { return };
        // OpenSSL appends X509_CERT_AUX to the certificate: uses it is trusted for, and uses it is rejected for.
        let Some((cert, aux)) = read_element(both) else { return };
        if let Some(trust) = Trust::read_aux(aux) {
            (self.der, self.trust) = (Ok(cert.whole.to_vec()), trust);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_inside_yaml_and_json() {
        let plain = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        let cases = [
            format!("data:\n  tls.crt: {}\n  other: QUJD\n", STANDARD.encode(plain)),
            format!("{{\"data\": {{\"tls.crt\": \"{}\"}}}}", STANDARD.encode(plain)),
            format!("stringData:\n  tls.crt: |\n    {}", plain.replace('\n', "\n    ")),
            format!("{{\"tls.crt\": \"{}\"}}", plain.replace('\n', "\\n")),
            format!("{{\"tls.crt\": \"{}\"}}", plain.trim_end().replace('\n', "\\n")),
        ];
        for text in cases {
            let found = read_blocks(text.as_bytes());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(
                (found[0].der.clone(), found[0].is_certificate()),
                (Ok(vec![1, 2, 3]), true),
                "{text}"
            );
        }
        let broken = read_blocks(b"tls.crt: LS0tLS1CRUdJTiBD=RVJU\n");
        assert!(broken.len() == 1 && broken[0].der.is_err(), "{broken:?}");
    }

    #[test]
    fn blocks_between_prose() {
        let text = "\u{feff}Bag Attributes\r\n-----BEGIN CERTIFICATE-----\r\nAQID\r\n-----END CERTIFICATE-----\r\n\
            prose\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAQ==\n-----END RSA PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nAQID\n";
        let found = read_blocks(text.as_bytes());
        assert_eq!(found.len(), 4);
        assert_eq!((found[0].der.clone(), found[0].is_certificate()), (Ok(vec![1, 2, 3]), true));
        assert!(found[1].is_key() && found[1].encrypted);
        assert!(found[2].der.is_err() && found[3].der.is_err());
    }
}
