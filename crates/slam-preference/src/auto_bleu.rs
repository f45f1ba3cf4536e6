//! Auto-BLEU: how much a text repeats itself (Lakhotia et al. 2021, section 4.1).

use std::collections::BTreeMap;

/// The share of a text's n-grams that occur in it more than once, in 0..=1; 0 where it has none.
///
/// Words are split at white space; punctuation marks at a word's end are words of their own, as NLTK's
/// word tokenisation makes them of plain sentences.
pub fn auto_bleu(text: &str, n: usize) -> f32 {
    let words = words(text);
    if n == 0 || words.len() < n {
        return 0.0;
    }
    let mut counts: BTreeMap<&[&str], usize> = BTreeMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    let repeated: usize = counts.values().filter(|&&c| c > 1).sum();
    repeated as f32 / (words.len() - n + 1) as f32
}

fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        let stem = word.trim_end_matches(['.', ',', '!', '?', ';', ':']);
        if !stem.is_empty() {
            out.push(stem);
        }
        let marks = &word[stem.len()..];
        out.extend(marks.char_indices().map(|(i, c)| &marks[i..i + c.len_utf8()]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_bigrams_are_counted_as_a_share_of_all() {
        // a b, b a, a b, b a, a b: all five occur more than once.
        assert!((auto_bleu("a b a b a b", 2) - 1.0).abs() < 1e-6);
        // the cat, cat sat, sat the, the cat: two of four.
        assert!((auto_bleu("the cat sat the cat", 2) - 0.5).abs() < 1e-6);
        assert_eq!(auto_bleu("one two three.", 2), 0.0);
        assert_eq!(auto_bleu("word", 2), 0.0);
        assert_eq!(auto_bleu("", 0), 0.0);
    }
}
