//! Requests to the worker: one type each, and [`Request`], the only list of them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluation::{Convention, ProbeRequest, Services, SubmissionMeta};
use crate::hash::Key;
use crate::pipeline::{Model, Pipeline, Role};
use crate::publish::{self, PublishError};
use crate::tokeniser::FeatureConfig;
use crate::training::{DpoConfig, PretrainConfig};
use crate::wire::{self, Sealed, WireError};
use crate::work::{Input, WorkUnit};

/// What a worker is asked to do, beside units of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Pre-train a model.
    Pretrain(PretrainRequest),
    /// Take the first steps of pre-training, say what the whole would come to, and keep nothing.
    PlanPretrain(PretrainRequest),
    /// Optimise a model's preferences.
    Dpo(DpoRequest),
    /// Score a checkpoint.
    Evaluate(EvaluateRequest),
    /// Make tables of scores that are there, without a model.
    Scores(ScoresRequest),
    /// Write a run's report.
    Report(Box<ReportRequest>),
    /// Write a page that compares runs.
    Compare(CompareRequest),
    /// Continue spoken prompts.
    Generate(GenerateRequest),
    /// Write checkpoints and unit shards in other programs' forms, or read them.
    Convert(ConvertRequest),
    /// Download public data.
    Fetch(FetchRequest),
    /// Move shards between a folder and the object store that it mirrors.
    Store(StoreRequest),
    /// Say a shard's shape and some of its rows.
    Show(ShowRequest),
    /// Say whether other requests would be taken, without carrying them out.
    Check(CheckRequest),
    /// Compare a device's losses and gradients with the CPU's.
    CheckDevice,
}

impl Request {
    /// The name, as files and messages write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretrain",
            Self::PlanPretrain(_) => "plan-pretrain",
            Self::Dpo(_) => "dpo",
            Self::Evaluate(_) => "evaluate",
            Self::Scores(_) => "scores",
            Self::Report(_) => "report",
            Self::Compare(_) => "compare",
            Self::Generate(_) => "generate",
            Self::Convert(_) => "convert",
            Self::Fetch(_) => "fetch",
            Self::Store(_) => "store",
            Self::Show(_) => "show",
            Self::Check(_) => "check",
            Self::CheckDevice => "check-device",
        }
    }

    /// Whether it trains, and so may use several devices.
    pub fn trains(&self) -> bool {
        matches!(self, Self::Pretrain(_) | Self::PlanPretrain(_) | Self::Dpo(_))
    }

    /// The shards that it reads.
    pub fn shards(&self) -> Vec<&Path> {
        fn of<'a>(
            shards: impl IntoIterator<Item = &'a PathBuf>,
            suites: Option<&'a ProbeRequest>,
        ) -> Vec<&'a Path> {
            let suites = suites.into_iter().flat_map(|s| &s.shards);
            shards.into_iter().chain(suites).map(PathBuf::as_path).collect()
        }
        match self {
            Self::Pretrain(r) | Self::PlanPretrain(r) => {
                of(r.datasets.iter().flat_map(|d| &d.shards), r.suites.as_ref())
            }
            Self::Dpo(r) => of(&r.shards, r.suites.as_ref()),
            Self::Evaluate(r) => of(&r.shards, None),
            Self::Report(r) => {
                of(r.datasets.iter().flat_map(|d| d.corpus.iter().chain(&d.units)), None)
            }
            Self::Compare(r) => {
                let datasets = r.runs.iter().flat_map(|r| &r.datasets);
                of(datasets.flat_map(|d| d.corpus.iter().chain(&d.units)), None)
            }
            Self::Scores(_)
            | Self::Generate(_)
            | Self::Convert(_)
            | Self::Fetch(_)
            | Self::Store(_)
            | Self::Show(_)
            | Self::Check(_)
            | Self::CheckDevice => Vec::new(),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// If the file cannot be read, is no request, or is of another version of the wire format.
    pub fn read(path: &Path) -> Result<Self, RequestError> {
        let bytes = std::fs::read(path)
            .map_err(|source| RequestError::Read { path: path.to_owned(), source })?;
        wire::open(&bytes).map_err(|source| RequestError::Wire { path: path.to_owned(), source })
    }

    /// Publishes the request as a file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), PublishError> {
        publish::write(path, &serde_json::to_vec_pretty(&Sealed::new(self)).unwrap_or_default())
    }
}

/// A request that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The file cannot be read.
    #[error("failed to read request {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no request, or of another version.
    #[error("request {path}: {source}")]
    Wire {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WireError,
    },
}

/// A run of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainRequest {
    /// How.
    pub params: PretrainConfig,
    /// The decoder: a configuration for random weights, or a checkpoint and what the pipeline states of it.
    pub model: Model,
    /// The content of the checkpoint; none for random weights.
    pub start_key: Option<Key>,
    /// The datasets to train on.
    pub datasets: Vec<UnitShards>,
    /// The content of their shards.
    pub data_key: Key,
    /// The folder of the run's stage.
    pub run: PathBuf,
    /// Suites to score at each validation.
    pub suites: Option<ProbeRequest>,
}

/// The unit shards of one dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitShards {
    /// The dataset's name.
    pub name: String,
    /// Its shards, in order.
    pub shards: Vec<PathBuf>,
}

/// A run of preference optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpoRequest {
    /// How.
    pub params: DpoConfig,
    /// The folder of the checkpoint to start from.
    pub policy: PathBuf,
    /// Pair shards.
    pub shards: Vec<PathBuf>,
    /// The content of the shards and of what the policy was made of.
    pub data_key: Key,
    /// The folder of the run's stage.
    pub run: PathBuf,
    /// Suites to score at each validation.
    pub suites: Option<ProbeRequest>,
}

/// Scores of one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRequest {
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// Benchmark shards.
    pub shards: Vec<PathBuf>,
    /// How pairs are compared; where it is missing, as each suite's published scores do.
    pub convention: Option<Convention>,
    /// Where the scores shard goes; a summary is written beside it as `.json`.
    pub out: PathBuf,
}

/// What to make tables of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScoresRequest {
    /// Scores shards.
    Shards {
        /// The shards.
        scores: Vec<PathBuf>,
        /// Where it is missing, as each suite's published scores are computed.
        convention: Option<Convention>,
        /// What the shards are to each other.
        relation: Relation,
        /// A folder for a ZeroSpeech submission of the last shard.
        submission: Option<PathBuf>,
        /// Who submits what.
        meta: SubmissionMeta,
    },
    /// A file of a ZeroSpeech submission with its gold file, or a submission's folder with the data set's.
    Submission {
        /// The file or folder.
        submission: PathBuf,
        /// The gold file, or the data set's folder.
        gold: PathBuf,
        /// Where it is missing, ZeroSpeech's.
        convention: Option<Convention>,
        /// Where the scores go as a shard.
        out: Option<PathBuf>,
    },
    /// Continuations, by services that the user has.
    Generations {
        /// What `generate` wrote.
        generations: PathBuf,
        /// The services.
        services: Services,
        /// Where each sample's figures go, as JSON lines.
        out: PathBuf,
    },
}

/// What several scores shards are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Models to compare, each with the first.
    Models,
    /// One recipe under several seeds: their spread.
    Seeds,
}

/// What a report shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    /// The run's name.
    pub title: String,
    /// Why the figures mean nothing, where they do not.
    pub notice: Option<String>,
    /// The pipeline, as it was run.
    pub pipeline: Pipeline,
    /// The datasets.
    pub datasets: Vec<DatasetFiles>,
    /// The folder of pre-training.
    pub pretrain: Option<PathBuf>,
    /// The folder of preference optimisation.
    pub dpo: Option<PathBuf>,
    /// Scored checkpoints, in the order of the run.
    pub scores: Vec<ScoredCheckpoint>,
    /// Scores of checkpoints that training left on its way, for curves.
    pub intermediate: IntermediateScores,
    /// Where the HTML file goes.
    pub out: PathBuf,
}

/// Scores shards of checkpoints that the stages of a run left on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntermediateScores {
    /// Of pre-training.
    pub pretrain: Vec<PathBuf>,
    /// Of preference optimisation.
    pub dpo: Vec<PathBuf>,
}

/// A dataset's shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetFiles {
    /// The dataset.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What the run does with it.
    pub usage: Usage,
    /// Its licence.
    pub licence: String,
    /// What it holds.
    pub counts: DatasetCounts,
    /// Corpus shards.
    pub corpus: Vec<PathBuf>,
    /// Unit shards.
    pub units: Vec<PathBuf>,
}

/// What a dataset holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetCounts {
    /// Utterances in its corpus.
    pub utterances: u64,
    /// How long they are together.
    pub audio_seconds: f64,
    /// Units after deduplication.
    pub units: u64,
    /// Inputs that were left out of its corpus and its units.
    pub quarantined: u64,
}

/// What a run does with a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// The model is pre-trained on it.
    Training,
    /// It serves preferences or scores, or nothing.
    Other,
}

/// A scored checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredCheckpoint {
    /// What it is, for people.
    pub label: String,
    /// Its scores shard.
    pub scores: PathBuf,
}

/// Runs to compare, as their reports are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    /// The runs; each is compared with the first.
    pub runs: Vec<ReportRequest>,
    /// Their names, as many as runs.
    pub names: Vec<String>,
    /// Where the HTML file goes.
    pub out: PathBuf,
}

/// Prompts to continue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// The model's folder.
    pub checkpoint: PathBuf,
    /// Recordings, or JSON files with a list of units.
    pub prompts: Vec<PathBuf>,
    /// Seconds of each recording that are the prompt; the whole where absent.
    pub prompt_seconds: Option<f64>,
    /// What makes units of recordings; none where all prompts are units.
    pub tokeniser: Option<TokeniserFiles>,
    /// Units to add at most.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the likeliest unit each time.
    pub temperature: f64,
    /// Only so many of the likeliest units are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the likeliest units whose probabilities reach this are drawn from.
    pub top_p: f64,
    /// Makes units that were there before less likely; 1 for no effect.
    pub repetition_penalty: f64,
    /// The seed of the draws.
    pub seed: u64,
    /// Where the continuations go, as JSON.
    pub out: Option<PathBuf>,
    /// When units are reported.
    pub reporting: Reporting,
}

/// A tokeniser and its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokeniserFiles {
    /// Its name.
    pub name: String,
    /// Its feature extractor.
    pub features: FeatureConfig,
    /// Its centroids, then its weights.
    pub files: Vec<Input>,
    /// What relative paths of files are below.
    pub root: PathBuf,
}

/// When the units of a continuation are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reporting {
    /// All at the end.
    AtEnd,
    /// Each as it is drawn.
    Streamed,
}

/// What to convert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ConvertRequest {
    /// A checkpoint to another form.
    Checkpoint {
        /// The checkpoint's folder.
        checkpoint: PathBuf,
        /// The folder to write.
        out: PathBuf,
        /// The form to write.
        form: CheckpointForm,
        /// Tensors that may differ.
        allow: Vec<String>,
    },
    /// A text model to a unit model (TWIST).
    Twist {
        /// The text model's folder.
        text_model: PathBuf,
        /// The folder to write.
        out: PathBuf,
        /// Units; `<PAD>` and `<S>` come on top.
        units: usize,
        /// Base of the rotary frequencies; the text model's where absent.
        rope_theta: Option<f64>,
        /// Positions; the text model's where absent.
        max_positions: Option<usize>,
        /// Whether the head is the embedding; as in the text model where absent.
        tie_embeddings: Option<bool>,
        /// Tensors that may differ.
        allow: Vec<String>,
        /// Seed of what the text model does not have.
        seed: u64,
    },
    /// Unit shards to slamkit's JSON lines.
    Units {
        /// The shards.
        shards: Vec<PathBuf>,
        /// Which of slamkit's forms.
        form: UnitsForm,
        /// The file to write.
        out: PathBuf,
    },
    /// slamkit's JSON lines to a unit shard.
    Lines {
        /// The shard to make.
        unit: Box<WorkUnit>,
        /// The data root.
        root: PathBuf,
    },
}

/// Forms of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointForm {
    /// slamkit's `UnitLM`.
    Slamkit,
    /// transformers' `AutoModelForCausalLM`.
    HuggingFace,
}

/// Which of slamkit's two forms of unit sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitsForm {
    /// `{"units": [3, 49], "duration": [2, 1], "file_name": "a"}`
    Features,
    /// `{"file_name": "a", "audio_repr": "<Un3><Un49>"}`
    Tokens,
}

/// What to fetch, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchRequest {
    /// The folder that the data goes into.
    pub folder: PathBuf,
    /// Files of the web.
    pub files: Vec<FetchFile>,
    /// A repository of the hub.
    pub hub: Option<HubRepository>,
}

/// A file of the web.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchFile {
    /// Its address.
    pub url: String,
    /// Its SHA-256 in hex, where it is known.
    pub sha256: Option<String>,
    /// Its form, if it is to be unpacked.
    pub unpack: Option<Archive>,
    /// Folders at the start of an archive's names that are left out.
    pub strip: usize,
    /// The folder of an archive outside of which nothing is unpacked; all of it where empty.
    pub only: String,
}

/// Forms of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Archive {
    /// A tar file.
    #[serde(rename = "tar")]
    Tar,
    /// A tar file, gzipped.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// A data-set repository of the Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRepository {
    /// `organisation/name`.
    pub repository: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Only files whose path begins with one of these; all where empty.
    #[serde(default)]
    pub include: Vec<String>,
}

/// Shards of a folder that mirrors an object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The store's folder, e.g. `s3://bucket/folder`.
    pub store: String,
    /// The folder that mirrors it.
    pub mirror: PathBuf,
    /// What to do.
    pub action: StoreAction,
    /// Shards, relative to the mirror.
    pub shards: Vec<PathBuf>,
}

/// What to do with shards of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreAction {
    /// Bring the receipts of the shards (or all of the store's) up to what the store has.
    Receipts,
    /// Pull files that the mirror does not have.
    Pull,
    /// Pull files as they are in the store now, where it has them.
    Refresh,
    /// Push shards with their quarantine and receipts.
    Push,
    /// Push single files over those that the store has.
    PushFiles,
    /// Take the receipts away, here and in the store, so that the shards count as missing.
    Forget,
    /// Say the hashes of the store's objects.
    Hash,
}

/// Rows of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowRequest {
    /// The Parquet file.
    pub shard: PathBuf,
    /// The first row.
    pub from: usize,
    /// How many.
    pub rows: usize,
}

/// Requests to check before the first of them is carried out: a misspelt field of `[dpo.params]` must not show
/// after a day of pre-training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The requests.
    pub requests: Vec<Request>,
}
