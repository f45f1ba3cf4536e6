//! Where a dataset comes from: one type a kind of source, and [`Source`], the only list of the kinds.
//!
//! A pipeline names a source with all its fields. A stage gets it without those that say where it lies
//! ([`Source::without_place`]): a folder may move, its content is in the keys of its files.

mod made;
mod recordings;
mod split;
mod spoken;
mod suite;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use made::{
    Better, Cut, OwnContinuation, Sampled, Sampling, ScorerConfig, SlamkitPairs, UnitFiles,
};
pub use recordings::{
    AudioParquet, Folder, LibriLight, LibriSpeech, RecordingsManifest, SpokenSwag,
};
pub use spoken::{Engine, Grammar, HellaSwag, OpenAi, PairSpeech, Part, Swag, Tts};
pub use suite::{Layout, Suite, Task};

/// A source and its fields, as pipelines and data manifests write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Audio files.
    Folder(Folder),
    /// `split/speaker/chapter/*.flac` with transcripts.
    Librispeech(LibriSpeech),
    /// `size/speaker/book/*.flac` with lists of voice activity.
    LibriLight(LibriLight),
    /// Parquet files with an `Audio` column of Hugging Face `datasets`.
    Parquet(AudioParquet),
    /// SpokenSwag's Parquet files.
    SpokenSwag(SpokenSwag),
    /// A table that names recordings.
    Manifest(RecordingsManifest),
    /// A benchmark suite in the folders that it is published in.
    Suite(Suite),
    /// The demo's texts, spoken.
    Grammar(Grammar),
    /// SWAG's own CSV, spoken.
    Swag(Swag),
    /// HellaSwag's JSON lines, spoken.
    HellaSwag(HellaSwag),
    /// Texts of a table, spoken.
    Tts(Tts),
    /// Unit sequences that another program made: nothing is ingested.
    Units(UnitFiles),
    /// slamkit's JSON lines of preference pairs.
    SlamkitPairs(SlamkitPairs),
    /// Stories of a unit dataset: each one's own continuation against another's.
    OwnContinuation(OwnContinuation),
    /// Continuations that a model draws and a scorer ranks.
    Sampled(Sampled),
}

/// How a dataset of a source is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Files or texts become a corpus, which becomes units.
    Corpus,
    /// Files hold units already.
    Units,
    /// Pairs are made of files or of another dataset's units.
    Pairs,
}

impl Source {
    /// The kind, as files write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::Librispeech(_) => "librispeech",
            Self::LibriLight(_) => "libri-light",
            Self::Parquet(_) => "parquet",
            Self::SpokenSwag(_) => "spoken-swag",
            Self::Manifest(_) => "manifest",
            Self::Suite(_) => "suite",
            Self::Grammar(_) => "grammar",
            Self::Swag(_) => "swag",
            Self::HellaSwag(_) => "hella-swag",
            Self::Tts(_) => "tts",
            Self::Units(_) => "units",
            Self::SlamkitPairs(_) => "slamkit-pairs",
            Self::OwnContinuation(_) => "own-continuation",
            Self::Sampled(_) => "sampled",
        }
    }

    /// How a dataset of this source is made.
    pub fn making(&self) -> Making {
        match self {
            Self::Units(_) => Making::Units,
            Self::SlamkitPairs(_) | Self::OwnContinuation(_) | Self::Sampled(_) => Making::Pairs,
            _ => Making::Corpus,
        }
    }

    /// The field that holds the folder, of a source that lies in one.
    pub fn folder_mut(&mut self) -> Option<&mut Option<PathBuf>> {
        Some(match self {
            Self::Folder(s) => &mut s.folder,
            Self::Librispeech(s) => &mut s.folder,
            Self::LibriLight(s) => &mut s.folder,
            Self::Parquet(s) => &mut s.folder,
            Self::SpokenSwag(s) => &mut s.folder,
            Self::Manifest(s) => &mut s.folder,
            Self::Suite(s) => &mut s.folder,
            Self::Swag(s) => &mut s.folder,
            Self::HellaSwag(s) => &mut s.folder,
            Self::Tts(s) => &mut s.folder,
            Self::Units(s) => &mut s.folder,
            Self::SlamkitPairs(s) => &mut s.folder,
            Self::Grammar(_) | Self::OwnContinuation(_) | Self::Sampled(_) => return None,
        })
    }

    /// The folder that the source lies in, where it is said.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(s) => s.folder.as_deref(),
            Self::Librispeech(s) => s.folder.as_deref(),
            Self::LibriLight(s) => s.folder.as_deref(),
            Self::Parquet(s) => s.folder.as_deref(),
            Self::SpokenSwag(s) => s.folder.as_deref(),
            Self::Manifest(s) => s.folder.as_deref(),
            Self::Suite(s) => s.folder.as_deref(),
            Self::Swag(s) => s.folder.as_deref(),
            Self::HellaSwag(s) => s.folder.as_deref(),
            Self::Tts(s) => s.folder.as_deref(),
            Self::Units(s) => s.folder.as_deref(),
            Self::SlamkitPairs(s) => s.folder.as_deref(),
            Self::Grammar(_) | Self::OwnContinuation(_) | Self::Sampled(_) => None,
        }
    }

    /// The parts of the folder that are taken; all (or the kind's own choice) where none is named.
    pub fn subsets(&self) -> Option<&[String]> {
        match self {
            Self::Folder(s) => s.subsets.as_deref(),
            Self::Librispeech(s) => s.subsets.as_deref(),
            Self::LibriLight(s) => s.subsets.as_deref(),
            Self::Parquet(s) => s.subsets.as_deref(),
            Self::SpokenSwag(s) => s.subsets.as_deref(),
            Self::Swag(s) => s.subsets.as_deref(),
            Self::HellaSwag(s) => s.subsets.as_deref(),
            Self::Tts(s) => s.subsets.as_deref(),
            Self::Units(s) => s.subsets.as_deref(),
            _ => None,
        }
    }

    /// The source without what only says where it lies and which of its files are taken: this enters keys.
    #[must_use]
    pub fn without_place(&self) -> Self {
        let mut source = self.clone();
        if let Some(folder) = source.folder_mut() {
            *folder = None;
        }
        let subsets = match &mut source {
            Self::Folder(s) => Some(&mut s.subsets),
            Self::Librispeech(s) => Some(&mut s.subsets),
            Self::LibriLight(s) => Some(&mut s.subsets),
            Self::Parquet(s) => Some(&mut s.subsets),
            Self::SpokenSwag(s) => Some(&mut s.subsets),
            Self::Swag(s) => Some(&mut s.subsets),
            Self::HellaSwag(s) => Some(&mut s.subsets),
            Self::Tts(s) => Some(&mut s.subsets),
            Self::Units(s) => Some(&mut s.subsets),
            _ => None,
        };
        if let Some(subsets) = subsets {
            *subsets = None;
        }
        match &mut source {
            Self::Manifest(s) => s.file = None,
            Self::SlamkitPairs(s) => s.units_of = None,
            Self::OwnContinuation(s) => s.of = None,
            Self::Sampled(s) => (s.of, s.checkpoint) = (None, None),
            _ => {}
        }
        source
    }

    /// The dataset whose units the source's pairs are made of, or are of the same tokeniser as.
    pub fn of_dataset(&self) -> Option<&str> {
        match self {
            Self::SlamkitPairs(s) => s.units_of.as_deref(),
            Self::OwnContinuation(s) => s.of.as_deref(),
            Self::Sampled(s) => s.of.as_deref(),
            _ => None,
        }
    }

    /// What speaks the source's texts, where it has texts.
    pub fn engine(&self) -> Option<&Engine> {
        match self {
            Self::Grammar(s) => Some(&s.engine),
            Self::Swag(s) => Some(&s.speech.engine),
            Self::HellaSwag(s) => Some(&s.speech.engine),
            Self::Tts(s) => Some(&s.engine),
            _ => None,
        }
    }

    /// The field of [`Self::engine`].
    pub fn engine_mut(&mut self) -> Option<&mut Engine> {
        match self {
            Self::Grammar(s) => Some(&mut s.engine),
            Self::Swag(s) => Some(&mut s.speech.engine),
            Self::HellaSwag(s) => Some(&mut s.speech.engine),
            Self::Tts(s) => Some(&mut s.engine),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_kind_is_refused_with_the_list_of_kinds() {
        let source = json!({"kind": "libri-lite"});
        let error = serde_json::from_value::<Source>(source).unwrap_err().to_string();
        for kind in ["libri-lite", "`libri-light`", "`folder`", "`suite`", "`sampled`"] {
            assert!(error.contains(kind), "{error}");
        }
    }

    #[test]
    fn an_unknown_field_of_any_kind_is_refused_by_name() {
        let kinds = [
            json!({"kind": "folder"}),
            json!({"kind": "librispeech"}),
            json!({"kind": "libri-light"}),
            json!({"kind": "parquet"}),
            json!({"kind": "spoken-swag"}),
            json!({"kind": "manifest"}),
            json!({"kind": "suite", "layout": "salmon"}),
            json!({"kind": "grammar", "part": "cloze"}),
            json!({"kind": "swag"}),
            json!({"kind": "hella-swag"}),
            json!({"kind": "tts"}),
            json!({"kind": "units", "k": 5, "units_per_second": 25.0}),
            json!({"kind": "slamkit-pairs"}),
            json!({"kind": "own-continuation"}),
            json!({"kind": "sampled", "scorer": {"url": "http://x"}}),
        ];
        for good in kinds {
            let source: Source = serde_json::from_value(good.clone()).unwrap();
            assert_eq!(good["kind"], source.kind());
            let mut bad = good;
            bad["fodler"] = json!("x");
            let error = serde_json::from_value::<Source>(bad).unwrap_err().to_string();
            assert!(error.contains("fodler"), "{error}");
        }
    }

    #[test]
    fn a_place_is_no_part_of_what_enters_a_key() {
        let source = |folder: &str| -> Source {
            let source = json!({"kind": "librispeech", "folder": folder, "subsets": ["dev-clean"]});
            serde_json::from_value(source).unwrap()
        };
        assert_ne!(source("a"), source("b"));
        assert_eq!(source("a").without_place(), source("b").without_place());
        let bare = serde_json::to_value(source("a").without_place()).unwrap();
        assert_eq!(bare, json!({"kind": "librispeech"}));
    }
}
