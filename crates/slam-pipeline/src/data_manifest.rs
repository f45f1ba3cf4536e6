//! Data manifests: what a public data set is, under which licence, and where it comes from.
//!
//! `data-manifests/NAME.toml` describes the data set that pipelines call NAME. What is not known is written
//! `"unknown"`: a checksum that nobody published is not made up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slam_recipe::pipeline::{Dataset, Role};
use slam_recipe::request::{Archive, FetchFile, FetchRequest, HubRepository};
use slam_recipe::source::Source;

/// A value, or `"unknown"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// It is not published, or not found.
    Unknown(Unknown),
    /// It is known.
    Is(T),
}

/// The word `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// `"unknown"`
    #[serde(rename = "unknown")]
    Unknown,
}

impl<T> Known<T> {
    /// The value, where it is known.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// A public data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataManifest {
    /// The name that pipelines, folders and commands use.
    pub name: String,
    /// The licence, or `unknown`.
    pub licence: String,
    /// The page of those who publish it, or `unknown`.
    pub homepage: String,
    /// The version that the rest of this file describes, or `unknown`.
    pub version: String,
    /// How long its recordings are in all, in hours.
    pub hours: Known<f64>,
    /// How many rows it gives.
    pub rows: Known<u64>,
    /// Which rows are training, validation and test data.
    pub splits: String,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// The source, as the ingest stage reads it, without the folder.
    pub source: Source,
    /// The folder that it lies in unless told otherwise, from where commands are run. Absent where nothing is
    /// read from disk.
    #[serde(default)]
    pub place: Option<PathBuf>,
    /// What lies in the folder, for those who put it there themselves.
    #[serde(default)]
    pub layout: String,
    /// What has to be done by hand, where it cannot be fetched.
    #[serde(default)]
    pub by_hand: Option<String>,
    /// Files to download.
    #[serde(default)]
    pub files: Vec<RemoteFile>,
    /// A repository of the Hugging Face hub to download.
    #[serde(default)]
    pub hub: Option<HubRepository>,
}

/// A file on the web.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteFile {
    /// Its address.
    pub url: String,
    /// Its SHA-256 in hex.
    pub sha256: Known<String>,
    /// What is done with it; a file that is no archive stays as it is.
    #[serde(default)]
    pub unpack: Option<Archive>,
    /// Folders at the start of an archive's names that are left out.
    #[serde(default)]
    pub strip: usize,
    /// The folder of an archive outside of which nothing is unpacked; all of it where empty.
    #[serde(default)]
    pub only: String,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("failed to read data manifest {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or has a field that does not exist or lacks one.
    #[error("data manifest {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        source: toml::de::Error,
    },
    /// It names another data set than its file.
    #[error("data manifest {path}: its name is '{name}', not '{stem}'")]
    Name {
        /// The file.
        path: PathBuf,
        /// The name in it.
        name: String,
        /// The file's own.
        stem: String,
    },
}

impl DataManifest {
    /// Reads the manifest of a data set from a folder of manifests; `None` where there is none.
    ///
    /// # Errors
    /// If the file cannot be read or is no manifest.
    pub fn find(folder: &Path, name: &str) -> Result<Option<Self>, ManifestError> {
        // A name with a path in it is no name.
        if name.is_empty() || name.contains(['/', '\\']) {
            return Ok(None);
        }
        let path = folder.join(format!("{name}.toml"));
        if path.is_file() { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// If the file cannot be read, has a field that does not exist, or lacks one that must be there.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ManifestError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a manifest from a text; `path` is the name of its file.
    ///
    /// # Errors
    /// If it has a field that does not exist, lacks one that must be there, or has another name than its file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)
            .map_err(|source| ManifestError::Parse { path: path.to_owned(), source })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if manifest.name != stem {
            let name = manifest.name;
            return Err(ManifestError::Name { path: path.to_owned(), name, stem });
        }
        Ok(manifest)
    }

    /// The dataset as a pipeline would name it.
    pub fn dataset(&self) -> Dataset {
        let mut source = self.source.clone();
        if let (Some(folder), Some(place)) = (source.folder_mut(), &self.place) {
            *folder = Some(place.clone());
        }
        let rows = self.rows.get().copied().filter(|_| self.place.is_none());
        Dataset {
            role: self.role,
            rows: rows.unwrap_or(0),
            licence: self.licence.clone(),
            ..Dataset::new(&self.name, source)
        }
    }

    /// What to download, and where to.
    pub fn fetch_request(&self, folder: &Path) -> FetchRequest {
        let file = |file: &RemoteFile| FetchFile {
            url: file.url.clone(),
            sha256: file.sha256.get().cloned(),
            unpack: file.unpack,
            strip: file.strip,
            only: file.only.clone(),
        };
        FetchRequest {
            folder: folder.to_owned(),
            files: self.files.iter().map(file).collect(),
            hub: self.hub.clone(),
        }
    }

    /// Whether there is anything to download.
    pub fn can_be_fetched(&self) -> bool {
        !self.files.is_empty() || self.hub.is_some()
    }

    /// What to put where, for people: the folder, what must lie in it, and where that is to be had.
    pub fn instructions(&self, folder: &Path) -> String {
        let mut lines =
            vec![format!("{} (licence: {}; {})", self.name, self.licence, self.homepage)];
        if let Some(by_hand) = &self.by_hand {
            lines.push(by_hand.trim().to_owned());
        }
        for file in &self.files {
            let checksum = file.sha256.get().map_or_else(String::new, |s| format!(", sha256 {s}"));
            let then = match file.unpack {
                Some(_) => {
                    let strip = match file.strip {
                        0 => String::new(),
                        n => format!(" --strip-components={n}"),
                    };
                    let name = base_name(&file.url);
                    let tar =
                        format!("tar -xf {name}{strip} -C {} {}", folder.display(), file.only);
                    tar.trim_end().to_owned()
                }
                None => format!("put it into {}", folder.display()),
            };
            lines.push(format!("download {}{checksum}; then {then}", file.url));
        }
        if let Some(hub) = &self.hub {
            let include: Vec<_> =
                hub.include.iter().map(|i| format!(" --include '{i}*'")).collect();
            lines.push(format!(
                "hf download {} --repo-type dataset --revision {}{} --local-dir {}",
                hub.repository,
                hub.revision,
                include.concat(),
                folder.display()
            ));
        }
        if !self.layout.is_empty() {
            lines.push(format!("{} then holds {}", folder.display(), self.layout.trim()));
        }
        lines.push(format!("or name a folder that holds it already: --source {}=DIR", self.name));
        lines.join("\n  ")
    }
}

/// The last part of an address.
pub fn base_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
