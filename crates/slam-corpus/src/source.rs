//! Sources of utterances: recordings in files and in Parquet rows, and text that a program or a server
//! speaks.
//!
//! Only the corpus's own module knows its layout on disk. A [`Source`] turns the files of one unit of work
//! into [`Item`]s, in an order that depends only on their content and names. The stage ingest turns items
//! into rows, for every source.

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

use slam_audio::Activity;
use slam_dataset::schema::Word;

use slam_recipe::Key;
use slam_recipe::params::FileEntry;
use slam_recipe::source::Engine;

pub use speaker::{Speaker, SpeechError, TTS_COMMAND};

/// An input file of the unit.
#[derive(Clone, Debug)]
pub struct UnitFile {
    /// What the plan says about it.
    pub entry: FileEntry,
    /// The path of the file.
    pub path: PathBuf,
}

/// The input that a unit of work gives its source.
#[derive(Clone, Debug, Default)]
pub struct UnitFiles {
    /// The files, in the plan's order.
    pub files: Vec<UnitFile>,
    /// [`slam_recipe::params::IngestParams::rows`].
    pub rows: Option<(u64, u64)>,
    /// [`slam_recipe::params::IngestParams::part`].
    pub part: Option<(u64, u64)>,
}

/// One recording, or one text to speak, and what is known about it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The utterance's id. It is stable and unique in the dataset.
    pub id: String,
    /// The file it comes from, and the row if the file has rows. The quarantine table shows this.
    pub origin: String,
    /// `train`, `validation`, …
    pub split: String,
    /// The speaker, if known.
    pub speaker: Option<String>,
    /// The text that is spoken, if known.
    pub text: Option<String>,
    /// The time of each word, if known.
    pub words: Option<Vec<Word>>,
    /// The sound.
    pub sound: Sound,
    /// Where there is speech in the sound. This is used if the sound is too long for one row.
    pub activity: Activity,
    /// The part of the sound that is the utterance, in seconds; `None` for the whole sound.
    pub span: Option<(f64, Option<f64>)>,
    /// What the utterance is for, where it is a benchmark's or a preference pair's.
    pub item: Option<slam_recipe::Item>,
}

impl Item {
    /// Makes the item of a benchmark's or a pair's utterance, whose id follows from what it is for.
    pub fn of(
        item: slam_recipe::Item,
        origin: impl Into<String>,
        split: impl Into<String>,
        sound: Sound,
    ) -> Self {
        let id = item.utterance_id();
        Self { item: Some(item), ..Self::new(id, origin, split, sound) }
    }

    /// Makes an item without any further information.
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
            item: None,
        }
    }
}

/// Whether something is held out for validation: whether the hash of its name is in the lowest `percent` of all
/// hashes.
fn held_out(name: &str, percent: f64) -> bool {
    let hash = Key::of_bytes(name.as_bytes());
    let place = u64::from_str_radix(&hash.as_str()[..13], 16).unwrap_or(0);
    place as f64 / (1u64 << 52) as f64 * 100.0 < percent
}

fn check_percent(kind: &'static str, percent: f64) -> Result<(), SourceError> {
    let fits = (0.0..=100.0).contains(&percent);
    if fits { Ok(()) } else { Err(SourceError::Percent { kind, percent }) }
}

/// Where the sound of an item is.
#[derive(Clone, Debug)]
pub enum Sound {
    /// A file of any audio format.
    File(PathBuf),
    /// An audio file in memory.
    Bytes(Vec<u8>),
    /// A text to synthesise.
    Text {
        /// The text.
        text: String,
        /// The voice, by the engine's name for it.
        voice: String,
    },
}

/// An input that gives no item, and the reason. It goes to quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The utterance, or the file if there is no utterance.
    pub id: String,
    /// The file it comes from, and the row if the file has rows.
    pub origin: String,
    /// The reason.
    pub error: String,
}

impl Refused {
    /// Makes the entry for one input that gives no item.
    pub fn new(id: impl Into<String>, origin: impl Into<String>, error: impl Into<String>) -> Self {
        Self { id: id.into(), origin: origin.into(), error: error.into() }
    }
}

/// The items of a unit, one after the other.
pub struct Items {
    /// The number of steps that `stream` takes, for progress.
    pub total: u64,
    /// The items. They are not all in memory at once.
    pub stream: Box<dyn Iterator<Item = Result<Item, Refused>> + Send>,
}

impl Items {
    /// Makes the items from a list that is known from the start.
    pub fn new(items: Vec<Result<Item, Refused>>) -> Self {
        Self { total: items.len() as u64, stream: Box::new(items.into_iter()) }
    }
}

/// A source's files do not match what it expects. Its configuration is wrong, not a single input.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that is needed to read the others cannot be read.
    #[error("failed to read {path}: {source}; check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// A table of text cannot be read.
    #[error("{path}: {source}; the first line must name the columns")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: csv::Error,
    },
    /// The file does not have a column that the source needs.
    #[error("{path}: there is no column '{column}'; its columns are {}", found.join(", "))]
    Column {
        /// The file.
        path: PathBuf,
        /// The column that is missing.
        column: String,
        /// The columns that the file has.
        found: Vec<String>,
    },
    /// The file has no column of text to speak.
    #[error(
        "{path}: there is neither a column '{column}' nor prompt_text, chosen_text and rejected_text; its columns \
         are {}",
        found.join(", ")
    )]
    NoText {
        /// The file.
        path: PathBuf,
        /// The column that the source names.
        column: String,
        /// The columns that the file has.
        found: Vec<String>,
    },
    /// The source names no voice.
    #[error("source '{kind}': voices is empty; name one, e.g. voices = [\"af_heart\"]")]
    NoVoices {
        /// The kind of source.
        kind: &'static str,
    },
    /// The source names fewer voices than each pair is spoken in, or each pair is spoken in none.
    #[error(
        "source '{kind}': voices_per_pair is {per_pair} of {voices} voices; name at least as many, e.g. \
         voices = [\"en\"]"
    )]
    TooFewVoices {
        /// The kind of source.
        kind: &'static str,
        /// The value of `voices_per_pair`.
        per_pair: usize,
        /// The number of voices.
        voices: usize,
    },
    /// A share is not between 0 and 100.
    #[error("source '{kind}': validation_percent is {percent}; write a number from 0 to 100")]
    Percent {
        /// The kind of source.
        kind: &'static str,
        /// The share, in per cent.
        percent: f64,
    },
}

/// A kind of corpus.
pub trait Source {
    /// Returns what the unit's files hold.
    ///
    /// # Errors
    /// Fails if the files are not of the form that this source reads. A single unusable input is
    /// [`Refused`] instead.
    fn items(&self, unit: UnitFiles) -> Result<Items, SourceError>;

    /// Returns the engine that speaks the source's texts, if it has any.
    fn engine(&self) -> Option<(&Engine, Option<u32>)> {
        None
    }
}

/// The reader of a source; none of a source that holds no speech, or whose recordings the plan names one by one.
pub fn reader(source: &slam_recipe::source::Source) -> Option<&dyn Source> {
    use slam_recipe::source::Source as Kind;
    Some(match source {
        Kind::Folder(s) => s,
        Kind::Grammar(s) => s,
        Kind::Librispeech(s) => s,
        Kind::LibriLight(s) => s,
        Kind::Parquet(s) => s,
        Kind::SpokenSwag(s) => s,
        Kind::Swag(s) => s,
        Kind::HellaSwag(s) => s,
        Kind::Tts(s) => s,
        Kind::Manifest(_)
        | Kind::Suite(_)
        | Kind::Units(_)
        | Kind::SlamkitPairs(_)
        | Kind::OwnContinuation(_)
        | Kind::Sampled(_) => return None,
    })
}

#[cfg(test)]
mod testing;
