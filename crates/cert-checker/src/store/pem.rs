//! PEM as it is found: text between blocks, CRLF, a byte order mark, labels of every age, indented in YAML, behind
//! `\n` in JSON, and as base64 once more in Kubernetes' Secrets and kubeconfigs. A block that is damaged hides no other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// As `CERTIFICATE`.
    pub(crate) label: String,
    /// The content, or why it cannot be read.
    pub(crate) der: Result<Vec<u8>, String>,
    /// A key behind a passphrase.
    pub(crate) encrypted: bool,
}

impl Block {
    /// Whether it holds a certificate.
    pub(crate) fn is_certificate(&self) -> bool {
        matches!(self.label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE")
    }

    /// Whether it holds a private key.
    pub(crate) fn is_key(&self) -> bool {
        self.label.ends_with("PRIVATE KEY")
    }
}

const BEGIN: &str = "-----BEGIN ";
/// The same in base64, whatever the label is.
const WRAPPED: &str = "LS0tLS1CRUdJTi";

/// Every block of `bytes`, in order.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = plain(&text.replace("\\n", "\n"));
    let wrapped = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    for word in wrapped.filter(|w| w.starts_with(WRAPPED)) {
        match STANDARD.decode(word) {
            Ok(inner) => found.extend(plain(&String::from_utf8_lossy(&inner))),
            Err(e) => {
                let der = Err(format!("no base64: {e}"));
                found.push(Block { label: "CERTIFICATE".into(), der, encrypted: false });
            }
        }
    }
    found
}

fn plain(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once(BEGIN) else { continue };
        let Some(label) = rest.strip_suffix("-----") else { continue };
        found.push(block(label, &mut lines));
    }
    found
}

fn block<'t>(label: &str, lines: &mut impl Iterator<Item = &'t str>) -> Block {
    let mut body = String::new();
    let mut encrypted = label.starts_with("ENCRYPTED");
    let mut ended = false;
    for line in lines {
        if line.starts_with("-----") {
            // In JSON and YAML the quotation ends behind it.
            ended = line.starts_with(&format!("-----END {label}-----"));
            break;
        }
        // Headers of RFC 1421: `Proc-Type: 4,ENCRYPTED`.
        match line.contains(':') {
            true => encrypted |= line.contains("ENCRYPTED"),
            false => body.push_str(line),
        }
    }
    let der = match ended {
        true => STANDARD.decode(&body).map_err(|e| format!("no base64: {e}")),
        false => Err("without its END line".into()),
    };
    Block { label: label.to_string(), der, encrypted }
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
            let found = blocks(text.as_bytes());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(
                (found[0].der.clone(), found[0].is_certificate()),
                (Ok(vec![1, 2, 3]), true),
                "{text}"
            );
        }
        let broken = blocks(b"tls.crt: LS0tLS1CRUdJTiBD=RVJU\n");
        assert!(broken.len() == 1 && broken[0].der.is_err(), "{broken:?}");
    }

    #[test]
    fn blocks_between_prose() {
        let text = "\u{feff}Bag Attributes\r\n-----BEGIN CERTIFICATE-----\r\nAQID\r\n-----END CERTIFICATE-----\r\n\
            prose\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAQ==\n-----END RSA PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nAQID\n";
        let found = blocks(text.as_bytes());
        assert_eq!(found.len(), 4);
        assert_eq!((found[0].der.clone(), found[0].is_certificate()), (Ok(vec![1, 2, 3]), true));
        assert!(found[1].is_key() && found[1].encrypted);
        assert!(found[2].der.is_err() && found[3].der.is_err());
    }
}
