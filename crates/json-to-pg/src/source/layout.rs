//! How an application writes its files, so that `export` writes them the same way.

use super::file::OpenFile;
use serde::{Deserialize, Serialize};
use std::io::Read;
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
    let mut file = OpenFile::open_file(path)?;
    file.by_ref().take(HEAD).read_to_end(&mut head).doing(doing)?;
    // The end of a longer text costs one more pass at most.
    let mut last = head.last().copied();
    let mut rest = vec![0; 256 << 10];
    loop {
        match file.read(&mut rest).doing(doing)? {
            0 => break,
            n => last = rest[..n].last().copied(),
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
