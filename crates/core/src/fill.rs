//! Buffers that are filled whole.

use std::io::{self, ErrorKind, Read};

/// Reads until `buffer` is full or `source` ends; how many bytes that were.
///
/// # Errors
/// Those of `source`, but that a signal interrupted it.
pub fn fill_buffer(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Slow(u8, bool);

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            buf[0] = self.0;
            self.0 -= 1;
            Ok(usize::from(self.0 < 100))
        }
    }

    #[test]
    fn a_slow_source_fills_the_buffer_up_to_its_end() {
        let mut buffer = [0; 3];
        assert_eq!(fill_buffer(&mut Slow(99, false), &mut buffer).expect("filled"), 3);
        assert_eq!(buffer, [99, 98, 97]);
        assert_eq!(fill_buffer(&mut &b"ab"[..], &mut buffer).expect("ended"), 2);
    }
}
