//! Test items: a correct and an incorrect text that differ in one respect.

use slam_dataset::rng::Rng;

use super::lexicon::{ADJECTIVES, FEELINGS, NAMES, TOPICS, content_words};
use super::story::{Plan, Pool, pool};

/// A pair of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contrast {
    /// What the pair tests.
    pub(super) kind: &'static str,
    pub(super) positive: String,
    pub(super) negative: String,
}

/// A word of the stories against a made-up word with a similar spelling (as in sWUGGY).
pub(super) fn lexical(seed: u64, row: u64) -> Contrast {
    let words = content_words();
    let word = words[(row % words.len() as u64) as usize];
    let mut rng = Rng::derive(seed, &[row]);
    let negative = loop {
        let made_up = corrupt(word, &mut rng);
        if !words.iter().any(|w| w.eq_ignore_ascii_case(&made_up)) {
            break made_up;
        }
    };
    Contrast { kind: "word", positive: format!("{word}."), negative: format!("{negative}.") }
}

/// Replaces two groups of letters by others of the same class: consonants by consonants, vowels by vowels.
fn corrupt(word: &str, rng: &mut Rng) -> String {
    const ONSETS: [&str; 12] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "t", "v", "z"];
    const VOWELS: [&str; 6] = ["a", "e", "i", "o", "oo", "ee"];
    let is_vowel = |c: char| "aeiouy".contains(c);
    let mut groups: Vec<String> = Vec::new();
    for c in word.to_lowercase().chars() {
        match groups.last_mut() {
            Some(g) if g.chars().all(is_vowel) == is_vowel(c) => g.push(c),
            _ => groups.push(c.to_string()),
        }
    }
    // Replacing a silent e at the end changes nothing.
    let last = groups.len() - usize::from(groups.last().is_some_and(|g| g == "e"));
    let mut places: Vec<usize> = (0..last).collect();
    rng.shuffle(&mut places);
    for &i in places.iter().take(2) {
        let choices: &[&str] = if groups[i].chars().all(is_vowel) { &VOWELS } else { &ONSETS };
        loop {
            let new = *rng.pick(choices);
            if groups[i] != new {
                new.clone_into(&mut groups[i]);
                break;
            }
        }
    }
    groups.concat()
}

/// A correct sentence against an incorrect one (as in sBLIMP). No sentence occurs in training, because its
/// words are a held-out combination.
pub(super) fn syntactic(seed: u64, row: u64) -> Contrast {
    let mut rng = Rng::derive(seed, &[row]);
    // Kinds and numbers alternate, so that a preference for one form gives no answer.
    let plural = (row / 5) % 2 == 1;
    let (topic, adjective, feeling, name) = loop {
        let topic = *rng.pick(&TOPICS);
        let adjective = *rng.pick(&ADJECTIVES);
        let feeling = *rng.pick(&FEELINGS);
        let name = *rng.pick(&NAMES);
        let held_out = |word| pool(&[topic.animal, word]) == Pool::HeldOut;
        if held_out(adjective) && held_out(feeling) && held_out(name.name) {
            break (topic, adjective, feeling, name);
        }
    };
    let noun = if plural { topic.animals } else { topic.animal };
    let (right_verb, wrong_verb) =
        if plural { (topic.verb, topic.verbs) } else { (topic.verbs, topic.verb) };
    let place = topic.place;
    let thing = *rng.pick(&topic.things);
    let (kind, positive, negative) = match row % 5 {
        0 => {
            let sentence =
                |v: &str| format!("The {adjective} {noun} {v} in the {place} with the {thing}.");
            ("subject-verb agreement", sentence(right_verb), sentence(wrong_verb))
        }
        1 => {
            let (right, wrong) = if plural { ("are", "is") } else { ("is", "are") };
            let sentence =
                |v: &str| format!("The {noun} {v} {feeling} and {right_verb} near the {thing}.");
            ("copula agreement", sentence(right), sentence(wrong))
        }
        2 => {
            let (right, wrong) = if plural { ("These", "This") } else { ("This", "These") };
            let sentence =
                |d: &str| format!("{d} {noun} {right_verb} near the {thing} of {}.", name.name);
            ("determiner-noun agreement", sentence(right), sentence(wrong))
        }
        3 => {
            let (right, wrong) = if name.female { ("her", "his") } else { ("his", "her") };
            let sentence =
                |p: &str| format!("This is {} with {p} {adjective} {}.", name.name, topic.animal);
            ("pronoun gender", sentence(right), sentence(wrong))
        }
        _ => (
            "word order",
            format!("The {adjective} {noun} {right_verb} in the {place} with the {thing}."),
            format!("The {noun} {adjective} {right_verb} in the {place} with the {thing}."),
        ),
    };
    Contrast { kind, positive, negative }
}

/// A story's beginning, its own ending, and another story's ending in the same wording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endings {
    pub(super) body: String,
    pub(super) right: String,
    pub(super) wrong: String,
}

/// A held-out story with a correct and an incorrect ending (as in tSC).
pub(super) fn endings(seed: u64, row: u64) -> Endings {
    let mut rng = Rng::derive(seed, &[row]);
    let story = Plan::draw(&mut rng, Pool::HeldOut);
    let other = loop {
        let other = Plan::draw(&mut rng, Pool::HeldOut);
        if other.topic != story.topic && other.name != story.name {
            break other;
        }
    };
    let variant = story.ending_variant();
    Endings { body: story.body(), right: story.ending(variant), wrong: other.ending(variant) }
}
