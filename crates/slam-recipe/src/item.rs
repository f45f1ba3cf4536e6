//! What an utterance is for: which side of which benchmark item, or which segment of which preference pair.
//!
//! Planning and the sources know it. It travels beside the audio and the units as a column of its own, so that
//! the stages after unitise read it as data. Ids are for people: they are unique in their dataset, and nothing
//! reads them back.

use serde::{Deserialize, Serialize};

/// What an utterance is for. Most utterances have no item: they are to be trained on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// A side of a benchmark item.
    Benchmark(BenchmarkItem),
    /// A segment of a preference pair.
    Pair(PairSegment),
}

impl Item {
    /// The utterance's id: [`BenchmarkItem::utterance_id`] or [`PairSegment::utterance_id`].
    pub fn utterance_id(&self) -> String {
        match self {
            Self::Benchmark(item) => item.utterance_id(),
            Self::Pair(segment) => segment.utterance_id(),
        }
    }

    /// In words, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Benchmark(_) => "an item of a suite",
            Self::Pair(_) => "a segment of a preference pair",
        }
    }
}

/// Which of a benchmark pair's two utterances this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The one the model should find likelier.
    Positive,
    /// The other.
    Negative,
}

impl Side {
    /// Both, the positive first.
    pub const ALL: [Self; 2] = [Self::Positive, Self::Negative];

    /// The name, as columns and ids have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    /// The side of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }
}

/// One utterance of a benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkItem {
    /// The suite, e.g. `swuggy`.
    pub suite: String,
    /// The pair within the suite and its kind; several voices may speak the same pair.
    pub pair: String,
    /// Who speaks, else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub voice: String,
    /// The phenomenon (sBLIMP's type), else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The phenomenon's part (sBLIMP's subtype), else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subkind: String,
    /// How often the word occurs in the reference corpus (sWUGGY), else `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<u32>,
    /// Positive or negative.
    pub side: Side,
    /// The stem of the file in the suite's own layout, where submissions name it (ZeroSpeech).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl BenchmarkItem {
    /// The pair's name, for people: `suite/kind/subkind/pair/voice` without the fields that are empty, e.g.
    /// `swuggy/12/en-us`.
    pub fn pair_name(&self) -> String {
        let Self { suite, pair, voice, kind, subkind, .. } = self;
        let fields = [suite, kind, subkind, pair, voice].map(String::as_str);
        fields.into_iter().filter(|field| !field.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// The pair that this is a side of, with the files of both sides.
    pub fn into_pair(
        self,
        positive_file: Option<String>,
        negative_file: Option<String>,
    ) -> PairItem {
        let Self { suite, pair, voice, kind, subkind, frequency, side: _, file: _ } = self;
        PairItem { suite, pair, voice, kind, subkind, frequency, positive_file, negative_file }
    }

    /// The utterance's id: the pair's name and the side, e.g. `swuggy/12/en-us/positive`.
    pub fn utterance_id(&self) -> String {
        format!("{}/{}", self.pair_name(), self.side.name())
    }
}

/// Which pair of a suite two unit sequences, or their scores, are of: what the pair's two utterances share, and
/// the file of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairItem {
    /// The suite, e.g. `swuggy`.
    pub suite: String,
    /// The pair within the suite and its kind; several voices may speak the same pair.
    pub pair: String,
    /// Who speaks, else empty.
    pub voice: String,
    /// The phenomenon (sBLIMP's type), else empty.
    pub kind: String,
    /// The phenomenon's part (sBLIMP's subtype), else empty.
    pub subkind: String,
    /// How often the word occurs in the reference corpus (sWUGGY), else `None`.
    pub frequency: Option<u32>,
    /// The stem of the positive's file in the suite's own layout, where submissions name it (ZeroSpeech).
    pub positive_file: Option<String>,
    /// The same of the negative.
    pub negative_file: Option<String>,
}

impl PairItem {
    /// The item of one of the pair's utterances.
    pub fn side(&self, side: Side) -> BenchmarkItem {
        let Self { suite, pair, voice, kind, subkind, frequency, positive_file, negative_file } =
            self.clone();
        let file = match side {
            Side::Positive => positive_file,
            Side::Negative => negative_file,
        };
        BenchmarkItem { suite, pair, voice, kind, subkind, frequency, side, file }
    }
}

/// One utterance of a preference pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSegment {
    /// The pair.
    pub pair: String,
    /// Which part of it.
    pub segment: Segment,
}

impl PairSegment {
    /// The utterance's id: the pair's and the segment, e.g. `train-000012/chosen`.
    pub fn utterance_id(&self) -> String {
        format!("{}/{}", self.pair, self.segment.name())
    }
}

/// The parts of a preference pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Segment {
    /// What both continuations follow.
    Prompt,
    /// The continuation to prefer.
    Chosen,
    /// The other.
    Rejected,
}

impl Segment {
    /// All, in the order of a pair's rows.
    pub const ALL: [Self; 3] = [Self::Prompt, Self::Chosen, Self::Rejected];

    /// The name, as columns and ids have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
        }
    }

    /// The segment of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|segment| segment.name() == name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn benchmark() -> BenchmarkItem {
        BenchmarkItem {
            suite: "swuggy".into(),
            pair: "12".into(),
            voice: "en-us".into(),
            kind: String::new(),
            subkind: String::new(),
            frequency: None,
            side: Side::Positive,
            file: None,
        }
    }

    #[test]
    fn ids_name_the_fields_that_an_item_has() {
        assert_eq!(benchmark().utterance_id(), "swuggy/12/en-us/positive");
        let (kind, subkind) = ("agreement".to_owned(), "noun".to_owned());
        let item = BenchmarkItem { voice: String::new(), kind, subkind, ..benchmark() };
        assert_eq!(item.pair_name(), "swuggy/agreement/noun/12");
        let segment = PairSegment { pair: "a|b#c".into(), segment: Segment::Chosen };
        assert_eq!(Item::Pair(segment).utterance_id(), "a|b#c/chosen");
    }

    #[test]
    fn an_item_is_written_with_the_fields_that_it_has() {
        let item = BenchmarkItem { frequency: Some(3), file: Some("a|b".into()), ..benchmark() };
        let item = Item::Benchmark(item);
        let written = serde_json::to_value(&item).unwrap();
        let expected = json!({"benchmark": {"suite": "swuggy", "pair": "12", "voice": "en-us",
            "frequency": 3, "side": "positive", "file": "a|b"}});
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<Item>(written).unwrap(), item);
        let segment = json!({"pair": {"pair": "p", "segment": "rejected"}});
        let expected = PairSegment { pair: "p".into(), segment: Segment::Rejected };
        assert_eq!(serde_json::from_value::<Item>(segment).unwrap(), Item::Pair(expected));
    }

    #[test]
    fn a_pair_has_what_its_sides_share_and_the_file_of_each() {
        let item = BenchmarkItem { frequency: Some(3), ..benchmark() };
        let pair = item.clone().into_pair(Some("a".into()), Some("b".into()));
        assert_eq!(
            pair.side(Side::Positive),
            BenchmarkItem { file: Some("a".into()), ..item.clone() }
        );
        let negative = BenchmarkItem { file: Some("b".into()), side: Side::Negative, ..item };
        assert_eq!(pair.side(Side::Negative), negative);
    }

    #[test]
    fn names_of_sides_and_segments_read_back() {
        for side in Side::ALL {
            assert_eq!(Side::named(side.name()), Some(side));
        }
        for segment in Segment::ALL {
            assert_eq!(Segment::named(segment.name()), Some(segment));
        }
        assert_eq!((Side::named("Positive"), Segment::named("")), (None, None));
    }
}
