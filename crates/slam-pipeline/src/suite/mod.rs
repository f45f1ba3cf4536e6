//! Benchmark suites in the folders that they are published in: which recording is which side of which item.
//!
//! A suite is read as a whole, at planning: what a name means may depend on another file (`gold.csv`), and
//! whether something is missing on all of them. The ingest stage then reads named recordings.

mod salmon;
mod shards;
mod slamkit;
mod story_cloze;
mod zerospeech;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slam_dataset::ItemKey;

pub use shards::shards;
pub use slam_dataset::gold::Task;

use crate::source::{self, SourceError, SourceFile};

/// A suite on disk, as a pipeline's dataset names it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Always `suite`.
    pub kind: String,
    /// How the folder is laid out.
    pub layout: Layout,
    /// The folder.
    pub folder: PathBuf,
    /// The suite's name in scores; where it is missing, the layout's own.
    #[serde(default)]
    pub name: Option<String>,
    /// ZeroSpeech: which task.
    #[serde(default)]
    pub task: Option<Task>,
    /// ZeroSpeech: `dev` or `test`.
    #[serde(default)]
    pub split: Option<String>,
}

/// How a suite's folder is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// ZeroSpeech 2021: `lexical|syntactic/{dev,test}/*.wav` with `gold.csv`; the folder is the data set's
    /// or one with a `gold.csv` in it.
    Zerospeech,
    /// Slamkit's sWUGGY: `{inter,oov}/<n>_….wav`; even is the positive, the odd number behind it its mate.
    SlamkitSwuggy,
    /// Slamkit's sBLIMP: `<phenomenon>/<n>+….wav`, numbers as in its sWUGGY.
    SlamkitSblimp,
    /// Spoken StoryCloze: `…<id>_correct.wav` and `…<id>_incorrect.wav`, flat or in a folder a speaker.
    StoryCloze,
    /// SALMon: `<part>/sample_<i>_….wav`; of a sample's two, the first by name is the positive.
    Salmon,
}

/// The reason of files whose names are not of the layout.
const NO_ITEM: &str = "files of no item";

/// What a suite's folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Recordings that belong to an item, in the order of their items.
    pub files: Vec<(ItemKey, SourceFile)>,
    /// What does not belong to one, or is announced and not there.
    pub refused: Vec<Refused>,
    /// The split, where the layout says it.
    pub split: Option<String>,
}

/// Something in a suite that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The item, or the file where it is no item's.
    pub id: String,
    /// The file or line it comes from, below the suite's folder.
    pub source: String,
    /// In a few words that are counted.
    pub reason: String,
    /// Why, whole.
    pub error: String,
}

impl Refused {
    fn new(id: &str, source: &str, reason: &str, error: impl Into<String>) -> Self {
        let (id, source, reason) = (id.to_owned(), source.to_owned(), reason.to_owned());
        Self { id, source, reason, error: error.into() }
    }
}

impl Suite {
    /// Lists the suite.
    ///
    /// # Errors
    /// If the folder or its gold file cannot be read, or holds no recordings.
    pub fn list(&self) -> Result<Listing, SourceError> {
        let mut listing = match self.layout {
            Layout::Zerospeech => zerospeech::list(self)?,
            Layout::SlamkitSwuggy => slamkit::list(self, "swuggy", '_')?,
            Layout::SlamkitSblimp => slamkit::list(self, "sblimp", '+')?,
            Layout::StoryCloze => story_cloze::list(self)?,
            Layout::Salmon => salmon::list(self)?,
        };
        listing.refuse_bars();
        listing.files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(listing)
    }

    fn name_or(&self, default: &str) -> String {
        self.name.clone().unwrap_or_else(|| default.to_owned())
    }
}

impl Listing {
    fn add(&mut self, key: ItemKey, file: SourceFile) {
        self.files.push((key, file));
    }

    fn refuse(&mut self, file: &SourceFile, reason: &str, error: impl Into<String>) {
        self.refused.push(Refused::new(&file.relative, &file.relative, reason, error));
    }

    /// An id's fields are set apart by `|`, which no field may have.
    fn refuse_bars(&mut self) {
        let barred = |key: &ItemKey| {
            let fields = [&key.suite, &key.id, &key.voice, &key.kind, &key.subkind];
            fields.into_iter().chain(&key.file).any(|field| field.contains('|'))
        };
        for (key, file) in std::mem::take(&mut self.files) {
            if barred(&key) {
                self.refuse(&file, NO_ITEM, "a field of the item has a '|'; rename it");
            } else {
                self.add(key, file);
            }
        }
    }
}

/// The recordings of a folder, as `folder/…/stem`.
fn recordings(folder: &Path) -> Result<Vec<SourceFile>, SourceError> {
    source::list_folder(folder)
}

/// A relative path's folder (without a last `/`) and its file's stem.
fn folder_and_stem(relative: &str) -> (&str, &str) {
    let (folder, file) = relative.rsplit_once('/').unwrap_or(("", relative));
    (folder, file.rsplit_once('.').map_or(file, |(stem, _)| stem))
}

#[cfg(test)]
mod tests;
