//! Sources that hold recordings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::split::train;

/// Audio files, one utterance each. Ids are paths below the folder unless the plan gives others. A share of the rows
/// that would be `train` is validation. A hash of the speaker's name, or of the file's where the speaker is not known,
/// decides; other files do not change it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The split of every row that the plan gives no other.
    #[serde(default = "train")]
    pub split: String,
    /// The share of `train` that is held out for validation, in percent.
    #[serde(default = "one")]
    pub validation_percent: f64,
}

impl Default for Folder {
    fn default() -> Self {
        Self { folder: None, subsets: None, split: train(), validation_percent: one() }
    }
}

/// LibriSpeech (Panayotov et al. 2015). The `dev` parts are validation, `test` parts test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibriSpeech {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Its parts, e.g. `train-clean-100` [default: all but the `test` parts].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
}

/// Libri-Light (Kahn et al. 2020). Recordings are cut by its own voice activity lists. A share of the books is
/// validation: a book is in it or not by a hash of speaker and book, whatever else there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibriLight {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Its sizes: `small`, `medium`, `large` [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The share of the books that are held out for validation, in percent.
    #[serde(default = "one")]
    pub validation_percent: f64,
}

fn one() -> f64 {
    1.0
}

/// Parquet files with an `Audio` column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioParquet {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The column of the recordings: a struct of `bytes` and `path`, or bytes.
    #[serde(default = "audio")]
    pub audio: String,
    /// The column of the ids; where absent, ids are made of the file's name and the row.
    #[serde(default)]
    pub id: Option<String>,
    /// The column of what is said; `text` where there is one.
    #[serde(default)]
    pub text: Option<String>,
    /// The column of words and their times, a list of structs; `aligned_text` where there is one.
    #[serde(default)]
    pub words: Option<String>,
    /// The column of who speaks; `speaker` where there is one.
    #[serde(default)]
    pub speaker: Option<String>,
    /// The split of every row.
    #[serde(default = "train")]
    pub split: String,
}

fn audio() -> String {
    "audio".to_owned()
}

/// SpokenSwag's Parquet files: `speaker`, and `prompt`, `chosen` and `rejected` with the `_text` of each. A
/// row gives the three utterances of one pair, `<file>/<row>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpokenSwag {
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so [default: all but validation and
    /// test].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The split of every row; where absent, what the file's name begins with (`train-00000-of-00058`).
    #[serde(default)]
    pub split: Option<String>,
}

/// A TSV, CSV or JSON-lines table that names recordings and what is known of each, or one in fairseq's form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingsManifest {
    /// The table. Where absent, the source is that of the data manifest `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What the table's paths are relative to [default: the table's own folder].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The data manifest in `data-manifests/` [default: that of the dataset's name].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The split of rows that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The share of rows that name no split which is held out for validation, in percent, by speaker where known
    /// [default: 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_percent: Option<f64>,
}
