//! Stories: a plan is drawn, and sentences are written from it.

use slam_dataset::rng::Rng;
use slam_recipe::Key;

use super::lexicon::{ADJECTIVES, FEELINGS, NAMES, Name, TIMES, TOPICS, Topic};

/// One in this many combinations is held out of the training stories.
const HOLD_OUT: u8 = 6;

/// Which combinations may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// The combinations of training stories.
    Train,
    /// The combinations that never occur in training stories.
    HeldOut,
}

/// Returns whether a combination of words is held out. This depends on the words alone, so no seed and no
/// number of stories puts a test item into training.
pub(super) fn pool(words: &[&str]) -> Pool {
    let digest = Key::of_bytes(words.join(" ").as_bytes());
    let first = u8::from_str_radix(&digest.as_str()[..2], 16).unwrap_or(0);
    if first.is_multiple_of(HOLD_OUT) { Pool::HeldOut } else { Pool::Train }
}

/// The who, what, where and how of one story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) topic: Topic,
    pub(super) name: Name,
    pub(super) adjective: &'static str,
    pub(super) feeling: &'static str,
    time: &'static str,
    /// The order in which the topic's things occur.
    things: [&'static str; 3],
    /// Which variant of each sentence is used.
    variants: [usize; 6],
}

impl Plan {
    /// Draws a plan whose combinations all belong to one pool.
    pub(super) fn draw(rng: &mut Rng, wanted: Pool) -> Self {
        loop {
            let mut things = [0, 1, 2];
            rng.shuffle(&mut things);
            let topic = *rng.pick(&TOPICS);
            let plan = Self {
                topic,
                name: *rng.pick(&NAMES),
                adjective: *rng.pick(&ADJECTIVES),
                feeling: *rng.pick(&FEELINGS),
                time: *rng.pick(&TIMES),
                things: things.map(|i| topic.things[i]),
                variants: std::array::from_fn(|_| rng.below(3)),
            };
            if plan.pools().into_iter().all(|p| p == wanted) {
                return plan;
            }
        }
    }

    /// Returns the pools of the combinations that test items are made of.
    fn pools(&self) -> [Pool; 3] {
        let Self { topic, name, adjective, feeling, .. } = self;
        [
            pool(&[topic.animal, adjective]),
            pool(&[topic.animal, feeling]),
            pool(&[topic.animal, name.name]),
        ]
    }

    /// Returns the story without its ending: five sentences.
    pub(super) fn body(&self) -> String {
        let Self { topic, name, adjective, feeling, time, things, variants } = self;
        let Topic { animal, animals, verb, verbs, place, .. } = topic;
        let (who, she, her) = (name.name, name.subject(), name.possessive());
        let [a, b, c] = things;
        let opening = match variants[0] {
            0 => format!("{who} has {} {animal} in the {place}.", with_article(adjective)),
            1 => format!(
                "In the {time}, {who} sees {} {animal} in the {place}.",
                with_article(adjective)
            ),
            _ => format!("This is {who} with {her} {adjective} {animal}."),
        };
        let habit = match variants[1] {
            0 => format!("The {adjective} {animal} {verbs} in the {place}."),
            1 => format!("This {animal} {verbs} near the {a}."),
            _ => format!("The {animal} is {feeling} and {verbs} in the {place}."),
        };
        let gift = match variants[2] {
            0 => format!("{she} likes {her} {animal} and {her} {a}."),
            1 => format!("{who} brings the {a} and the {b} to {her} {animal}."),
            _ => format!("{she} finds {} for the {animal}.", with_article(a)),
        };
        let many = match variants[3] {
            0 => format!("These {animals} {verb} in the {place} with the {b}."),
            1 => format!("The {adjective} {animals} {verb} in the {place}."),
            _ => format!("The {animals} are {feeling} and {verb} near the {b}."),
        };
        let then = match variants[4] {
            0 => format!("The {animal} has the {c}."),
            1 => format!("{who} puts the {c} near the {place}."),
            _ => format!("The {adjective} {animals} have the {c}."),
        };
        [opening, habit, gift, many, then].join(" ")
    }

    /// Returns the ending, in the wording of `variant`.
    pub(super) fn ending(&self, variant: usize) -> String {
        let Self { topic, name, adjective, feeling, things, .. } = self;
        let Topic { animal, animals, verb, verbs, place, .. } = topic;
        let who = name.name;
        let her = name.possessive();
        match variant {
            0 => format!(
                "Now {who} and the {animal} are {feeling} in the {place} with the {}.",
                things[0]
            ),
            1 => format!(
                "At last the {adjective} {animal} {verbs} in the {place} with the {} of {who}.",
                things[1]
            ),
            _ => format!(
                "So {who} and {her} {animals} {verb} in the {place} near the {}.",
                things[2]
            ),
        }
    }

    /// Returns the wording of the story's own ending.
    pub(super) fn ending_variant(&self) -> usize {
        self.variants[5]
    }
}

/// Returns a word with its indefinite article.
pub(super) fn with_article(word: &str) -> String {
    let vowel = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if vowel { "an" } else { "a" })
}
