//! Benchmark suites in the folders that they are published in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A suite on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// How the folder is laid out.
    pub layout: Layout,
    /// The folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The suite's name in scores; where it is missing, the layout's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// ZeroSpeech: which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// ZeroSpeech: `dev` or `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

/// How a suite's folder is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The tasks of ZeroSpeech 2021 that have a gold file of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// sWUGGY: columns `filename,id,voice,frequency,word,phones,length,correct`.
    Lexical,
    /// sBLIMP: columns `filename,id,voice,type,subtype,transcription,correct`.
    Syntactic,
}

impl Task {
    /// The suite's name: `swuggy` or `sblimp`.
    pub fn suite(self) -> &'static str {
        match self {
            Self::Lexical => "swuggy",
            Self::Syntactic => "sblimp",
        }
    }

    /// The task's folder in data sets and submissions.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Lexical => "lexical",
            Self::Syntactic => "syntactic",
        }
    }
}
