//! Which words of pg_hba.conf stand in quotes: `"all"` is a role of that name, and the server's view shows both alike.

use super::HbaLine;

/// Words that mean something by themselves.
const KEYWORDS: [&str; 5] = ["all", "replication", "sameuser", "samerole", "samegroup"];

/// A word, and whether its first character is a quote.
type Word = (String, bool);

/// Whether quotes would change what the word means.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word) || word.starts_with('+')
}

/// Puts the quotes back around words of `lines` that mean something else without them; `text` is their file's.
pub(super) fn restore_quotes(lines: &mut [HbaLine], text: &str) {
    for (number, fields) in join_lines(text) {
        for line in lines.iter_mut().filter(|l| l.number == number) {
            for (field, words) in [(1, &mut line.databases), (2, &mut line.users)] {
                let Some(written) = fields.get(field).filter(|f| f.len() == words.len()) else { continue };
                for (word, (text, quoted)) in words.iter_mut().zip(written) {
                    if *quoted && is_keyword(word) && text == word {
                        *word = format!("\"{word}\"");
                    }
                }
            }
        }
    }
}

/// The fields of each line, by the number of the first of those that a backslash joins.
fn join_lines(text: &str) -> Vec<(i32, Vec<Vec<Word>>)> {
    let (mut all, mut line, mut begun) = (Vec::new(), String::new(), 0);
    for (n, part) in (1..).zip(text.lines()) {
        begun = if begun == 0 { n } else { begun };
        if let Some(part) = part.strip_suffix('\\') {
            line += part;
            continue;
        }
        line += part;
        all.push((begun, split_fields(&line)));
        (line, begun) = (String::new(), 0);
    }
    all
}

/// Fields between blanks, each a list of words between commas.
fn split_fields(line: &str) -> Vec<Vec<Word>> {
    let mut fields: Vec<Vec<Word>> = Vec::new();
    let mut chars = line.chars().peekable();
    let mut goes_on = false;
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let (mut word, mut quoted) = (String::new(), false);
        let first = chars.peek() == Some(&'"');
        let mut any = false;
        while let Some(c) = chars.peek().copied() {
            match c {
                '#' if !quoted => return fields,
                ',' if !quoted => break,
                c if c.is_whitespace() && !quoted => break,
                '"' => quoted = !quoted,
                c => word.push(c),
            }
            any = true;
            chars.next();
        }
        if !any {
            return fields;
        }
        match fields.last_mut().filter(|_| goes_on) {
            Some(field) => field.push((word, first)),
            None => fields.push(vec![(word, first)]),
        }
        goes_on = chars.next_if_eq(&',').is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_found_in_lists_and_joined_lines() {
        let text = "# all\nhost \"all\", app \\\n \"+ops\",all 10.0.0.0/8 trust\nlocal all all peer\n";
        let line = |number, databases: &[&str], users: &[&str]| HbaLine {
            number,
            databases: databases.iter().map(ToString::to_string).collect(),
            users: users.iter().map(ToString::to_string).collect(),
            ..HbaLine::default()
        };
        let mut lines = [line(2, &["all", "app"], &["+ops", "all"]), line(4, &["all"], &["all"])];
        restore_quotes(&mut lines, text);
        assert_eq!(
            (lines[0].databases.join(" "), lines[0].users.join(" ")),
            ("\"all\" app".into(), "\"+ops\" all".into())
        );
        assert_eq!(lines[1].users, ["all"]);
    }
}
