//! Manifests of recordings: a TSV, CSV or JSON-lines file that names audio files and what is known of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use slam_recipe::Key;
use slam_recipe::params::{FileEntry, Refused};
use slam_recipe::source::{Folder, RecordingsManifest};
use slam_recipe::work::Input;

use super::error::SourceError;
use super::files::absolute;
use super::manifest_fault::{ManifestFault, PATHS, RowFault};
use super::shard_files::{ShardFiles, into_shards};

/// A row.
struct Entry {
    file: FileEntry,
    path: PathBuf,
}

/// The recordings of a manifest, in its order. A recording that is not there, and a row that cannot be used, are
/// quarantined by ingest.
pub(super) fn shards(
    dataset: &str,
    recordings: &RecordingsManifest,
    shard_bytes: u64,
) -> Result<Vec<ShardFiles>, SourceError> {
    let refuse = |path: &Path, fault| SourceError::Manifest { path: path.to_owned(), fault };
    let Some(path) = &recordings.file else {
        return Err(refuse(Path::new(dataset), ManifestFault::NoFile));
    };
    let text = fs::read_to_string(path)
        .map_err(|source| SourceError::Read { path: path.clone(), source })?;
    let entries =
        entries(path, &text, recordings.folder.as_deref()).map_err(|fault| refuse(path, fault))?;
    let used = || entries.iter().flatten();
    let distinct: BTreeSet<&Path> = used().map(|e| e.path.as_path()).collect();
    let mut uses: HashMap<&Path, u64> = HashMap::new();
    for entry in used() {
        *uses.entry(&entry.path).or_default() += 1;
    }
    let known: HashMap<&Path, (u64, Key)> = distinct
        .into_par_iter()
        .map(|path| {
            let size = fs::metadata(path).map_or(0, |m| m.len());
            // Another key than that of the file, should it appear.
            let key = Key::of_file(path).unwrap_or_else(|_| Key::of_bytes(b"no such file"));
            (path, (size, key))
        })
        .collect();
    let size = |e: &&Result<Entry, Refused>| match e {
        Ok(e) => known[e.path.as_path()].0 / uses[e.path.as_path()].max(1),
        Err(_) => 0,
    };
    let mut folder = Folder::default();
    if let Some(split) = &recordings.split {
        folder.split.clone_from(split);
    }
    if let Some(percent) = recordings.validation_percent {
        folder.validation_percent = percent;
    }
    let shards = into_shards(entries.iter().collect(), size, shard_bytes);
    let shard = |entries: Vec<&Result<Entry, Refused>>| {
        let mut shard = ShardFiles::of_entries(folder.clone());
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let key = known[entry.path.as_path()].1.clone();
                    shard.entries.push(entry.file.clone());
                    shard.inputs.push(Input { path: absolute(entry.path.clone()), key });
                }
                Err(refused) => shard.refused.push(refused.clone()),
            }
        }
        shard
    };
    Ok(shards.into_iter().map(shard).collect())
}

/// The rows of a manifest: recordings, and what cannot be used.
fn entries(
    path: &Path,
    text: &str,
    folder: Option<&Path>,
) -> Result<Vec<Result<Entry, Refused>>, ManifestFault> {
    // Windows programs begin a text file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let beside = path.parent().unwrap_or(Path::new(""));
    let mut root = folder.unwrap_or(beside).to_owned();
    let rows = match ending.as_str() {
        "tsv" => match fairseq(text) {
            Some((first, rows)) => {
                if folder.is_none() {
                    root = beside.join(first);
                }
                rows
            }
            None => separated(text, b'\t')?,
        },
        "csv" => separated(text, b',')?,
        "jsonl" | "json" => lines(text),
        _ => return Err(ManifestFault::Ending),
    };
    let root = absolute(root);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut ids = BTreeMap::new();
    let mut entries = Vec::new();
    let mut first_fault = None;
    for (row, fields) in rows {
        match fields.and_then(|fields| entry(&fields, &root)) {
            Ok(entry) => {
                let id = entry.file.id.clone().unwrap_or_default();
                if let Some(first) = ids.insert(id.clone(), row) {
                    return Err(ManifestFault::Twice { first, second: row, id });
                }
                entries.push(Ok(entry));
            }
            Err(fault) => {
                let place = format!("{name} row {row}");
                entries.push(Err(Refused {
                    id: place.clone(),
                    source: place,
                    reason: "row of the manifest".to_owned(),
                    error: fault.to_string(),
                }));
                first_fault.get_or_insert((row, fault));
            }
        }
    }
    match first_fault {
        // A manifest of another form, not one with a few bad rows.
        Some((row, fault)) if ids.is_empty() => Err(ManifestFault::Row { row, fault }),
        None if ids.is_empty() => Err(ManifestFault::Empty),
        _ => Ok(entries),
    }
}

/// A row by its number, from 1.
type Row = (usize, Result<Map<String, Value>, RowFault>);

/// The root and the rows of a manifest in fairseq's form: a line with a folder, then lines of a path below it and
/// a number of samples.
fn fairseq(text: &str) -> Option<(&str, Vec<Row>)> {
    let mut lines = text.lines();
    let root = lines.next().filter(|line| !line.contains('\t') && !PATHS.contains(&line.trim()))?;
    let fields = |line: &str| -> Option<String> {
        let (path, samples) = line.split_once('\t')?;
        samples.trim().parse::<u64>().ok().map(|_| path.to_owned())
    };
    lines.clone().next().and_then(fields)?;
    let row = |(i, line): (usize, &str)| {
        let path = fields(line).ok_or(RowFault::Fairseq);
        (i + 1, path.map(|path| Map::from_iter([("path".to_owned(), json!(path))])))
    };
    let lines = lines.filter(|line| !line.trim().is_empty());
    Some((root.trim(), lines.enumerate().map(row).collect()))
}

fn separated(text: &str, delimiter: u8) -> Result<Vec<Row>, ManifestFault> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter == b',')
        .flexible(true)
        .from_reader(text.as_bytes());
    let columns = reader.headers()?.clone();
    let twice = |name: &&str| columns.iter().filter(|other| other == name).count() > 1;
    if let Some(name) = columns.iter().find(twice) {
        return Err(ManifestFault::Column { name: name.to_owned() });
    }
    let mut rows = Vec::new();
    let mut has_lines = false;
    for (i, record) in reader.records().enumerate() {
        let (row, record) = (i + 1, record?);
        let (found, expected) = (record.len(), columns.len());
        has_lines = record.iter().any(|field| field.contains('\n'));
        let fields = if found == expected {
            let fields = columns.iter().zip(&record).filter(|(_, value)| !value.is_empty());
            Ok(fields.map(|(c, v)| (c.trim().to_owned(), json!(v))).collect())
        } else if has_lines {
            // The rows in it are lost: the table cannot be trusted.
            return Err(ManifestFault::Row { row, fault: RowFault::Lines });
        } else {
            Err(RowFault::Fields { found, expected })
        };
        rows.push((row, fields));
    }
    // Marks come in pairs, those inside a field too (`""`). One that is not closed takes the rest of the file.
    if has_lines && text.matches('"').count() % 2 == 1 {
        return Err(ManifestFault::Quote);
    }
    Ok(rows)
}

fn lines(text: &str) -> Vec<Row> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(i, line): (usize, &str)| {
        (i + 1, serde_json::from_str(line).map_err(|e| RowFault::Json { column: e.column() }))
    };
    lines.map(row).collect()
}

fn entry(fields: &Map<String, Value>, root: &Path) -> Result<Entry, RowFault> {
    let text = |name: &str| match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let seconds = |column: &'static str| {
        let value = match fields.get(column) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let seconds: f64 = value.parse().unwrap_or(f64::NAN);
        if seconds.is_finite() && seconds >= 0.0 {
            Ok(Some(seconds))
        } else {
            Err(RowFault::Seconds { column, value })
        }
    };
    let Some(name) = PATHS.iter().find_map(|column| text(column)) else {
        let columns: Vec<_> = fields.keys().map(String::as_str).collect();
        return Err(RowFault::NoPath { columns: columns.join(", ") });
    };
    let name = below(root, name)?;
    let start = seconds("start")?.map_or_else(|| seconds("offset"), |s| Ok(Some(s)))?;
    let duration = seconds("duration")?;
    // A duration alone is that of the whole file.
    let end = match (seconds("end")?, start, duration) {
        (Some(end), ..) => Some(end),
        (None, Some(start), Some(duration)) => Some(start + duration),
        _ => None,
    };
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        return Err(RowFault::Backwards { start: start.to_string(), end: end.to_string() });
    }
    let id = text("id").filter(|id| !id.is_empty()).unwrap_or_else(|| {
        if let (None, None) = (start, end) {
            name.clone()
        } else {
            let end = end.map_or(String::new(), |e| e.to_string());
            format!("{name}@{}-{end}", start.unwrap_or(0.0))
        }
    });
    let path = root.join(&name);
    // A pipe would be waited for.
    if fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
        return Err(RowFault::NoFile { name });
    }
    let file = FileEntry {
        name,
        id: Some(id),
        text: text("text"),
        speaker: text("speaker"),
        split: text("split"),
        start,
        end,
        item: None,
    };
    Ok(Entry { file, path })
}

/// A recording's path below the root. An absolute path loses what is before it, so that the name is the same on every
/// machine.
fn below(root: &Path, name: String) -> Result<String, RowFault> {
    let path = Path::new(&name);
    if !path.is_absolute() {
        return Ok(name);
    }
    let text = |path: &Path| path.to_str().map(str::to_owned);
    if let Some(below) = path.strip_prefix(root).ok().and_then(text) {
        return Ok(below);
    }
    // The root may be reached by a link, or have `..` in it.
    let resolved = root.canonicalize().ok().zip(path.canonicalize().ok());
    let below = resolved.and_then(|(root, path)| path.strip_prefix(root).ok().and_then(text));
    below.ok_or_else(|| RowFault::Outside { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plan(name: &str, text: &str) -> Result<Vec<ShardFiles>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.wav"), b"a").unwrap();
        fs::write(dir.path().join("b.wav"), b"b").unwrap();
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        let recordings = RecordingsManifest {
            file: Some(file),
            split: Some("test".into()),
            ..RecordingsManifest::default()
        };
        shards("d", &recordings, 1 << 28).map_err(|e| e.to_string())
    }

    #[test]
    fn a_tsv_manifest_names_files_and_what_is_known_of_them() {
        let text = "path\tid\ttext\tspeaker\tsplit\nb.wav\tx\tShe said \"no\".\ts1\ttrain\na.wav\t\t\t\t\ngone.wav\t\t\t\t\n";
        let shards = plan("m.tsv", text).unwrap();
        let [shard] = &shards[..] else { panic!("{shards:?}") };
        assert_eq!(
            serde_json::to_value(&shard.source).unwrap(),
            json!({"kind": "folder", "split": "test", "validation_percent": 1.0})
        );
        let entries = serde_json::to_value(&shard.entries).unwrap();
        let first = json!({
            "name": "b.wav", "id": "x", "text": "She said \"no\".", "speaker": "s1", "split": "train",
        });
        assert_eq!(entries[0], first);
        assert_eq!(entries[1], json!({"name": "a.wav", "id": "a.wav"}));
        assert_eq!(shard.inputs[1].key, Key::of_bytes(b"a"));
        assert_ne!(shard.inputs[2].key, shard.inputs[1].key);
    }

    #[test]
    fn json_lines_cut_a_file_into_several_utterances() {
        let text = "{\"audio_filepath\": \"a.wav\", \"offset\": 1.5, \"duration\": 2}\n\n\
                    {\"audio_filepath\": \"a.wav\", \"start\": 3.5, \"end\": 4}\n\
                    {\"audio_filepath\": \"b.wav\", \"duration\": 9, \"text\": \"t\"}\n";
        let shards = plan("m.jsonl", text).unwrap();
        let entries = serde_json::to_value(&shards[0].entries).unwrap();
        let first = json!({"name": "a.wav", "id": "a.wav@1.5-3.5", "start": 1.5, "end": 3.5});
        assert_eq!(entries[0], first);
        assert_eq!(entries[1]["id"], "a.wav@3.5-4");
        assert_eq!(entries[2], json!({"name": "b.wav", "id": "b.wav", "text": "t"}));
    }

    #[test]
    fn a_row_that_cannot_be_used_is_left_out_alone_and_counted() {
        for (name, text) in [
            ("m.tsv", "\u{feff}path\tspeaker\na.wav\ts\nb.wav\tt\textra\n"),
            ("m.jsonl", "\u{feff}{\"path\": \"a.wav\"}\n{\"path\"\n"),
            ("m.csv", "\u{feff}path,start\na.wav,\nb.wav,soon\n"),
        ] {
            let shards = plan(name, text).unwrap();
            let [shard] = &shards[..] else { panic!("{shards:?}") };
            assert_eq!((shard.entries.len(), shard.refused.len()), (1, 1), "{name}");
            assert_eq!(shard.entries[0].name, "a.wav");
            assert_eq!(shard.refused[0].id, format!("{name} row 2"));
        }
    }

    #[test]
    fn fairseqs_form_names_its_root_and_paths_below_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("wavs")).unwrap();
        fs::write(dir.path().join("wavs/a.wav"), b"a").unwrap();
        let root = dir.path().join("wavs").display().to_string();
        for (root, rest) in [(root.as_str(), "a.wav\t12\n"), ("wavs", "a.wav\t12\nbad\n")] {
            let file = dir.path().join("train.tsv");
            fs::write(&file, format!("{root}\n{rest}")).unwrap();
            let recordings = RecordingsManifest { file: Some(file), ..Default::default() };
            let shards = shards("d", &recordings, 1 << 28).unwrap();
            let entry = serde_json::to_value(&shards[0].entries[0]).unwrap();
            assert_eq!(entry, json!({"name": "a.wav", "id": "a.wav"}));
            assert_eq!(shards[0].inputs[0].key, Key::of_bytes(b"a"));
            assert_eq!(shards[0].refused.len(), rest.lines().count() - 1);
        }
    }

    #[test]
    fn an_absolute_path_is_called_by_what_is_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.wav"), b"a").unwrap();
        let file = dir.path().join("m.jsonl");
        let row = |path: &Path| format!("{}\n", json!({"audio_filepath": path}));
        let text = row(&dir.path().join("a.wav")) + &row(Path::new("/elsewhere/b.wav"));
        fs::write(&file, text).unwrap();
        let recordings = RecordingsManifest { file: Some(file), ..Default::default() };
        let shards = shards("d", &recordings, 1 << 28).unwrap();
        assert_eq!(shards[0].entries[0].name, "a.wav");
        assert_eq!(shards[0].entries[0].id.as_deref(), Some("a.wav"));
        assert!(shards[0].refused[0].error.contains("source.folder"), "{shards:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_root_that_is_a_link_or_has_dots_is_the_same_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/a.wav"), b"a").unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        let file = dir.path().join("m.csv");
        fs::write(&file, format!("path\n{}\n", dir.path().join("real/a.wav").display())).unwrap();
        for root in ["link", "real/../real"] {
            let folder = Some(dir.path().join(root));
            let file = Some(file.clone());
            let recordings = RecordingsManifest { file, folder, ..Default::default() };
            let shards = shards("d", &recordings, 1 << 28).unwrap();
            assert_eq!(shards[0].entries[0].name, "a.wav");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row() {
        for (name, text, named) in [
            ("m.tsv", "wave\nb.wav\n", "one of path, audio"),
            ("m.tsv", "path\nb.wav\nb.wav\n", "rows 1 and 2"),
            ("m.tsv", "path\tstart\nb.wav\tsoon\n", "row 1: start is 'soon'"),
            ("m.tsv", "path\tstart\tend\nb.wav\t3\t2\n", "row 1: it ends"),
            ("m.tsv", "path\n", "no recording"),
            ("m.jsonl", "{\n", "row 1: "),
            ("m.tsv", "path\n/elsewhere/b.wav\n", "not below"),
            ("m.csv", "path,text\na.wav,x\n\"b.wav,y\nc.wav,z\nd.wav,q\n", "quotation mark"),
            ("m.csv", "path,text\na.wav,x\nb.wav,\"y\nc.wav,z\nd.wav,q\n", "quotation mark"),
            ("m.csv", "path,text\na.wav,\"x\nb.wav,y\n\"\"\",z\n", "row 1: it has lines"),
            ("m.tsv", "path\tpath\na.wav\tb.wav\n", "column 'path' twice"),
            ("m.jsonl", "{\"path\": \"b.wav\", \"start\": [1]}\n", "row 1: start is '[1]'"),
            ("m.tsv", "path\n.\n", "row 1: '.' is not a file"),
            ("m.txt", "path\n", ".tsv"),
        ] {
            let error = plan(name, text).unwrap_err();
            assert!(error.contains(named) && error.contains(name), "{error}");
        }
        let nothing = shards("d", &RecordingsManifest::default(), 1).unwrap_err().to_string();
        assert!(nothing.contains("source.file"), "{nothing}");
    }
}
