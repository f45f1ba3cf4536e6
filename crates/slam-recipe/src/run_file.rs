//! What a run's folder says about itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pipeline::{Pipeline, Variant};
use crate::publish::{self, PublishError};

/// What a run's folder says about itself, so that it can be resumed and reported again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The pipeline, with everything that was set.
    pub pipeline: Pipeline,
    /// The data root.
    pub data: PathBuf,
    /// What the report says where the figures mean nothing.
    pub notice: Option<String>,
    /// How the pipeline was named.
    pub named: PipelineChoice,
}

/// A pipeline as a user names it, so that a hint's command names the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineChoice {
    /// One that is shipped, or a file.
    pub pipeline: String,
    /// Which of its values are read.
    pub variant: Variant,
    /// What was set, as `FIELD=VALUE`.
    pub overrides: Vec<String>,
}

impl PipelineChoice {
    /// A pipeline as it is.
    pub fn whole(pipeline: impl Into<String>) -> Self {
        Self { pipeline: pipeline.into(), variant: Variant::Full, overrides: Vec::new() }
    }
}

/// A run's file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// It cannot be read.
    #[error("failed to read {path}: {source}; is this the folder of a run?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no run's.
    #[error(
        "{path} is not the file of a run of this version: {source}; start the run again with `train --pipeline`"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl RunFile {
    /// The file's name in a run's folder.
    pub const NAME: &'static str = "run.json";

    /// Reads a run's file.
    ///
    /// # Errors
    /// If it is missing or no run's.
    pub fn read(run: &Path) -> Result<Self, RunFileError> {
        let path = run.join(Self::NAME);
        let bytes =
            fs::read(&path).map_err(|source| RunFileError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| RunFileError::Form { path, source })
    }

    /// Writes a run's file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, run: &Path) -> Result<(), PublishError> {
        publish::write_json(&run.join(Self::NAME), self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_run_keeps_the_pipeline_with_everything_that_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = serde_json::from_value(serde_json::json!({
            "name": "t",
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "centroids": "c.npy"},
            "train": {"datasets": [], "params": {"budget": {"steps": 5}, "rows": 7}},
        }));
        let file = RunFile {
            pipeline: pipeline.unwrap(),
            data: "data".into(),
            notice: None,
            named: PipelineChoice::whole("t"),
        };
        file.write(folder.path()).unwrap();
        assert_eq!(RunFile::read(folder.path()).unwrap(), file);
        fs::write(folder.path().join(RunFile::NAME), "{}").unwrap();
        let error = RunFile::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("run.json") && error.contains("train --pipeline"), "{error}");
    }
}
