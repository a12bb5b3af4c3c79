//! Headers of tar members, as GNU tar and pax both read them: ustar, with a GNU long name where it is too short.

/// The unit of a tar stream.
pub(crate) const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of this many bytes.
    File(u64),
    /// A folder.
    Folder,
}

/// Facts of a member, beside its name.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// File or folder.
    pub(crate) kind: Kind,
    /// Permissions.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    /// Number and name of the owner.
    pub(crate) user: (u32, &'a str),
    /// Number and name of the group.
    pub(crate) group: (u32, &'a str),
}

/// The header of the member `name`, which is any bytes but NUL.
pub(crate) fn make_header(name: &[u8], facts: &Facts<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK);
    let mut name = name.to_vec();
    if facts.kind == Kind::Folder {
        name.push(b'/');
    }
    // The name's field of a header has 100 bytes. GNU tar's way for longer ones is a member of type L before
    // it, whose content is the name; pax reads it too.
    if name.len() > 100 {
        let mut long = name.clone();
        long.push(0);
        let size = long.len() as u64;
        out.extend(block(b"././@LongLink", b'L', size, facts));
        out.extend_from_slice(&long);
        out.resize(out.len() + padding(size), 0);
    }
    let (kind, size) = match facts.kind {
        Kind::File(size) => (b'0', size),
        Kind::Folder => (b'5', 0),
    };
    out.extend(block(&name[..name.len().min(100)], kind, size, facts));
    out
}

/// The header of a member of another program's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarHeader {
    /// As it stands there.
    pub(crate) name: Vec<u8>,
    /// The type: `0` or NUL of a file, `5` of a folder.
    pub(crate) kind: u8,
    /// Permissions.
    pub(crate) mode: u32,
    /// Bytes of its content.
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

/// Reads a header; `None` where its checksum does not hold, and of the blocks of zeros at the end.
pub(crate) fn parse_header(block: &[u8; BLOCK]) -> Option<TarHeader> {
    let blank = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
    let sum: u64 = (0..BLOCK).map(|at| u64::from(blank(at))).sum();
    if parse_number(&block[148..156])? != sum {
        return None;
    }
    Some(TarHeader {
        name: block[..100].split(|b| *b == 0).next()?.to_vec(),
        kind: block[156],
        mode: u32::try_from(parse_number(&block[100..108])? & 0o7777).ok()?,
        size: parse_number(&block[124..136])?,
        modified: i64::try_from(parse_number(&block[136..148])?).ok()?,
    })
}

/// Octal, or big-endian behind a set first bit.
fn parse_number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let value = field.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b));
        return u64::try_from(value & !(0x80 << (8 * (field.len() - 1)))).ok();
    }
    let digits = field.split(|b| *b == 0 || *b == b' ').find(|digits| !digits.is_empty())?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Bytes that fill the last block of a member of `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

/// The end of a stream: two blocks of zeros.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn block(name: &[u8], kind: u8, size: u64, facts: &Facts<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    number(&mut block[100..108], u64::from(facts.mode));
    number(&mut block[108..116], u64::from(facts.user.0));
    number(&mut block[116..124], u64::from(facts.group.0));
    number(&mut block[124..136], size);
    number(&mut block[136..148], facts.modified.max(0).unsigned_abs());
    block[156] = kind;
    // GNU's magic, since the long names and large numbers are GNU's too.
    block[257..265].copy_from_slice(b"ustar  \0");
    text(&mut block[265..297], facts.user.1);
    text(&mut block[297..329], facts.group.1);
    // The checksum is taken with its own field as eight blanks (POSIX, pax, "ustar Interchange Format"), so
    // it is written when the sum is known.
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    number(&mut block[148..155], sum);
    block
}

/// Octal with a NUL; what needs more digits is big-endian with the first bit set, as GNU has it.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    if value < 1 << (3 * digits) {
        field.copy_from_slice(format!("{value:0digits$o}\0").as_bytes());
        return;
    }
    let bytes = value.to_be_bytes();
    let kept = bytes.len().min(field.len());
    field.fill(0);
    for (to, byte) in field.iter_mut().rev().zip(bytes.iter().rev().take(kept)) {
        *to = *byte;
    }
    field[0] |= 0x80;
}

fn text(field: &mut [u8], value: &str) {
    let most = field.len() - 1;
    let bytes = &value.as_bytes()[..value.len().min(most)];
    field[..bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// GNU tar's own opinion, names as bytes it quotes.
    fn listed(stream: &[u8]) -> String {
        let mut tar = Command::new("tar")
            .args(["tvf", "-", "--numeric-owner", "--quoting-style=c", "--utc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run tar");
        tar.stdin.take().expect("piped").write_all(stream).expect("feed tar");
        let done = tar.wait_with_output().expect("wait for tar");
        assert!(done.status.success());
        String::from_utf8(done.stdout).expect("quoted")
    }

    fn facts(kind: Kind) -> Facts<'static> {
        Facts { kind, mode: 0o640, modified: 86400, user: (101, "postgres"), group: (102, "postgres") }
    }

    #[test]
    fn gnu_tar_reads_every_name() {
        let long = [b"base/".repeat(60), b"end".to_vec()].concat();
        let names: [&[u8]; 4] = [b"a b\nc", b"\xff\xfe", &long, &[b'x'; 100]];
        let mut stream = Vec::new();
        for name in names {
            stream.extend(make_header(name, &facts(Kind::File(3))));
            stream.extend_from_slice(b"abc");
            stream.resize(stream.len() + padding(3), 0);
        }
        stream.extend(make_header(&[b'd'; 100], &facts(Kind::Folder)));
        stream.extend(END);
        let text = listed(&stream);
        for name in [r"a b\nc", r"\377\376", "base/base/", &"x".repeat(100), &"d".repeat(100)] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
        assert!(text.starts_with("-rw-r----- 101/102 "), "{text}");
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn what_is_written_is_read() {
        for (name, kind) in
            [("base/5/16384", Kind::File(3)), ("x", Kind::File(9 << 30)), ("global", Kind::Folder)]
        {
            let mut stream = Vec::new();
            stream.extend(make_header(name.as_bytes(), &facts(kind)));
            let block = stream.as_chunks::<BLOCK>().0[0];
            let read = parse_header(&block).expect("a header");
            let (size, slash) = if let Kind::File(size) = kind { (size, "") } else { (0, "/") };
            assert_eq!(read.name, format!("{name}{slash}").into_bytes());
            assert_eq!((read.size, read.mode, read.modified), (size, 0o640, 86400));
            let mut flipped = block;
            flipped[7] ^= 1;
            assert_eq!(parse_header(&flipped), None);
        }
        assert_eq!(parse_header(&[0; BLOCK]), None);
    }

    #[test]
    fn eight_gibibytes_and_more() {
        let mut field = [0; 12];
        number(&mut field, (8 << 30) - 1);
        assert_eq!(&field, b"77777777777\0");
        number(&mut field, 9 << 30);
        assert_eq!(field, [0x80, 0, 0, 0, 0, 0, 0, 2, 0x40, 0, 0, 0]);
    }
}
