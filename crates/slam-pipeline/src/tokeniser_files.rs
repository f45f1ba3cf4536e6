//! Whether a tokeniser's files are there, and are those that it names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use slam_recipe::tokeniser::Tokeniser;

/// A file of a tokeniser that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokeniserFilesError {
    /// The folder of weights has no configuration.
    #[error("tokeniser.checkpoint: {folder} has no config.json; {}", remedy(.hub.as_deref(), .folder))]
    Checkpoint {
        /// The folder.
        folder: PathBuf,
        /// Where the weights are to be had.
        hub: Option<String>,
    },
    /// The file of centroids cannot be read.
    #[error(
        "tokeniser.centroids: {file}: {source}; download them (`curl -L --create-dirs -o {file} {url}`)"
    )]
    Centroids {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
        /// Where it is to be had.
        url: String,
    },
    /// The file of centroids is another one.
    #[error(
        "tokeniser.centroids: {file} is not the file that tokeniser '{tokeniser}' names (SHA-256 {found}, expected \
         {expected}); download it again from {url}, or set tokeniser.origin.centroids_sha256 and tokeniser.name to \
         your own"
    )]
    OtherCentroids {
        /// The file.
        file: PathBuf,
        /// The tokeniser.
        tokeniser: String,
        /// Its digest.
        found: String,
        /// The digest that it should have.
        expected: String,
        /// Where it is to be had.
        url: String,
    },
}

fn remedy(hub: Option<&str>, folder: &Path) -> String {
    match hub {
        Some(hub) => format!(
            "download config.json and model.safetensors of https://huggingface.co/{hub} into it \
             (`hf download {hub} --local-dir {}`)",
            folder.display()
        ),
        None => "name the folder of a HuBERT checkpoint".into(),
    }
}

/// Checks that a tokeniser's files are there and are those it names.
pub(crate) fn check(tokeniser: &Tokeniser) -> Result<(), TokeniserFilesError> {
    let origin = &tokeniser.origin;
    if let Some(folder) = &tokeniser.checkpoint
        && !folder.join("config.json").is_file()
    {
        let (folder, hub) = (folder.clone(), origin.hub.clone());
        return Err(TokeniserFilesError::Checkpoint { folder, hub });
    }
    let Some(file) = &tokeniser.centroids else { return Ok(()) };
    let (Some(url), Some(expected)) = (&origin.centroids_url, &origin.centroids_sha256) else {
        return Ok(());
    };
    let bytes = fs::read(file).map_err(|source| TokeniserFilesError::Centroids {
        file: file.clone(),
        source,
        url: url.clone(),
    })?;
    let hex = |b: &u8| format!("{b:02x}");
    let found = Sha256::digest(&bytes).iter().map(hex).collect::<Vec<_>>().concat();
    if found == *expected {
        return Ok(());
    }
    Err(TokeniserFilesError::OtherCentroids {
        file: file.clone(),
        tokeniser: tokeniser.name.clone(),
        found,
        expected: expected.clone(),
        url: url.clone(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_and_wrong_files_are_errors_that_say_where_to_get_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let tokeniser: Tokeniser = serde_json::from_value(json!({
            "name": "own",
            "features": {"kind": "hubert", "layer": 1},
            "checkpoint": path("weights"),
            "centroids": path("c.bin"),
            "origin": {"hub": "a/b", "centroids_url": "https://c/d", "centroids_sha256": sha256},
        }))
        .unwrap();
        let error = || check(&tokeniser).unwrap_err().to_string();
        assert!(error().contains("https://huggingface.co/a/b"), "{}", error());
        fs::create_dir(path("weights")).unwrap();
        fs::write(path("weights").join("config.json"), "{}").unwrap();
        assert!(error().contains("https://c/d") && error().contains("c.bin"), "{}", error());
        fs::write(path("c.bin"), "abd").unwrap();
        assert!(error().contains("not the file") && error().contains("'own'"), "{}", error());
        fs::write(path("c.bin"), "abc").unwrap();
        check(&tokeniser).unwrap();
    }
}
