//! The kinds of source: which files belong to each, and how they are shared out over shards.

use std::path::Path;

use slam_recipe::pipeline::Dataset;
use slam_recipe::source::Source;

use super::error::SourceError;
use super::files::{SourceFile, has_ending, is_audio};
use super::list::{Listed, list};
use super::shard_files::{ShardFiles, into_shards};
use super::{expected, manifest};

/// Bytes of one shard, about; all of a dataset are of one size.
const SHARD_BYTES: u64 = 256 << 20;

/// What belongs to a kind of source.
struct Kind {
    what: &'static str,
    /// Whether a file is the source's, by its relative path.
    wanted: fn(&str) -> bool,
    /// Files with the same group go into the same shard.
    group: fn(&str) -> &str,
    /// Folders and files whose name begins so are left out unless `subsets` names them.
    left_out: &'static [&'static str],
    /// What a file holds.
    holds: Holds,
}

/// What a file of a source holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// One recording.
    Recording,
    /// Rows; the file may be cut.
    Rows,
    /// Rows; the file is a shard of its own.
    Shard,
}

fn kind(source: &Source) -> Kind {
    let audio = Kind {
        what: "audio files (wav, flac, mp3, mp2, ogg, oga, opus, aif, aiff, aifc, m4a, m4b, mp4, aac, sph)",
        wanted: is_audio,
        group: |name| name,
        left_out: &[],
        holds: Holds::Recording,
    };
    let parquet = Kind {
        what: "Parquet files (*.parquet)",
        wanted: |name| has_ending(name, &["parquet"]),
        holds: Holds::Rows,
        ..audio
    };
    match source {
        Source::Librispeech(_) => Kind {
            what: "LibriSpeech recordings (split/speaker/chapter/*.flac)",
            wanted: |name| is_audio(name) || name.ends_with(".trans.txt"),
            // A chapter, with its transcript.
            group: |name| name.rsplit_once('/').map_or("", |(folder, _)| folder),
            left_out: &["test-"],
            ..audio
        },
        Source::LibriLight(_) => Kind {
            what: "Libri-Light recordings (size/speaker/book/*.flac)",
            wanted: |name| is_audio(name) || has_ending(name, &["json"]),
            // A recording, with its list of voice activity.
            group: |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem),
            ..audio
        },
        Source::Parquet(_) => parquet,
        Source::SpokenSwag(_) => Kind { left_out: &["validation", "test"], ..parquet },
        Source::Swag(_) => Kind {
            what: "files of SWAG (*.csv)",
            wanted: |name| has_ending(name, &["csv"]),
            ..parquet
        },
        Source::HellaSwag(_) => Kind {
            what: "files of HellaSwag (*.jsonl)",
            wanted: |name| has_ending(name, &["jsonl"]),
            ..parquet
        },
        Source::Tts(_) => Kind {
            what: "tables of text (*.tsv, *.csv, *.jsonl, *.parquet)",
            wanted: |name| has_ending(name, &["tsv", "csv", "jsonl", "parquet"]),
            ..parquet
        },
        Source::Units(_) => Kind {
            what: "unit sequences (*.jsonl of slamkit, *.parquet)",
            wanted: |name| has_ending(name, &["jsonl", "parquet"]),
            holds: Holds::Shard,
            ..audio
        },
        Source::Folder(_)
        | Source::Manifest(_)
        | Source::Suite(_)
        | Source::Grammar(_)
        | Source::SlamkitPairs(_)
        | Source::OwnContinuation(_)
        | Source::Sampled(_) => audio,
    }
}

/// Lists and hashes the files of a dataset's source and shares them out; `None` for a source without files.
///
/// # Errors
/// If the folder or a file in it cannot be read, or nothing in it is of the source's kind.
pub fn shards(dataset: &Dataset) -> Result<Option<Vec<ShardFiles>>, SourceError> {
    let shard_bytes = dataset.shard_bytes.unwrap_or(SHARD_BYTES).max(1);
    let source = &dataset.source;
    match source {
        Source::Manifest(recordings) => {
            return manifest::shards(&dataset.name, recordings, shard_bytes).map(Some);
        }
        Source::Grammar(_) => return Ok(None),
        _ => {}
    }
    let Some(folder) = source.folder() else {
        return Err(SourceError::NoFolder { dataset: dataset.name.clone(), kind: source.kind() });
    };
    if !folder.exists() {
        return Err(SourceError::Missing { dataset: dataset.name.clone(), folder: folder.into() });
    }
    let kind = kind(source);
    let subsets = source.subsets();
    let wanted = |name: &str| (kind.wanted)(name) && chosen(name, subsets, kind.left_out);
    let what = match subsets {
        Some(subsets) => format!("{} of the subsets {}", kind.what, subsets.join(", ")),
        None => kind.what.to_owned(),
    };
    let Listed { files, refused } = list(Path::new(folder), &what, &wanted)?;
    let only_sidecars =
        kind.holds == Holds::Recording && !files.iter().any(|f| is_audio(&f.relative));
    if only_sidecars {
        return Err(SourceError::Empty { path: folder.into(), what });
    }
    let groups = grouped(files, kind.group);
    let expect = |f: &SourceFile| expected::corpus_bytes(&f.path, f.bytes);
    let size = |group: &Vec<SourceFile>| group.iter().map(expect).sum::<u64>();
    let asked = u64::from(dataset.shards.max(1));
    // A table of text is small; how many shards it gives, the pipeline says.
    let by_rows = kind.holds == Holds::Rows && groups.len() == 1 && asked > 1;
    let mut out = Vec::new();
    let shared = if kind.holds == Holds::Shard {
        groups.into_iter().map(|group| vec![group]).collect()
    } else {
        into_shards(groups, size, shard_bytes)
    };
    for groups in shared {
        let bytes: u64 = groups.iter().map(size).sum();
        let parts = match (kind.holds, groups.len()) {
            (Holds::Rows, 1) if by_rows => asked,
            (Holds::Rows, 1) => bytes.div_ceil(2 * shard_bytes).max(1),
            _ => 1,
        };
        let mut files = ShardFiles::new(source.without_place());
        for group in groups {
            files.add(group);
        }
        if parts == 1 {
            out.push(files);
        } else {
            out.extend((0..parts).map(|i| ShardFiles { part: Some((i, parts)), ..files.clone() }));
        }
    }
    if let Some(first) = out.first_mut() {
        first.refused = refused;
    }
    Ok(Some(out))
}

/// Whether a file is in one of the subsets: a folder above it has the subset's name, or its own name begins
/// with it.
fn chosen(name: &str, subsets: Option<&[String]>, left_out: &[&str]) -> bool {
    match subsets {
        Some(subsets) => {
            let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
            let within = |s: &str| folder.split('/').any(|f| f == s) || file.starts_with(s);
            subsets.iter().any(|s| within(s))
        }
        None => !name.split('/').any(|step| left_out.iter().any(|l| step.starts_with(l))),
    }
}

/// Files with the same group, in the order of the first of each.
fn grouped(files: Vec<SourceFile>, group: fn(&str) -> &str) -> Vec<Vec<SourceFile>> {
    let mut groups: Vec<Vec<SourceFile>> = Vec::new();
    for file in files {
        match groups.last_mut() {
            Some(last)
                if last.last().is_some_and(|l| group(&l.relative) == group(&file.relative)) =>
            {
                last.push(file);
            }
            _ => groups.push(vec![file]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    fn plan(names: &[(&str, usize)], source: Value, shards: u32) -> Vec<ShardFiles> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; *bytes]).unwrap();
        }
        let mut source = source;
        source["folder"] = json!(dir.path());
        let dataset: Dataset =
            serde_json::from_value(json!({"name": "d", "shards": shards, "source": source}))
                .unwrap();
        super::shards(&dataset).unwrap().unwrap()
    }

    fn names(shards: &[ShardFiles]) -> Vec<Vec<&str>> {
        shards.iter().map(|s| s.entries.iter().map(|e| e.name.as_str()).collect()).collect()
    }

    #[test]
    fn shards_are_cut_by_bytes_and_groups_stay_whole() {
        assert_eq!(into_shards(vec![4, 3, 5, 9, 1], |&x| x, 7), [vec![4, 3], vec![5], vec![9, 1]]);
    }

    #[test]
    fn librispeech_leaves_the_test_parts_out_unless_they_are_named() {
        let tree = [
            ("dev-clean/1/2/1-2-0000.flac", 1),
            ("dev-clean/1/2/1-2.trans.txt", 1),
            ("test-clean/3/4/3-4-0000.flac", 1),
            ("train-clean-100/5/6/5-6-0000.flac", 1),
            ("SPEAKERS.TXT", 1),
        ];
        let all = plan(&tree, json!({"kind": "librispeech"}), 1);
        let train = "train-clean-100/5/6/5-6-0000.flac";
        let dev = ["dev-clean/1/2/1-2-0000.flac", "dev-clean/1/2/1-2.trans.txt"];
        assert_eq!(names(&all), [[dev[0], dev[1], train]]);
        assert_eq!(serde_json::to_value(&all[0].source).unwrap(), json!({"kind": "librispeech"}));
        let test = plan(&tree, json!({"kind": "librispeech", "subsets": ["test-clean"]}), 1);
        assert_eq!(names(&test), [["test-clean/3/4/3-4-0000.flac"]]);
        assert_eq!(test[0].source, all[0].source);
    }

    #[test]
    fn a_recording_and_its_voice_activity_stay_together() {
        let tree = [("small/1/b/x.flac", 1), ("small/1/b/x.json", 1), ("small/1/b/y.flac", 1)];
        let shards = plan(&tree, json!({"kind": "libri-light"}), 1);
        assert_eq!(names(&shards)[0].len(), 3);
    }

    #[test]
    fn one_table_gives_as_many_shards_as_asked() {
        let shards = plan(&[("a.tsv", 9)], json!({"kind": "tts"}), 3);
        assert_eq!(
            shards.iter().map(|s| s.part).collect::<Vec<_>>(),
            [Some((0, 3)), Some((1, 3)), Some((2, 3))]
        );
        let swag = [("data/train-0.parquet", 1), ("data/validation-0.parquet", 1)];
        let shards = plan(&swag, json!({"kind": "spoken-swag"}), 1);
        assert_eq!(names(&shards), [["data/train-0.parquet"]]);
    }
}
