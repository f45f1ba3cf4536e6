//! The words of the demo's stories.

/// A person. Pronouns agree with the gender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) female: bool,
}

impl Name {
    pub(super) fn subject(self) -> &'static str {
        if self.female { "She" } else { "He" }
    }

    pub(super) fn possessive(self) -> &'static str {
        if self.female { "her" } else { "his" }
    }
}

/// The topic of a story: words that occur together, so that a correct ending can be told from an incorrect
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) animal: &'static str,
    pub(super) animals: &'static str,
    /// The plural form of the verb. The singular adds an s.
    pub(super) verb: &'static str,
    pub(super) verbs: &'static str,
    pub(super) place: &'static str,
    pub(super) things: [&'static str; 3],
}

const fn topic(
    animal: &'static str,
    animals: &'static str,
    verb: &'static str,
    verbs: &'static str,
    place: &'static str,
    things: [&'static str; 3],
) -> Topic {
    Topic { animal, animals, verb, verbs, place, things }
}

pub(super) const TOPICS: [Topic; 24] = [
    topic("cat", "cats", "sleep", "sleeps", "house", ["pillow", "milk", "window"]),
    topic("dog", "dogs", "bark", "barks", "yard", ["bone", "ball", "stick"]),
    topic("horse", "horses", "gallop", "gallops", "stable", ["apple", "saddle", "hay"]),
    topic("frog", "frogs", "jump", "jumps", "pond", ["leaf", "insect", "pebble"]),
    topic("bird", "birds", "sing", "sings", "tree", ["nest", "seed", "worm"]),
    topic("cow", "cows", "graze", "grazes", "meadow", ["grass", "bell", "flower"]),
    topic("pig", "pigs", "roll", "rolls", "farm", ["mud", "corn", "bucket"]),
    topic("duck", "ducks", "swim", "swims", "lake", ["bread", "feather", "boat"]),
    topic("rabbit", "rabbits", "hop", "hops", "garden", ["carrot", "lettuce", "tunnel"]),
    topic("bear", "bears", "growl", "growls", "cave", ["honey", "berry", "salmon"]),
    topic("monkey", "monkeys", "climb", "climbs", "jungle", ["banana", "coconut", "vine"]),
    topic("lion", "lions", "roar", "roars", "valley", ["rock", "shadow", "antelope"]),
    topic("squirrel", "squirrels", "hide", "hides", "forest", ["acorn", "branch", "walnut"]),
    topic("spider", "spiders", "spin", "spins", "attic", ["web", "thread", "corner"]),
    topic("whale", "whales", "dive", "dives", "ocean", ["ship", "wave", "harbor"]),
    topic("camel", "camels", "travel", "travels", "desert", ["sand", "tent", "market"]),
    topic("penguin", "penguins", "slide", "slides", "island", ["ice", "snow", "glacier"]),
    topic("chicken", "chickens", "peck", "pecks", "barn", ["egg", "basket", "ladder"]),
    topic("tiger", "tigers", "hunt", "hunts", "temple", ["bamboo", "drum", "statue"]),
    topic("elephant", "elephants", "march", "marches", "village", ["peanut", "wagon", "trumpet"]),
    topic("owl", "owls", "watch", "watches", "tower", ["moon", "lantern", "clock"]),
    topic("turtle", "turtles", "crawl", "crawls", "beach", ["shell", "castle", "seaweed"]),
    topic("goat", "goats", "kick", "kicks", "mountain", ["rope", "cabin", "thistle"]),
    topic("fox", "foxes", "sneak", "sneaks", "hill", ["grape", "fence", "turkey"]),
];

const fn she(name: &'static str) -> Name {
    Name { name, female: true }
}

const fn he(name: &'static str) -> Name {
    Name { name, female: false }
}

pub(super) const NAMES: [Name; 24] = [
    she("Anna"),
    he("Tom"),
    she("Lucy"),
    he("Peter"),
    she("Maria"),
    he("Oscar"),
    she("Sophie"),
    he("David"),
    she("Nora"),
    he("Felix"),
    she("Emily"),
    he("Victor"),
    she("Hannah"),
    he("Martin"),
    she("Julia"),
    he("Simon"),
    she("Alice"),
    he("Robert"),
    she("Clara"),
    he("Edward"),
    she("Molly"),
    he("Henry"),
    she("Rachel"),
    he("Walter"),
];

pub(super) const ADJECTIVES: [&str; 16] = [
    "small", "brown", "clever", "old", "gentle", "hungry", "little", "yellow", "brave", "young",
    "lazy", "funny", "quiet", "purple", "friendly", "golden",
];

pub(super) const FEELINGS: [&str; 12] = [
    "happy", "tired", "sad", "angry", "excited", "lonely", "proud", "afraid", "calm", "curious",
    "jealous", "grateful",
];

pub(super) const TIMES: [&str; 8] =
    ["morning", "evening", "summer", "winter", "Monday", "Friday", "afternoon", "weekend"];

/// Returns every word that carries meaning, each once, in a fixed order.
pub(super) fn content_words() -> Vec<&'static str> {
    let mut words = Vec::new();
    for t in &TOPICS {
        words.extend([t.animal, t.animals, t.verb, t.verbs, t.place]);
        words.extend(t.things);
    }
    words.extend(NAMES.iter().map(|n| n.name));
    words.extend(ADJECTIVES);
    words.extend(FEELINGS);
    words.extend(TIMES);
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|w| seen.insert(*w));
    words
}
