//! Sources that hold text, which a program or a server speaks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::split::train;

/// The demo's texts, spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grammar {
    /// Which texts.
    pub part: Part,
    /// The seed of the texts.
    #[serde(default)]
    pub seed: u64,
    /// The voice, as the speech program names it.
    #[serde(default = "english")]
    pub voice: String,
    /// Words per minute, where the program takes it.
    #[serde(default)]
    pub rate_wpm: Option<u32>,
    /// The program that speaks.
    #[serde(default)]
    pub engine: Engine,
}

/// Which of the demo's datasets to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Stories to train on; every 40th row is a held-out one for validation.
    Stories,
    /// Held-out stories as prompt, chosen and rejected ending: three texts a row.
    Preference,
    /// Words and non-words: two texts a row.
    Lexical,
    /// Right and wrong sentences: two texts a row.
    Syntactic,
    /// Held-out stories with their own and another's ending: two texts a row.
    Cloze,
}

/// SWAG's own CSV (`train.csv`: Zellers et al. 2018): the first sentence is the prompt, the beginning of the
/// second with the right ending is chosen, with a wrong one rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swag {
    /// The folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The values of `gold-source` that are taken: `gold` endings are what happened, `gen` ones are made up.
    /// Empty for all.
    pub gold_sources: Vec<String>,
    /// How the pairs are drawn and spoken.
    #[serde(flatten)]
    pub speech: PairSpeech,
}

impl Default for Swag {
    /// Those that happened, as the recipe has it.
    fn default() -> Self {
        Self {
            folder: None,
            subsets: None,
            gold_sources: vec!["gold".into()],
            speech: PairSpeech::default(),
        }
    }
}

/// HellaSwag's JSON lines (`hellaswag_train.jsonl`: Zellers et al. 2019): `ctx_a` is the prompt, `ctx_b` with
/// an ending the continuation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HellaSwag {
    /// The folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// How the pairs are drawn and spoken.
    #[serde(flatten)]
    pub speech: PairSpeech,
}

/// How rows become spoken pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairSpeech {
    /// The seed of the wrong endings and the voices.
    pub seed: u64,
    /// The voices, as the engine names them.
    pub voices: Vec<String>,
    /// In how many of them each pair is spoken, each time with another draw of the wrong ending.
    pub voices_per_pair: usize,
    /// Words per minute, where the program takes it.
    pub rate_wpm: Option<u32>,
    /// What speaks.
    pub engine: Engine,
    /// The split of every row.
    pub split: String,
}

impl Default for PairSpeech {
    fn default() -> Self {
        Self {
            seed: 0,
            voices: vec!["en".into()],
            voices_per_pair: 1,
            rate_wpm: None,
            engine: Engine::default(),
            split: "preference".into(),
        }
    }
}

/// Texts of TSV, CSV, JSON-lines or Parquet tables, spoken by a program or a server.
///
/// A row with the column `text` gives one utterance; a row with `prompt_text`, `chosen_text` and
/// `rejected_text` gives the three of a preference pair, in one voice. The columns `id`, `voice` (or
/// `speaker`) and `split` are read where there are any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tts {
    /// The folder, or one table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only files below folders of these names, or whose own names begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<Vec<String>>,
    /// The column of the text.
    #[serde(default = "text")]
    pub text: String,
    /// The voices, as the engine names them. A row that names none gets one by a hash of its id.
    #[serde(default = "english_voices")]
    pub voices: Vec<String>,
    /// What speaks.
    #[serde(default)]
    pub engine: Engine,
    /// Words per minute, where the program takes it.
    #[serde(default)]
    pub rate_wpm: Option<u32>,
    /// The split of rows that name none.
    #[serde(default = "train")]
    pub split: String,
}

/// What speaks. It is a parameter of the shard: another engine, another sound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The project's own program, one process for many lines.
    #[default]
    SlamSpeak,
    /// Any command, run by `sh -c`, one process a line: text on stdin, a WAV (or other audio) file on stdout.
    /// `{voice}`, `{text}` and `{out}` in it become, as one word each, the voice, the text, and the file to
    /// write where the program writes to no stdout. `espeak-ng -v {voice} --stdout`,
    /// `piper -m {voice}.onnx -f {out}`.
    Command(String),
    /// A server.
    #[serde(rename = "openai")]
    OpenAi(OpenAi),
}

/// A speech server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAi {
    /// Its address without the path, e.g. `http://localhost:8880`; where absent, `SLAM_TTS_URL` names it, so
    /// that a worker elsewhere may have a server of its own.
    #[serde(default)]
    pub url: Option<String>,
    /// The model, as the server names it.
    pub model: String,
    /// Speed, where 1 is the voice's own.
    #[serde(default)]
    pub speed: Option<f32>,
}

fn english() -> String {
    "en".to_owned()
}

fn english_voices() -> Vec<String> {
    vec![english()]
}

fn text() -> String {
    "text".to_owned()
}
