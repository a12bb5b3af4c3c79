//! DER, written by hand: what no library writes can be written too.

/// One element.
pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut all = vec![tag];
    match value.len() {
        n @ 0..=0x7f => all.push(n as u8),
        n @ 0x80..=0xff => all.extend([0x81, n as u8]),
        n @ 0x100..=0xffff => all.extend([0x82, (n >> 8) as u8, n as u8]),
        n @ 0x1_0000..=0xff_ffff => all.extend([0x83, (n >> 16) as u8, (n >> 8) as u8, n as u8]),
        n => all.extend([0x84, (n >> 24) as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8]),
    }
    all.extend_from_slice(value);
    all
}

pub(crate) fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub(crate) fn octets(value: &[u8]) -> Vec<u8> {
    tlv(0x04, value)
}

pub(crate) fn bits(value: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], value].concat())
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub(crate) fn null() -> Vec<u8> {
    tlv(0x05, &[])
}

/// A small number that is not negative.
pub(crate) fn int(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take(3).take_while(|b| **b == 0).count();
    let sign = if bytes[skip] & 0x80 != 0 { vec![0] } else { vec![] };
    tlv(0x02, &[sign, bytes[skip..].to_vec()].concat())
}

/// `2.5.29.19`.
pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|a| a.parse().expect("an arc")).collect();
    let mut all = base128(arcs[0] * 40 + arcs[1]);
    arcs[2..].iter().for_each(|a| all.extend(base128(*a)));
    tlv(0x06, &all)
}

fn base128(mut arc: u64) -> Vec<u8> {
    let mut all = vec![(arc & 0x7f) as u8];
    while arc > 0x7f {
        arc >>= 7;
        all.insert(0, (arc & 0x7f) as u8 | 0x80);
    }
    all
}

/// `C=DE,CN=x` as a name; nothing as an empty one.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let rdn = |part: &str| {
        let (key, value) = part.split_once('=').expect("key=value");
        let id = match key {
            "CN" => "2.5.4.3",
            "O" => "2.5.4.10",
            "OU" => "2.5.4.11",
            "C" => "2.5.4.6",
            "E" => "1.2.840.113549.1.9.1",
            other => panic!("no attribute {other}"),
        };
        let tag = if key == "E" { 0x16 } else { 0x0c };
        set(&[seq(&[oid(id), tlv(tag, value.as_bytes())])])
    };
    seq(&text.split(',').filter(|p| !p.is_empty()).map(rdn).collect::<Vec<_>>())
}

/// `20240101000000Z` or `240101000000Z`, by its length.
pub(crate) fn time(text: &str) -> Vec<u8> {
    tlv(if text.len() == 15 { 0x18 } else { 0x17 }, text.as_bytes())
}

// General names.

pub(crate) fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

pub(crate) fn email(text: &str) -> Vec<u8> {
    tlv(0x81, text.as_bytes())
}

pub(crate) fn uri(text: &str) -> Vec<u8> {
    tlv(0x86, text.as_bytes())
}

pub(crate) fn ip(bytes: &[u8]) -> Vec<u8> {
    tlv(0x87, bytes)
}

pub(crate) fn dir(text: &str) -> Vec<u8> {
    tlv(0xa4, &name(text))
}

pub(crate) fn other(id: &str) -> Vec<u8> {
    tlv(0xa0, &[oid(id), tlv(0xa0, &null())].concat())
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).expect("ascii")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
