//! Pipelines and data manifests that the project ships. A clone reads its own files, so that a change takes effect
//! at once; an installed program carries them.

use std::path::{Path, PathBuf};

use slam_pipeline::DataManifest;
use slam_pipeline::data_manifest::ManifestError;
use slam_recipe::Pipeline;
use slam_recipe::pipeline::Variant;

use crate::door::Door;
use crate::exit::Failure;

macro_rules! carried {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../", $folder, "/", $name, ".toml")))),*]
    };
}

const PIPELINES: [(&str, &str); 4] =
    carried!("pipelines": "demo", "slam", "slam-scaled", "twist-350m");

const MANIFESTS: [(&str, &str); 14] = carried!(
    "data-manifests": "demo", "libri-light", "librispeech", "peoples-speech", "salmon", "sblimp", "spokenswag",
    "sstorycloze", "stinystories", "swc", "swuggy", "ted-lium", "tstorycloze", "voxpopuli-en",
);

fn text_of(carried: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    carried.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Reads a pipeline by name or by path.
pub(crate) fn pipeline(
    name: &str,
    variant: Variant,
    overrides: &[String],
) -> anyhow::Result<Pipeline> {
    let path = PathBuf::from(name);
    let in_workspace = Door::current().workspace().map(|w| named(&w.join("pipelines"), name));
    let found = in_workspace.filter(|p| p.is_file()).or_else(|| path.is_file().then_some(path));
    let read = |overrides: &[String]| match (&found, text_of(&PIPELINES, name)) {
        (Some(path), _) => Some(Pipeline::read(path, variant, overrides)),
        (None, Some(text)) => Some(Pipeline::parse(text, Path::new(name), variant, overrides)),
        (None, None) => None,
    };
    match read(overrides) {
        Some(Ok(pipeline)) => Ok(pipeline),
        // What was given with --set is wrong, not the file.
        Some(Err(e)) if matches!(read(&[]), Some(Ok(_))) => {
            Err(Failure::Usage(e.to_string()).into())
        }
        Some(Err(e)) => Err(e.into()),
        None => {
            let known = PIPELINES.map(|(name, _)| name).join(", ");
            Err(Failure::Usage(format!(
                "there is no pipeline '{name}': neither a file of that name nor one of {known}"
            ))
            .into())
        }
    }
}

/// The data manifest of a name; `None` where there is none.
pub(crate) fn manifest(name: &str) -> Result<Option<DataManifest>, ManifestError> {
    if let Some(workspace) = Door::current().workspace()
        && let Some(found) = DataManifest::find(&workspace.join("data-manifests"), name)?
    {
        return Ok(Some(found));
    }
    let path = || named(Path::new("data-manifests"), name);
    text_of(&MANIFESTS, name).map(|text| DataManifest::parse(text, &path())).transpose()
}

fn named(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn the_program_carries_every_file_of_the_workspace() {
        for (folder, carried) in [("pipelines", &PIPELINES[..]), ("data-manifests", &MANIFESTS)] {
            let folder = crate::build::workspace().join(folder);
            let stem = |e: fs::DirEntry| e.path().file_stem().unwrap().to_str().unwrap().to_owned();
            let there: BTreeSet<_> =
                fs::read_dir(folder).unwrap().map(|e| stem(e.unwrap())).collect();
            let carried: BTreeSet<_> = carried.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(there, carried);
        }
    }

    #[test]
    fn carried_files_are_read_by_their_names() {
        for (name, text) in PIPELINES {
            let path = Path::new(name);
            assert_eq!(Pipeline::parse(text, path, Variant::Full, &[]).unwrap().name, name);
        }
        for (name, text) in MANIFESTS {
            assert_eq!(DataManifest::parse(text, Path::new(name)).unwrap().name, name);
        }
    }
}
