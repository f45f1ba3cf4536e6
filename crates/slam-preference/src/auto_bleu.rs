//! Auto-BLEU: a measure of how much a text repeats itself (Lakhotia et al. 2021, section 4.1).

use std::collections::BTreeMap;

use crate::words::words;

/// The share of a text's n-grams that occur in it more than once, in 0..=1; 0 if the text has no n-grams.
/// [`words`] splits the text into words.
pub fn auto_bleu(text: &str, n: usize) -> f32 {
    let words = words(text);
    if n == 0 || words.len() < n {
        return 0.0;
    }
    let mut counts: BTreeMap<&[String], usize> = BTreeMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    let repeated: usize = counts.values().filter(|&&c| c > 1).sum();
    repeated as f32 / (words.len() - n + 1) as f32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn repeated_bigrams_are_counted_as_a_share_of_all() {
        // The bigrams are a b, b a, a b, b a, a b: all five occur more than once.
        assert!((auto_bleu("a b a b a b", 2) - 1.0).abs() < 1e-6);
        // The bigrams are the cat, cat sat, sat the, the cat: two of four occur more than once.
        assert!((auto_bleu("the cat sat the cat", 2) - 0.5).abs() < 1e-6);
        assert_eq!(auto_bleu("one two three.", 2), 0.0);
        assert_eq!(auto_bleu("word", 2), 0.0);
        assert_eq!(auto_bleu("", 0), 0.0);
    }

    /// `tests/make_auto_bleu.py` made the file with nltk.
    #[test]
    fn words_and_shares_equal_those_of_nltk() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/auto_bleu.json");
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() > 400);
        for case in &cases {
            let text = case["text"].as_str().unwrap();
            let expected: Vec<_> =
                case["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            assert_eq!(words(text), expected, "{text:?}");
            let share = case["auto_bleu2"].as_f64().unwrap();
            assert!((f64::from(auto_bleu(text, 2)) - share).abs() < 1e-6, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_no_share_leaves_its_range(text in any::<String>(), n in 0usize..4) {
            prop_assert!((0.0..=1.0).contains(&auto_bleu(&text, n)));
        }
    }
}
