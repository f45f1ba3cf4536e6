//! Manifests of recordings: a TSV, CSV or JSON-lines file that names audio files and what is known of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use slam_dataset::Key;
use slam_dataset::work::Input;

use super::kinds::into_shards;
use super::{ShardFiles, SourceError, absolute};

/// The source `kind = "manifest"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "kind")]
    _kind: String,
    /// The manifest.
    file: PathBuf,
    /// What its paths are relative to; the manifest's own folder where absent.
    folder: Option<PathBuf>,
    /// The split of rows that name none.
    split: Option<String>,
}

/// A row.
struct Entry {
    value: Value,
    path: PathBuf,
}

/// Columns that name the recording; the last is that of NeMo's manifests.
const PATHS: [&str; 4] = ["path", "audio", "file", "audio_filepath"];

/// The recordings of a manifest, in its order. A recording that is not there is quarantined by ingest.
pub(super) fn shards(source: &Value, shard_bytes: u64) -> Result<Vec<ShardFiles>, SourceError> {
    let manifest = Manifest::deserialize(source).map_err(|e| SourceError::Manifest {
        path: source.get("file").and_then(Value::as_str).unwrap_or("?").into(),
        message: format!("source: {e}"),
    })?;
    let entries = entries(&manifest)?;
    let distinct: BTreeSet<&Path> = entries.iter().map(|e| e.path.as_path()).collect();
    let mut uses: HashMap<&Path, u64> = HashMap::new();
    for entry in &entries {
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
    let size = |e: &&Entry| {
        let (size, uses) = (known[e.path.as_path()].0, uses[e.path.as_path()]);
        size / uses.max(1)
    };
    let mut settings = json!({"kind": "folder"});
    if let Some(split) = &manifest.split {
        settings["split"] = json!(split);
    }
    let shards = into_shards(entries.iter().collect(), size, shard_bytes);
    Ok(shards
        .into_iter()
        .map(|entries| ShardFiles {
            source: settings.clone(),
            entries: entries.iter().map(|e| e.value.clone()).collect(),
            inputs: entries
                .iter()
                .map(|e| Input {
                    path: absolute(e.path.clone()),
                    key: known[e.path.as_path()].1.clone(),
                })
                .collect(),
            part: None,
        })
        .collect())
}

fn entries(manifest: &Manifest) -> Result<Vec<Entry>, SourceError> {
    let path = &manifest.file;
    let wrong = |message: String| SourceError::Manifest { path: path.clone(), message };
    let text = fs::read_to_string(path)
        .map_err(|source| SourceError::Read { path: path.clone(), source })?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let rows = match ending.as_str() {
        "tsv" => separated(&text, b'\t').map_err(wrong)?,
        "csv" => separated(&text, b',').map_err(wrong)?,
        "jsonl" | "json" => lines(&text).map_err(wrong)?,
        _ => return Err(wrong("write it as .tsv, .csv or .jsonl".to_owned())),
    };
    let folder = manifest.folder.clone();
    let folder = folder.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).to_owned());
    let mut ids = BTreeMap::new();
    let mut entries = Vec::new();
    for (row, fields) in rows {
        let entry = entry(&fields, &folder).map_err(|e| wrong(format!("row {row}: {e}")))?;
        let id = entry.value["id"].as_str().unwrap_or_default().to_owned();
        if let Some(first) = ids.insert(id.clone(), row) {
            return Err(wrong(format!(
                "rows {first} and {row} have the same id '{id}'; give each an 'id' of its own"
            )));
        }
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(wrong("it names no recording".to_owned()));
    }
    Ok(entries)
}

type Row = (usize, Map<String, Value>);

fn separated(text: &str, delimiter: u8) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter == b',')
        .from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|e| e.to_string())?.clone();
    reader
        .records()
        .enumerate()
        .map(|(i, record)| {
            let record = record.map_err(|e| e.to_string())?;
            let fields = columns.iter().zip(&record).filter(|(_, value)| !value.is_empty());
            Ok((i + 1, fields.map(|(c, v)| (c.trim().to_owned(), json!(v))).collect()))
        })
        .collect()
}

fn lines(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            let fields = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
            Ok((i + 1, fields))
        })
        .collect()
}

fn entry(fields: &Map<String, Value>, folder: &Path) -> Result<Entry, String> {
    let text = |name: &str| match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let seconds = |name: &str| {
        let Some(value) = text(name) else { return Ok(None) };
        let seconds: f64 = value.parse().unwrap_or(f64::NAN);
        if seconds.is_finite() && seconds >= 0.0 {
            Ok(Some(seconds))
        } else {
            Err(format!("{name} is '{value}', not a number of seconds"))
        }
    };
    let Some(name) = PATHS.iter().find_map(|column| text(column)) else {
        let columns: Vec<_> = fields.keys().map(String::as_str).collect();
        return Err(format!(
            "no column names a recording (one of {}); its columns are {}",
            PATHS.join(", "),
            columns.join(", ")
        ));
    };
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
        return Err(format!("it ends at {end} s, before its start at {start} s"));
    }
    let id = text("id").unwrap_or_else(|| {
        if let (None, None) = (start, end) {
            name.clone()
        } else {
            let end = end.map_or(String::new(), |e| e.to_string());
            format!("{name}@{}-{end}", start.unwrap_or(0.0))
        }
    });
    let mut value = json!({"name": name, "id": id});
    for (field, given) in [
        ("text", text("text").map(Value::from)),
        ("speaker", text("speaker").map(Value::from)),
        ("split", text("split").map(Value::from)),
        ("start", start.map(Value::from)),
        ("end", end.map(Value::from)),
    ] {
        if let Some(given) = given {
            value[field] = given;
        }
    }
    Ok(Entry { value, path: folder.join(name) })
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
        shards(&json!({"kind": "manifest", "file": file, "split": "test"}), 1 << 28)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn a_tsv_manifest_names_files_and_what_is_known_of_them() {
        let text = "path\tid\ttext\tspeaker\tsplit\nb.wav\tx\tShe said \"no\".\ts1\ttrain\na.wav\t\t\t\t\ngone.wav\t\t\t\t\n";
        let shards = plan("m.tsv", text).unwrap();
        let [shard] = &shards[..] else { panic!("{shards:?}") };
        assert_eq!(shard.source, json!({"kind": "folder", "split": "test"}));
        let first = json!({
            "name": "b.wav", "id": "x", "text": "She said \"no\".", "speaker": "s1", "split": "train",
        });
        assert_eq!(shard.entries[0], first);
        assert_eq!(shard.entries[1], json!({"name": "a.wav", "id": "a.wav"}));
        assert_eq!(shard.inputs[1].key, Key::of_bytes(b"a"));
        assert_ne!(shard.inputs[2].key, shard.inputs[1].key);
    }

    #[test]
    fn json_lines_cut_a_file_into_several_utterances() {
        let text = "{\"audio_filepath\": \"a.wav\", \"offset\": 1.5, \"duration\": 2}\n\n\
                    {\"audio_filepath\": \"a.wav\", \"start\": 3.5, \"end\": 4}\n\
                    {\"audio_filepath\": \"b.wav\", \"duration\": 9, \"text\": \"t\"}\n";
        let shards = plan("m.jsonl", text).unwrap();
        let entries = &shards[0].entries;
        let first = json!({"name": "a.wav", "id": "a.wav@1.5-3.5", "start": 1.5, "end": 3.5});
        assert_eq!(entries[0], first);
        assert_eq!(entries[1]["id"], "a.wav@3.5-4");
        assert_eq!(entries[2], json!({"name": "b.wav", "id": "b.wav", "text": "t"}));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row() {
        for (name, text, named) in [
            ("m.tsv", "wave\nb.wav\n", "one of path, audio"),
            ("m.tsv", "path\nb.wav\nb.wav\n", "rows 1 and 2"),
            ("m.tsv", "path\tstart\nb.wav\tsoon\n", "row 1: start is 'soon'"),
            ("m.tsv", "path\tstart\tend\nb.wav\t3\t2\n", "row 1: it ends"),
            ("m.tsv", "path\n", "no recording"),
            ("m.jsonl", "{\n", "line 1"),
            ("m.txt", "path\n", ".tsv"),
        ] {
            let error = plan(name, text).unwrap_err();
            assert!(error.contains(named) && error.contains(name), "{error}");
        }
        let error =
            shards(&json!({"kind": "manifest", "flie": "x"}), 1 << 28).unwrap_err().to_string();
        assert!(error.contains("flie"), "{error}");
    }
}
