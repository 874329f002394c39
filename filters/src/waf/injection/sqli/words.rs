//! The words that SQL knows, and the fingerprints of injection.

use std::sync::LazyLock;

const WORDS: &str = include_str!("words.txt");
const FINGERPRINTS: &str = include_str!("fingerprints.txt");

/// All words are shorter.
const LENGTH_MAX: usize = 32;

/// A table with open addresses: the number of slots is a power of two, at least twice the rows.
struct Table {
    /// The row of each slot, plus one; 0 is free.
    slots: Vec<u16>,
    rows: Vec<(&'static [u8], u8)>,
    /// For each first byte, in upper case, a bit for each length that a word has. Most words of a
    /// value are not here, and most of those are found out by this.
    lengths: [u32; 256],
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines = WORDS.lines().filter(|line| !line.starts_with('#'));
    Table::new(lines.flat_map(|line| {
        let (kind, words) = line.as_bytes().split_first().unwrap_or((&0, &[]));
        words.split(|byte| *byte == b'\t').skip(1).map(|word| (word, *kind))
    }))
});

/// Sorted.
static INJECTIONS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut all: Vec<_> =
        FINGERPRINTS.split_ascii_whitespace().map(|one| packed(one.as_bytes())).collect();
    all.sort_unstable();
    all
});

/// A fingerprint as a number, its letters in upper case.
fn packed(fingerprint: &[u8]) -> u64 {
    fingerprint.iter().fold(0, |number, kind| number << 8 | u64::from(kind.to_ascii_uppercase()))
}

/// Whether words of these kinds in this order are an injection.
pub(super) fn is_injection(fingerprint: &[u8]) -> bool {
    INJECTIONS.binary_search(&packed(fingerprint)).is_ok()
}

/// The kind of a word, in any case, and how it is listed.
pub(super) fn find(word: &[u8]) -> Option<(u8, &'static [u8])> {
    TABLE.find(word)
}

/// The kind of the phrase of these two words, and how it is listed.
pub(super) fn find_phrase(first: &[u8], second: &[u8]) -> Option<(u8, &'static [u8])> {
    let length = first.len() + 1 + second.len();
    let mut phrase = [b' '; LENGTH_MAX];
    phrase.get_mut(..first.len())?.copy_from_slice(first);
    phrase.get_mut(first.len() + 1..length)?.copy_from_slice(second);
    TABLE.find(phrase.get(..length)?)
}

impl Table {
    fn new(rows: impl Iterator<Item = (&'static [u8], u8)>) -> Self {
        let rows: Vec<_> = rows.collect();
        let count = (rows.len() * 2).next_power_of_two();
        let mut table = Self { slots: vec![0; count], rows: Vec::new(), lengths: [0; 256] };
        for (index, row) in (1..).zip(rows) {
            let free = table.probe(hash(row.0)).find(|slot| table.slots.get(*slot) == Some(&0));
            if let Some(slot) = free.and_then(|slot| table.slots.get_mut(slot)) {
                *slot = index;
            }
            if let Some(lengths) =
                row.0.first().and_then(|first| table.lengths.get_mut(usize::from(*first)))
            {
                *lengths |= 1 << row.0.len();
            }
            table.rows.push(row);
        }
        table
    }

    /// The slots in which a word of this hash may be, in order.
    fn probe(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len() - 1;
        (0..=mask).map(move |step| (hash as usize + step) & mask)
    }

    fn find(&self, word: &[u8]) -> Option<(u8, &'static [u8])> {
        let first = word.first()?.to_ascii_uppercase();
        let lengths = self.lengths.get(usize::from(first)).filter(|_| word.len() < LENGTH_MAX)?;
        if lengths >> word.len() & 1 == 0 {
            return None;
        }
        let slots = self.probe(hash(word)).map_while(|slot| self.slots.get(slot)?.checked_sub(1));
        let mut rows = slots.filter_map(|row| self.rows.get(usize::from(row)));
        rows.find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map(|(known, kind)| (*kind, *known))
    }
}

/// FNV-1a of the word in upper case, with its upper bits mixed in.
fn hash(word: &[u8]) -> u32 {
    let mix = |hash: u32, byte: &u8| {
        (hash ^ u32::from(byte.to_ascii_uppercase())).wrapping_mul(0x0100_0193)
    };
    let hash = word.iter().fold(0x811c_9dc5, mix);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_in_any_case() {
        for (word, kind) in &TABLE.rows {
            assert_eq!(find(word), Some((*kind, *word)));
            assert_eq!(find(&word.to_ascii_lowercase()), Some((*kind, *word)));
        }
        assert_eq!(TABLE.rows.len(), 985);
        assert_eq!(INJECTIONS.len(), 8367);
        assert!(find(b"").is_none() && find(b"vanne").is_none() && find(&[b'A'; 40]).is_none());
        assert_eq!(find_phrase(b"union", b"all").map(|(kind, _)| kind), Some(b'U'));
        assert!(is_injection(b"X") && !is_injection(b"n") && !is_injection(b""));
    }
}
