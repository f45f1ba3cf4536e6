//! Sources of utterances: recordings in files, and text that a program speaks.

mod folder;
mod speech;

use serde::{Deserialize, Serialize};

pub use folder::utterance_of_file;
pub use speech::{Speaker, SpeechError, TTS_COMMAND};

use crate::grammar::Part;

/// Parameters of the ingest stage for one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestParams {
    /// Where utterances come from.
    pub source: Source,
    /// The first row and the one after the last, of a source that makes its rows.
    #[serde(default)]
    pub rows: Option<(u64, u64)>,
    /// The names of the input files, of a source that reads files.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A source of utterances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Audio files, one utterance each; ids are paths below the folder.
    Folder {
        /// The split of every row.
        #[serde(default = "train")]
        split: String,
    },
    /// The demo's texts, spoken.
    Grammar {
        /// Which texts.
        part: Part,
        /// The seed of the texts.
        #[serde(default)]
        seed: u64,
        /// The voice, as the speech program names it.
        #[serde(default = "english")]
        voice: String,
        /// Words per minute, where the program takes it.
        #[serde(default)]
        rate_wpm: Option<u32>,
        /// The program that speaks.
        #[serde(default)]
        engine: Engine,
    },
}

/// What speaks. It is a parameter of the shard: another engine, another sound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The project's own program, one process for many lines.
    #[default]
    SlamSpeak,
    /// Any command: text on stdin, a WAV file on stdout, one process a line. Run by `sh -c`.
    Command(String),
}

fn train() -> String {
    "train".to_owned()
}

fn english() -> String {
    "en".to_owned()
}
