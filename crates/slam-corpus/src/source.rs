//! Sources of utterances: recordings in files and in Parquet rows, and text that a program or a server speaks.
//!
//! What a corpus looks like on disk is its module's business alone. A [`Source`] turns the files of one unit
//! of work into [`Item`]s, in an order that depends on nothing but their content and names; ingest turns items
//! into rows, whatever the source.

mod folder;
mod grammar;
mod libri_light;
mod librispeech;
mod parquet;
mod speaker;
mod spoken_swag;
mod swag;
mod table;
mod tts;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slam_audio::Activity;
use slam_dataset::schema::Word;

pub use folder::Folder;
pub use grammar::Grammar;
pub use libri_light::LibriLight;
pub use librispeech::LibriSpeech;
pub use parquet::AudioParquet;
pub use speaker::{Engine, OpenAi, Speaker, SpeechError, TTS_COMMAND};
pub use spoken_swag::SpokenSwag;
pub use swag::{HellaSwag, PairSpeech, Swag};
pub use tts::Tts;

/// Parameters of the ingest stage for one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestParams {
    /// Where utterances come from.
    pub source: SourceConfig,
    /// The first row and the one after the last, of a source that makes its rows.
    #[serde(default)]
    pub rows: Option<(u64, u64)>,
    /// Of a source whose files hold rows: the i-th of so many equal parts of the rows of the unit's files.
    #[serde(default)]
    pub part: Option<(u64, u64)>,
    /// Recordings longer than this many seconds are cut by voice activity; none where absent.
    #[serde(default)]
    pub max_seconds: Option<f64>,
    /// The input files, of a source that reads files.
    #[serde(default)]
    pub files: Vec<FileEntry>,
}

/// An input file: its name below the source's folder, and what the planner knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "EntryForm")]
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
}

/// An entry as a plan writes it: most are a name and nothing more.
#[derive(Deserialize)]
#[serde(untagged)]
enum EntryForm {
    Name(String),
    Known(Known),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    id: Option<String>,
    text: Option<String>,
    speaker: Option<String>,
    split: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
}

impl From<EntryForm> for FileEntry {
    fn from(form: EntryForm) -> Self {
        match form {
            EntryForm::Name(name) => Self { name, ..Self::default() },
            EntryForm::Known(Known { name, id, text, speaker, split, start, end }) => {
                Self { name, id, text, speaker, split, start, end }
            }
        }
    }
}

impl FileEntry {
    /// The folder's path (without a last `/`), and the file's name without its ending.
    pub(crate) fn folder_and_stem(&self) -> (&str, &str) {
        let (folder, file) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        (folder, file.rsplit_once('.').map_or(file, |(stem, _)| stem))
    }
}

/// An input file of the unit.
#[derive(Clone, Debug)]
pub struct UnitFile {
    /// What the plan says of it.
    pub entry: FileEntry,
    /// Where it lies.
    pub path: PathBuf,
}

/// What a unit of work gives its source.
#[derive(Clone, Debug, Default)]
pub struct UnitFiles {
    /// The files, in the plan's order.
    pub files: Vec<UnitFile>,
    /// [`IngestParams::rows`].
    pub rows: Option<(u64, u64)>,
    /// [`IngestParams::part`].
    pub part: Option<(u64, u64)>,
}

/// One recording, or one text to speak, and what is known of it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The utterance's id; stable and unique in the dataset.
    pub id: String,
    /// The file it comes from, and the row where there are rows: for the quarantine table.
    pub origin: String,
    /// `train`, `validation`, …
    pub split: String,
    /// Who speaks, where known.
    pub speaker: Option<String>,
    /// What is said, where known.
    pub text: Option<String>,
    /// When each word is said, where known.
    pub words: Option<Vec<Word>>,
    /// The sound.
    pub sound: Sound,
    /// Where there is speech in it, should it be too long for one row.
    pub activity: Activity,
    /// The part of the sound that the utterance is, in seconds; all where absent.
    pub span: Option<(f64, Option<f64>)>,
}

impl Item {
    /// An item of which nothing more is known.
    pub fn new(
        id: impl Into<String>,
        origin: impl Into<String>,
        split: impl Into<String>,
        sound: Sound,
    ) -> Self {
        Self {
            id: id.into(),
            origin: origin.into(),
            split: split.into(),
            speaker: None,
            text: None,
            words: None,
            sound,
            activity: Activity::Detect,
            span: None,
        }
    }
}

/// Where an item's sound is.
#[derive(Clone, Debug)]
pub enum Sound {
    /// A file of any audio format.
    File(PathBuf),
    /// Such a file, in memory.
    Bytes(Vec<u8>),
    /// A text to be spoken.
    Text {
        /// The text.
        text: String,
        /// The voice, as the engine names it.
        voice: String,
    },
}

/// An input that gives no item, and why: it goes to quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The utterance, or the file where there is none.
    pub id: String,
    /// The file it comes from, and the row where there are rows.
    pub origin: String,
    /// Why.
    pub error: String,
}

impl Refused {
    /// One input that gives no item.
    pub fn new(id: impl Into<String>, origin: impl Into<String>, error: impl Into<String>) -> Self {
        Self { id: id.into(), origin: origin.into(), error: error.into() }
    }
}

/// The items of a unit, one after the other.
pub struct Items {
    /// How many steps `stream` takes, for progress.
    pub total: u64,
    /// The items. Not all are in memory at once.
    pub stream: Box<dyn Iterator<Item = Result<Item, Refused>> + Send>,
}

impl Items {
    /// Items that are known from the start.
    pub fn of(items: Vec<Result<Item, Refused>>) -> Self {
        Self { total: items.len() as u64, stream: Box::new(items.into_iter()) }
    }
}

/// A source whose files are not what it expects: its configuration is wrong, not a single input.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that is needed to read the others.
    #[error("failed to read {path}: {source}; check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no such columns.
    #[error("{path}: {message}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What is missing and what is there.
        message: String,
    },
    /// A field of the source that makes no sense.
    #[error("source '{kind}': {message}")]
    Field {
        /// The kind of source.
        kind: &'static str,
        /// What is wrong, and what to write.
        message: String,
    },
}

/// A kind of corpus.
pub trait Source {
    /// What the unit's files hold.
    ///
    /// # Errors
    /// If the files are not what this source reads. A single input that is no use is [`Refused`] instead.
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError>;

    /// What speaks its texts, where it has any.
    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        None
    }
}

/// A source and its fields, as pipelines write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SourceConfig {
    /// Audio files.
    Folder(Folder),
    /// The demo's texts, spoken.
    Grammar(Grammar),
    /// `split/speaker/chapter/*.flac` with transcripts.
    Librispeech(LibriSpeech),
    /// `size/speaker/book/*.flac` with lists of voice activity.
    LibriLight(LibriLight),
    /// Parquet files with an `Audio` column of Hugging Face `datasets`.
    Parquet(AudioParquet),
    /// SpokenSwag's Parquet files.
    SpokenSwag(SpokenSwag),
    /// SWAG's own CSV, spoken.
    Swag(Swag),
    /// HellaSwag's JSON lines, spoken.
    HellaSwag(HellaSwag),
    /// Texts of a table, spoken.
    Tts(Tts),
}

impl SourceConfig {
    /// The source.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Folder(s) => s,
            Self::Grammar(s) => s,
            Self::Librispeech(s) => s,
            Self::LibriLight(s) => s,
            Self::Parquet(s) => s,
            Self::SpokenSwag(s) => s,
            Self::Swag(s) => s,
            Self::HellaSwag(s) => s,
            Self::Tts(s) => s,
        }
    }
}

pub(crate) fn train() -> String {
    "train".to_owned()
}

#[cfg(test)]
mod testing;
