//! What each stage is told for one shard.

use serde::{Deserialize, Serialize};

use crate::item::Item;
use crate::source::{Folder, Source};
use crate::stage::Stage;
use crate::tokeniser::{FeatureConfig, KMeansConfig};

/// A stage and its parameters for one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", content = "params", rename_all = "kebab-case")]
pub enum Work {
    /// Sources to a corpus shard.
    Ingest(IngestParams),
    /// Corpus shards to centroids.
    FitKmeans(FitParams),
    /// A corpus shard to a unit shard.
    Unitise(UnitiseParams),
    /// Units of another program to a unit shard.
    ImportUnits(ImportParams),
    /// Unit shards, or files of pairs, to a pair shard.
    Pair(PairParams),
    /// Unit shards of a suite to a benchmark shard.
    Benchmark(BenchmarkParams),
}

impl Work {
    /// The stage.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Ingest(_) => Stage::Ingest,
            Self::FitKmeans(_) => Stage::FitKmeans,
            Self::Unitise(_) | Self::ImportUnits(_) => Stage::Unitise,
            Self::Pair(_) => Stage::Pair,
            Self::Benchmark(_) => Stage::Benchmark,
        }
    }
}

/// Parameters of the ingest stage for one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestParams {
    /// Where utterances come from, without the place.
    pub source: Source,
    /// The first row and the one after the last, of a source that makes its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<(u64, u64)>,
    /// Of a source whose files hold rows: the i-th of so many equal parts of the rows of the unit's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<(u64, u64)>,
    /// Recordings longer than this many seconds are cut by voice activity; none where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// The input files, of a source that reads files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// What could not be listed: rows of a manifest that are wrong, files that are not named in UTF-8, links to
    /// nothing, pipes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

impl Default for IngestParams {
    /// No files of a folder.
    fn default() -> Self {
        let source = Source::Folder(Folder::default());
        Self {
            source,
            rows: None,
            part: None,
            max_seconds: None,
            files: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// An input file: its name below the source's folder, and what the planner knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "EntryForm", into = "EntryForm")]
pub struct FileEntry {
    /// The path below the source's folder, with `/` between names.
    pub name: String,
    /// The utterance's id, where it is not the source's own.
    pub id: Option<String>,
    /// What is said.
    pub text: Option<String>,
    /// Who speaks.
    pub speaker: Option<String>,
    /// The split, where it is not the source's own.
    pub split: Option<String>,
    /// Where the utterance begins in the file, in seconds.
    pub start: Option<f64>,
    /// Where it ends, in seconds.
    pub end: Option<f64>,
    /// What the utterance is for, where it is a benchmark's or a pair's.
    pub item: Option<Item>,
}

impl FileEntry {
    /// A file of which nothing more is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The folder's path (without a last `/`), and the file's name without its ending.
    pub fn folder_and_stem(&self) -> (&str, &str) {
        let (folder, file) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        (folder, file.rsplit_once('.').map_or(file, |(stem, _)| stem))
    }
}

/// An entry as a plan writes it: most are a name and nothing more.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum EntryForm {
    Name(String),
    Known(Box<Known>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item>,
}

impl From<EntryForm> for FileEntry {
    fn from(form: EntryForm) -> Self {
        match form {
            EntryForm::Name(name) => Self::named(name),
            EntryForm::Known(known) => {
                let Known { name, id, text, speaker, split, start, end, item } = *known;
                Self { name, id, text, speaker, split, start, end, item }
            }
        }
    }
}

impl From<FileEntry> for EntryForm {
    fn from(entry: FileEntry) -> Self {
        if entry == FileEntry::named(entry.name.clone()) {
            return Self::Name(entry.name);
        }
        let FileEntry { name, id, text, speaker, split, start, end, item } = entry;
        Self::Known(Box::new(Known { name, id, text, speaker, split, start, end, item }))
    }
}

/// Parameters of fitting a tokeniser's centroids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitParams {
    /// The feature extractor.
    pub features: FeatureConfig,
    /// How k-means is fitted.
    #[serde(default)]
    pub kmeans: KMeansConfig,
}

/// Parameters of the unitise stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitiseParams {
    /// The tokeniser's name.
    pub name: String,
    /// The feature extractor.
    pub features: FeatureConfig,
}

/// What an import is told of the units, as the lines do not say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    /// The tokeniser's name.
    pub tokeniser: String,
    /// How many units it has.
    pub k: u32,
    /// Frames a second before deduplication.
    pub units_per_second: f64,
    /// The split of every row.
    pub split: String,
}

/// Which pairs of a preference dataset are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairFilter {
    /// Pairs whose prompt and chosen text repeat this share of their bigrams or more are left out.
    pub max_auto_bleu2: f32,
}

impl Default for PairFilter {
    /// The recipe's 0.3.
    fn default() -> Self {
        Self { max_auto_bleu2: 0.3 }
    }
}

/// Parameters of the pair stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairParams {
    /// Which pairs are left out.
    pub filter: PairFilter,
    /// Where pairs come from, without the place; spoken segments where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Which part of the input's rows is this shard's: `[i, n]`.
    pub part: (u32, u32),
}

impl Default for PairParams {
    /// Of spoken segments, with the recipe's filter.
    fn default() -> Self {
        Self { filter: PairFilter::default(), source: None, part: (0, 1) }
    }
}

/// Parameters of the benchmark stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkParams {
    /// What the suite's folder lacks or has too much of, found when it was listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// Something in a source that is left out when it is listed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The item, or the file or row where it is no item's.
    pub id: String,
    /// The file or line it comes from, below the source's folder.
    pub source: String,
    /// In a few words, which the benchmark stage counts.
    pub reason: String,
    /// Why, whole.
    pub error: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::item::{PairSegment, Segment};
    use serde_json::json;

    #[test]
    fn a_file_of_which_only_the_name_is_known_is_written_as_its_name() {
        let known = FileEntry { text: Some("hi".into()), ..FileEntry::named("b.wav") };
        let written = serde_json::to_value([FileEntry::named("a.wav"), known.clone()]).unwrap();
        assert_eq!(written, json!(["a.wav", {"name": "b.wav", "text": "hi"}]));
        let segment = PairSegment { pair: "p".into(), segment: Segment::Prompt };
        let segment = FileEntry { item: Some(Item::Pair(segment)), ..FileEntry::named("c.wav") };
        let segment = serde_json::to_value(segment).unwrap();
        let item = json!({"pair": {"pair": "p", "segment": "prompt"}});
        assert_eq!(segment, json!({"name": "c.wav", "item": item}));
        let back: Vec<FileEntry> = serde_json::from_value(written).unwrap();
        assert_eq!(back, [FileEntry::named("a.wav"), known]);
    }
}
