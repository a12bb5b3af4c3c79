//! The form that pgBackRest and Barman share: sections of `key = value`.

/// A section and its values in their order; the name of what stands before the first is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) values: Vec<(String, String)>,
}

impl Section {
    /// The last value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().rfind(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// Its sections; comments begin with `#` or `;` on a line of their own.
pub(super) fn parse_ini(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        match (line.strip_prefix('[').and_then(|l| l.strip_suffix(']')), line.split_once('=')) {
            (Some(name), _) => sections.push(Section { name: name.trim().into(), values: Vec::new() }),
            (None, Some((key, value))) => {
                let pair = (key.trim().to_string(), value.trim().to_string());
                sections.last_mut().into_iter().for_each(|section| section.values.push(pair.clone()));
            }
            (None, None) => {}
        }
    }
    sections
}
