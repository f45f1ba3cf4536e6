//! Structured utterance ids: how the parts of a benchmark item or of a preference pair find each other
//! again after ingest and unitise, which know nothing of either.

use std::fmt;
use std::str::FromStr;

/// Which of a benchmark pair's two utterances this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The one the model should find likelier.
    Positive,
    /// The other.
    Negative,
}

/// The id of one utterance of a benchmark, as text
/// `suite|id|voice|kind|subkind|frequency|positive`, and `|file` behind it where the item is a file of a
/// public suite. No field holds a `|`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemKey {
    /// The suite, e.g. `swuggy`.
    pub suite: String,
    /// The pair within the suite; several voices may speak the same pair.
    pub id: String,
    /// Who speaks.
    pub voice: String,
    /// The phenomenon (sBLIMP's type), else empty.
    pub kind: String,
    /// The phenomenon's part (sBLIMP's subtype), else empty.
    pub subkind: String,
    /// How often the word occurs in the reference corpus (sWUGGY), else `None`.
    pub frequency: Option<u32>,
    /// Positive or negative.
    pub side: Side,
    /// The stem of the file in the suite's own layout, where submissions name it (ZeroSpeech).
    pub file: Option<String>,
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, id, voice, kind, subkind, frequency, side, file } = self;
        let frequency = frequency.map_or(String::new(), |n| n.to_string());
        let side = match side {
            Side::Positive => "positive",
            Side::Negative => "negative",
        };
        write!(f, "{suite}|{id}|{voice}|{kind}|{subkind}|{frequency}|{side}")?;
        file.iter().try_for_each(|file| write!(f, "|{file}"))
    }
}

/// One utterance of a preference pair: its id is `<pair>#prompt`, `#chosen` or `#rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentKey {
    /// The pair.
    pub pair: String,
    /// Which part of it.
    pub segment: Segment,
}

/// The parts of a preference pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// What both continuations follow.
    Prompt,
    /// The continuation to prefer.
    Chosen,
    /// The other.
    Rejected,
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segment = match self.segment {
            Segment::Prompt => "prompt",
            Segment::Chosen => "chosen",
            Segment::Rejected => "rejected",
        };
        write!(f, "{}#{segment}", self.pair)
    }
}

/// An utterance id that does not have the structure its reader needs.
#[derive(Debug, thiserror::Error)]
#[error("utterance id '{id}' is not of the form {form}")]
pub struct ParseKeyError {
    id: String,
    form: &'static str,
}

impl FromStr for ItemKey {
    type Err = ParseKeyError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut fields: Vec<&str> = s.split('|').collect();
            let file = if fields.len() == 8 { fields.pop().map(str::to_owned) } else { None };
            let fields: [&str; 7] = fields.try_into().ok()?;
            let [suite, id, voice, kind, subkind, frequency, side] = fields;
            Some(Self {
                suite: suite.to_owned(),
                id: id.to_owned(),
                voice: voice.to_owned(),
                kind: kind.to_owned(),
                subkind: subkind.to_owned(),
                frequency: match frequency {
                    "" => None,
                    n => Some(n.parse().ok()?),
                },
                side: match side {
                    "positive" => Side::Positive,
                    "negative" => Side::Negative,
                    _ => return None,
                },
                file,
            })
        };
        parse().ok_or_else(|| ParseKeyError {
            id: s.to_owned(),
            form: "suite|id|voice|kind|subkind|frequency|positive (or negative)",
        })
    }
}

impl FromStr for SegmentKey {
    type Err = ParseKeyError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (pair, segment) = s.rsplit_once('#')?;
            let segment = match segment {
                "prompt" => Segment::Prompt,
                "chosen" => Segment::Chosen,
                "rejected" => Segment::Rejected,
                _ => return None,
            };
            Some(Self { pair: pair.to_owned(), segment })
        };
        parse().ok_or_else(|| ParseKeyError {
            id: s.to_owned(),
            form: "<pair>#prompt, #chosen or #rejected",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_read_back() {
        let item = ItemKey {
            suite: "sblimp".into(),
            id: "12".into(),
            voice: "en-us".into(),
            kind: "agreement".into(),
            subkind: String::new(),
            frequency: Some(3),
            side: Side::Negative,
            file: None,
        };
        assert_eq!(item.to_string(), "sblimp|12|en-us|agreement||3|negative");
        assert_eq!(item.to_string().parse::<ItemKey>().unwrap(), item);
        let item = ItemKey { file: Some("aAbF".into()), ..item };
        assert_eq!(item.to_string(), "sblimp|12|en-us|agreement||3|negative|aAbF");
        assert_eq!(item.to_string().parse::<ItemKey>().unwrap(), item);
        let segment = SegmentKey { pair: "a#b".into(), segment: Segment::Chosen };
        assert_eq!(segment.to_string().parse::<SegmentKey>().unwrap(), segment);
        assert!("a|b".parse::<ItemKey>().is_err());
        assert!("a#b".parse::<SegmentKey>().is_err());
    }
}
