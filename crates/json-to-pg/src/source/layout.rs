//! How an application writes its files, so that `export` writes them the same way.

use super::file::JsonInput;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use toban_core::{Context, Result};

/// Bytes of a file that are looked at.
const HEAD: u64 = 64 << 10;

/// White space and escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layout {
    /// Blanks of a level; none: everything stands on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) indent: Option<usize>,
    /// A blank after commas and colons of one line, as Python's json.dump has it.
    pub(crate) spaced: bool,
    /// All but ASCII is written as `\uXXXX`.
    pub(crate) ascii: bool,
    /// The text ends in a line end.
    pub(crate) newline: bool,
}

/// Looks at the beginning and the end of a file.
///
/// # Errors
/// Those of reading.
pub(crate) fn read_layout(path: &Path) -> Result<Layout> {
    let doing = || format!("read {}", path.display());
    let mut head = Vec::new();
    let mut file = JsonInput::open_file(path)?;
    file.by_ref().take(HEAD).read_to_end(&mut head).doing(doing)?;
    let mut last = head.last().copied();
    if head.len() as u64 == HEAD {
        let mut plain = File::open(path).doing(doing)?;
        let mut magic = [0; 2];
        plain.read_exact(&mut magic).doing(doing)?;
        // Of a packed file the end is not known without unpacking all of it; almost all texts of that size end in a line.
        last = Some(b'\n');
        if magic != [0x1f, 0x8b] {
            let mut end = [0];
            plain.seek(SeekFrom::End(-1)).and_then(|_| plain.read_exact(&mut end)).doing(doing)?;
            last = Some(end[0]);
        }
    }
    Ok(find_layout(&head, last == Some(b'\n')))
}

fn find_layout(head: &[u8], newline: bool) -> Layout {
    let text = String::from_utf8_lossy(head);
    let indent = text.find(['[', '{']).and_then(|open| {
        let rest = text[open + 1..].trim_start_matches('\r').strip_prefix('\n')?;
        Some(rest.len() - rest.trim_start_matches(' ').len())
    });
    // Python's json.dump() escapes all but ASCII unless it is asked not to (ensure_ascii), JavaScript's
    // JSON.stringify() does not.
    let escaped = head.windows(2).any(|w| w == b"\\u");
    Layout {
        indent,
        spaced: indent.is_some() || text.contains("\": "),
        ascii: escaped && head.is_ascii(),
        newline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_of_the_usual_writers() {
        let of = |text: &str| find_layout(text.as_bytes(), text.ends_with('\n'));
        let python = of("[\n  {\n    \"a\": \"日\"\n  }\n]");
        assert_eq!(python, Layout { indent: Some(2), spaced: true, ascii: false, newline: false });
        assert_eq!(
            of("[{\"a\": \"\\u65e5\"}]\n"),
            Layout { indent: None, spaced: true, ascii: true, newline: true }
        );
        assert_eq!(of("[{\"a\":1}]"), Layout { indent: None, ..Layout::default() });
    }
}
