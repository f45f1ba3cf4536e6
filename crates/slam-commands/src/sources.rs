//! Where the pipeline's datasets lie: in the folders that it names or that `--source` names, or, where they are not
//! there, fetched as `data-manifests/` says.

use std::path::{Path, PathBuf};

use anyhow::bail;
use slam_pipeline::{DataManifest, RunStep};
use slam_recipe::lock::{Lock, LockedDataset};
use slam_recipe::pipeline::{Dataset, Model, Role};
use slam_recipe::source::Source;
use slam_recipe::{Pipeline, Request};

use crate::exit::Failure;
use crate::options::Common;
use crate::programs::Programs;
use crate::shipped;

/// Options that say where data comes from.
#[derive(clap::Args)]
pub(crate) struct Sources {
    /// The folder that a dataset lies in, e.g. librispeech=/mnt/LibriSpeech; nothing of it is downloaded
    #[arg(long = "source", value_name = "NAME=DIR")]
    folders: Vec<String>,
    /// Download nothing; say what to put where
    #[arg(long)]
    offline: bool,
}

/// Leaves a pipeline with the datasets that are asked for, each in a folder that is there.
///
/// A dataset that the pipeline does not have is taken from its data manifest.
pub(crate) fn settle(
    pipeline: &mut Pipeline,
    asked: Option<&str>,
    sources: &Sources,
    data: &Path,
    common: &Common,
) -> anyhow::Result<()> {
    if let Some(name) = asked {
        choose(pipeline, name)?;
    }
    for dataset in &mut pipeline.datasets {
        let Source::Manifest(table) = &dataset.source else { continue };
        if table.file.is_some() {
            continue;
        }
        let name = table.name.as_ref().unwrap_or(&dataset.name);
        let Some(manifest) = shipped::manifest(name)? else {
            return Err(Failure::Usage(format!(
                "dataset '{}': there is no data manifest {name}.toml; a table of recordings is named by source.file",
                dataset.name,
            ))
            .into());
        };
        dataset.source = manifest.dataset().source;
    }
    recall(pipeline, data);
    take_folders(pipeline, &sources.folders)?;
    for dataset in &pipeline.datasets {
        let Some(folder) = dataset.source.folder() else { continue };
        let given = sources.folders.iter().any(|s| s.split('=').next() == Some(&dataset.name));
        if given || is_whole(folder) {
            continue;
        }
        // Without a manifest, planning says that the folder is not there.
        let Some(manifest) = shipped::manifest(&dataset.name)? else { continue };
        let how = manifest.instructions(folder);
        if sources.offline || !manifest.can_be_fetched() {
            bail!("dataset '{}' is not in {}:\n  {how}", dataset.name, folder.display());
        }
        if let Err(error) = fetch(&manifest, folder, data, common) {
            if error.is::<Failure>() {
                return Err(error);
            }
            bail!("{error:#}\nto put it there without this command:\n  {how}");
        }
    }
    Ok(())
}

/// Takes the folders that datasets were read from before, as the lock of a data root has them, where the pipeline's
/// own are not there: what `--source` named need not be named again.
pub(crate) fn recall(pipeline: &mut Pipeline, data: &Path) {
    // A lock that cannot be read is an error of the command that would write it.
    let Ok(lock) = Lock::read(data) else { return };
    let tokeniser = &pipeline.tokeniser.name;
    for dataset in &mut pipeline.datasets {
        let Some(locked) = lock.dataset(&dataset.name, tokeniser) else { continue };
        let before = &locked.dataset.source;
        let same = before.without_place() == dataset.source.without_place();
        let absent = !dataset.source.folder().is_some_and(is_whole);
        let Some(folder) = before.folder().filter(|f| same && absent && is_whole(f)) else {
            continue;
        };
        if let Some(place) = dataset.source.folder_mut() {
            crate::out::note!(
                "dataset '{}' is read from {}, as before",
                dataset.name,
                folder.display()
            );
            *place = Some(folder.to_owned());
        }
    }
}

/// Takes a dataset that the pipeline does not have from the lock of a data root, with its tokeniser and what that
/// was fitted on. Pairs are not taken: which of them are left out is the pipeline's to say.
pub(crate) fn adopt(pipeline: &mut Pipeline, data: &Path, name: &str) {
    let Ok(lock) = Lock::read(data) else { return };
    let named = |d: &&LockedDataset| d.dataset.name == name && d.pair.is_none();
    let Some(locked) = lock.datasets.iter().find(named) else { return };
    let tokeniser = &locked.tokeniser;
    let needed = |d: &&LockedDataset| {
        let fitted_on = tokeniser.fit_on.as_ref() == Some(&d.dataset.name);
        d.tokeniser == *tokeniser && (d.dataset.name == name || fitted_on)
    };
    crate::out::note!("dataset '{name}' is planned as {} has it", data.join(Lock::NAME).display());
    let datasets = lock.datasets.iter().filter(needed).map(|d| d.dataset.clone()).collect();
    *pipeline = Pipeline {
        name: name.to_owned(),
        datasets,
        tokeniser: tokeniser.clone(),
        model: Model::default(),
        train: None,
        dpo: None,
        evaluate: None,
    };
}

/// Leaves the dataset that is asked for, and the one that centroids are fitted on.
fn choose(pipeline: &mut Pipeline, name: &str) -> anyhow::Result<()> {
    let fit_on = pipeline.tokeniser.fit_on.clone();
    if pipeline.dataset(name).is_some() {
        pipeline.datasets.retain(|d| d.name == name || Some(&d.name) == fit_on.as_ref());
    } else if let Some(manifest) = shipped::manifest(name)? {
        let dataset = manifest.dataset();
        if dataset.role == Role::Benchmark {
            // A suite has nothing to fit on: its units are those of the pipeline's tokeniser.
            pipeline.datasets.retain(|d| Some(&d.name) == fit_on.as_ref());
            pipeline.datasets.push(dataset);
            return Ok(());
        }
        pipeline.datasets = vec![dataset];
        if let Some(fit_on) = &mut pipeline.tokeniser.fit_on {
            name.clone_into(fit_on);
        }
    }
    Ok(())
}

fn take_folders(pipeline: &mut Pipeline, folders: &[String]) -> Result<(), Failure> {
    for text in folders {
        let usage = |message: String| Failure::Usage(format!("--source {text}: {message}"));
        let (name, folder) =
            text.split_once('=').ok_or_else(|| usage("write NAME=DIR".to_owned()))?;
        if !Path::new(folder).exists() {
            return Err(usage(format!("there is no {folder}")));
        }
        let names = |datasets: &[Dataset]| {
            datasets.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let known = names(&pipeline.datasets);
        let dataset = pipeline.datasets.iter_mut().find(|d| d.name == name);
        let dataset = dataset.ok_or_else(|| {
            usage(format!("there is no dataset '{name}' to be made; there are {known}"))
        })?;
        let kind = dataset.source.kind();
        let place = dataset.source.folder_mut();
        let place = place.ok_or_else(|| {
            usage(format!("dataset '{name}' is of the kind '{kind}', which reads no folder"))
        })?;
        *place = Some(PathBuf::from(folder));
    }
    Ok(())
}

/// Whether something lies in a folder, and no fetch into it was left unfinished.
fn is_whole(folder: &Path) -> bool {
    if folder.is_file() {
        return true;
    }
    let Ok(entries) = folder.read_dir() else { return false };
    let mut names = entries.filter_map(|e| Some(e.ok()?.file_name()));
    names.any(|name| !name.to_string_lossy().starts_with('.'))
        && !folder.join(".fetch").join("incomplete").exists()
}

fn fetch(
    manifest: &DataManifest,
    folder: &Path,
    data: &Path,
    common: &Common,
) -> anyhow::Result<()> {
    let size = manifest.hours.get().map_or(String::new(), |h| format!("{h:.0} hours, "));
    crate::out::note!(
        "fetching {} into {} ({size}licence: {}; {})",
        manifest.name,
        folder.display(),
        manifest.licence,
        manifest.homepage
    );
    let runner = common.runner(Programs::worker_alone(&common.device)?.slam, &data.join(".plans"));
    let name = format!("fetch {}", manifest.name);
    let request = Request::Fetch(manifest.fetch_request(folder));
    runner.run(&RunStep { name, request }).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pipeline() -> Pipeline {
        serde_json::from_value(json!({
            "name": "t",
            "datasets": [
                {"name": "a", "source": {"kind": "folder", "folder": "nowhere"}},
                {"name": "b", "source": {"kind": "folder", "folder": "nowhere"}},
            ],
            "tokeniser": {"name": "m", "features": {"kind": "mfcc"}, "fit_on": "a"},
        }))
        .unwrap()
    }

    #[test]
    fn a_dataset_is_chosen_with_what_it_needs_or_taken_from_its_manifest() {
        let names = |p: &Pipeline| p.datasets.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
        let mut p = pipeline();
        choose(&mut p, "b").unwrap();
        assert_eq!(names(&p), ["a", "b"]);
        choose(&mut p, "a").unwrap();
        assert_eq!(names(&p), ["a"]);
        choose(&mut p, "librispeech").unwrap();
        assert_eq!(
            (names(&p), p.tokeniser.fit_on),
            (vec!["librispeech".into()], Some("librispeech".into()))
        );
    }

    #[test]
    fn a_source_is_named_by_dataset_and_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let mut p = pipeline();
        take_folders(&mut p, &[format!("b={folder}")]).unwrap();
        assert_eq!(p.datasets[1].source.folder().unwrap(), dir.path());
        for (text, named) in [
            (folder.to_owned(), "NAME=DIR"),
            (format!("c={folder}"), "there are a, b"),
            ("a=/nonesuch".to_owned(), "no /nonesuch"),
        ] {
            let error = take_folders(&mut p, &[text]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_unfinished_fetch_is_not_taken_for_data() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_whole(&dir.path().join("none")) && !is_whole(dir.path()));
        std::fs::create_dir(dir.path().join(".fetch")).unwrap();
        assert!(!is_whole(dir.path()));
        std::fs::write(dir.path().join("a.flac"), b"").unwrap();
        assert!(is_whole(dir.path()));
        std::fs::write(dir.path().join(".fetch/incomplete"), b"").unwrap();
        assert!(!is_whole(dir.path()));
    }
}
