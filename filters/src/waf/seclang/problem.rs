//! A fault before it knows its file: an offset in the logical line, what is wrong, what would do.

/// What a part of a line gets wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Offset in the joined line.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What would be accepted.
    pub help: String,
}

impl Problem {
    /// A problem at `offset`.
    pub(crate) fn at(offset: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { offset, message: message.into(), help: help.into() }
    }

    /// The same, further right by `offset`.
    pub(crate) fn shifted(mut self, offset: usize) -> Self {
        self.offset += offset;
        self
    }
}

/// The name of `known` that is most like `word`, as a help; empty when none is.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    known
        .map(|name| (distance(&word, &name.to_ascii_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + word.len() / 4)
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            let replace = diagonal + usize::from(left != right);
            diagonal = above;
            let best = replace.min(above + 1).min(previous + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = previous;
            }
            previous = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = previous;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        assert_eq!(nearest("ARG", ["ARGS", "FILES"].into_iter()), Some("ARGS"));
        assert_eq!(nearest("lowercas", ["lowercase"].into_iter()), Some("lowercase"));
        assert_eq!(nearest("zebra", ["ARGS"].into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
