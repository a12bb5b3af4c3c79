//! `LINES`: a short sum of every line of every file, so that a change is found by its line. Nothing is proved by it:
//! that is the manifest's work, which holds its sum too.

use crate::durable;
use crate::error::{Context, Result};
use crate::sum::{hex, sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

pub(super) const NAME: &str = "LINES";

/// Writes the sums of all files in `folder`.
///
/// # Errors
/// When one cannot be read, or the sums not be written.
pub(super) fn write_lines(folder: &Path) -> Result<()> {
    let mut names = super::manifest::list_files(folder)?;
    names.retain(|n| n != NAME);
    durable::replace(&folder.join(NAME), 0o600, |w| {
        let mut w = BufWriter::new(w);
        let all = names.iter().try_for_each(|file| {
            writeln!(w, "# {file}")?;
            sum_lines(&folder.join(file))?.try_for_each(|sum| writeln!(w, "{}", sum?))
        });
        all.and_then(|()| w.flush()).doing(|| "sum up the lines of the pack".into())
    })
}

/// The first eight digits of each line's SHA-256.
fn sum_lines(file: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let lines = BufReader::new(File::open(file)?).split(b'\n');
    Ok(lines.map(|line| line.map(|l| hex(&sha256(&l))[..8].to_string())))
}

/// Which lines of `file` are not as they were written; None where nobody can tell.
pub(super) fn find_changed_line(pack: &Path, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(pack.join(NAME)).ok()?;
    let title = format!("# {file}");
    let of_file = text.lines().skip_while(|l| *l != title).skip(1).take_while(|l| !l.starts_with('#'));
    let before: Vec<String> = of_file.map(String::from).collect();
    let now: Vec<String> = sum_lines(&pack.join(file)).ok()?.collect::<io::Result<_>>().ok()?;
    describe_change(&before, &now)
}

/// Pure: what lies between the lines that are the same at the beginning and at the end.
fn describe_change(before: &[String], now: &[String]) -> Option<String> {
    let head = before.iter().zip(now).take_while(|(a, b)| a == b).count();
    let (before, now) = (&before[head..], &now[head..]);
    let tail = before.iter().rev().zip(now.iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, now) = (&before[..before.len() - tail], &now[..now.len() - tail]);
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    let (first, last) = (head + 1, head + now.len());
    Some(match (before.len(), now.len()) {
        (0, 0) => return None,
        (0, n) => format!("{n} lines were put in, from line {first} on"),
        (n, 0) => format!("{n} lines were taken out before line {first}"),
        (n, m) if n == m && sorted(before) == sorted(now) => {
            format!("lines {first} to {last} are in another order")
        }
        (1, 1) => format!("line {first} is another"),
        _ => format!("lines {first} to {last} are others"),
    })
}

#[cfg(test)]
mod tests {
    use super::describe_change;

    #[test]
    fn each_kind_of_change_is_told_by_its_place() {
        let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let told = |now: &str| describe_change(&lines("abcdef"), &lines(now)).unwrap_or_default();
        assert_eq!(told("abcdef"), "");
        assert_eq!(told("abXdef"), "line 3 is another");
        assert_eq!(told("abcXYdef"), "2 lines were put in, from line 4 on");
        assert_eq!(told("acdef"), "1 lines were taken out before line 2");
        assert_eq!(told("abcde"), "1 lines were taken out before line 6");
        assert_eq!(told("aecdbf"), "lines 2 to 5 are in another order");
        assert_eq!(told("aXcYef"), "lines 2 to 4 are others");
    }
}
