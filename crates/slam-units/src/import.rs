//! Units that were made elsewhere: slamkit's JSON lines, and unit shards of this project.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use slam_dataset::schema::{NoTokeniser, TokeniserInfo, UnitSequence};
use slam_dataset::shard::{ShardError, ShardReader, ShardWriter};
use slam_dataset::work::WorkError;
use slam_dataset::{Context, Outcome};
use slam_recipe::params::ImportParams;
use slam_recipe::work::Quarantined;
use slam_recipe::{Stage, WorkUnit};

use crate::slamkit::{self, LineError};

/// A file that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A shard.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Parameters that this stage does not understand.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The file.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A shard that does not say which tokeniser made it.
    #[error("{path}: {reason}; it is no unit shard of this project", path = path.display())]
    NoTokeniser {
        /// The file.
        path: PathBuf,
        /// What its metadata lack.
        reason: NoTokeniser,
    },
    /// A shard of another tokeniser than it is imported as.
    #[error(
        "{path}: its tokeniser '{}' has {} units at {} Hz; the source says k = {k} and \
         units_per_second = {units_per_second}",
        found.name, found.k, found.units_per_second, path = path.display()
    )]
    OtherTokeniser {
        /// The file.
        path: PathBuf,
        /// The tokeniser that made it.
        found: Box<TokeniserInfo>,
        /// How many units it is said to have.
        k: u32,
        /// Its frames a second, as is said.
        units_per_second: f64,
    },
    /// No row of the file can be used.
    #[error("{path} holds no unit sequences; its first line: {first}", path = path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What is wrong with the first line.
        first: RowError,
    },
}

/// A row that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A line that is no unit sequence.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A unit that the tokeniser does not have.
    #[error("unit {unit} of a tokeniser with {k}")]
    Unit {
        /// The unit.
        unit: u16,
        /// Units of the tokeniser.
        k: u32,
    },
}

/// What stands for the unknown tokeniser: files that are imported under one name belong together.
fn info(params: &ImportParams) -> TokeniserInfo {
    TokeniserInfo::imported(&params.tokeniser, params.k, params.units_per_second)
}

/// Makes a unit shard of a file: a unit shard (`.parquet`), which keeps the identity of its tokeniser and
/// may be of the old layout, without items; or slamkit's JSON lines. A row that is no sequence, or has a unit that the tokeniser does not, goes to quarantine.
///
/// # Errors
/// If the file cannot be read, no row of it can be used, or the disk refuses.
pub fn import(
    params: &ImportParams,
    unit: &WorkUnit,
    context: &Context<'_>,
    out: &Path,
) -> Result<Outcome, ImportError> {
    let path = unit.inputs.first().map(|i| context.path(i)).unwrap_or_default();
    if path.extension().is_some_and(|e| e == "parquet") {
        let reader = ShardReader::<UnitSequence>::open_any_layout(&path)?;
        let info = TokeniserInfo::from_metadata(reader.metadata())
            .map_err(|reason| ImportError::NoTokeniser { path: path.clone(), reason })?;
        let &ImportParams { k, units_per_second, .. } = params;
        if (info.k, info.units_per_second) != (k, units_per_second) {
            let found = Box::new(info);
            return Err(ImportError::OtherTokeniser { path, found, k, units_per_second });
        }
        let mut shard = Shard::create(out, &info, &path)?;
        for row in reader {
            let row = row?;
            let id = row.id.clone();
            shard.add(&id, Ok(row))?;
        }
        return shard.finish();
    }
    let file = |source| ImportError::File { path: path.clone(), source };
    let reader = BufReader::new(File::open(&path).map_err(file)?);
    let info = info(params);
    let mut shard = Shard::create(out, &info, &path)?;
    for (number, text) in reader.lines().enumerate() {
        let text = text.map_err(file)?;
        if !text.trim().is_empty() {
            let row = slamkit::parse(&text, &params.split).map_err(RowError::from);
            shard.add(&format!("line {}", number + 1), row)?;
        }
    }
    shard.finish()
}

/// A shard being written.
struct Shard<'a> {
    writer: ShardWriter<UnitSequence>,
    info: &'a TokeniserInfo,
    source: &'a Path,
    outcome: Outcome,
    /// What was wrong with the first row that could not be used.
    first: Option<RowError>,
    units: usize,
    frames: f64,
}

impl<'a> Shard<'a> {
    fn create(out: &Path, info: &'a TokeniserInfo, source: &'a Path) -> Result<Self, ShardError> {
        Ok(Self {
            writer: ShardWriter::create(out, &info.to_metadata())?,
            info,
            source,
            outcome: Outcome::default(),
            first: None,
            units: 0,
            frames: 0.0,
        })
    }

    fn add(&mut self, id: &str, row: Result<UnitSequence, RowError>) -> Result<(), ShardError> {
        let k = self.info.k;
        let row = row.and_then(|row| match row.units.iter().find(|u| u32::from(**u) >= k) {
            Some(&unit) => Err(RowError::Unit { unit, k }),
            None => Ok(row),
        });
        match row {
            Ok(row) => {
                self.units += row.units.len();
                self.frames += row.durations.iter().map(|d| f64::from(*d)).sum::<f64>();
                self.writer.push(row)
            }
            Err(error) => {
                self.outcome.quarantined.push(Quarantined {
                    id: id.to_owned(),
                    source: self.source.display().to_string(),
                    stage: Stage::Unitise,
                    error: error.to_string(),
                });
                self.first.get_or_insert(error);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Outcome, ImportError> {
        let Self { writer, info, source, mut outcome, first, units, frames } = self;
        outcome.rows = writer.finish()?;
        if let (0, Some(first)) = (outcome.rows, first) {
            return Err(ImportError::Nothing { path: source.to_owned(), first });
        }
        outcome.totals.insert("units".to_owned(), units as f64);
        outcome.totals.insert("audio_seconds".to_owned(), frames / info.units_per_second);
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::atomic::AtomicBool;

    use serde_json::{Value, json};
    use slam_dataset::parquet::arrow::ArrowWriter;
    use slam_dataset::parquet::file::metadata::KeyValue;
    use slam_dataset::parquet::file::properties::WriterProperties;
    use slam_dataset::shard::{self, Row as _};
    use slam_recipe::work::Input;
    use slam_recipe::{Key, ShardName, Work};

    use super::*;

    fn run(
        root: &Path,
        name: &str,
        params: Value,
    ) -> Result<(Vec<UnitSequence>, Outcome), ImportError> {
        let input = Input { path: name.into(), key: Key::of_bytes(b"i") };
        let out = root.join(format!("{name}.out.parquet"));
        let params: ImportParams = serde_json::from_value(params).unwrap();
        let work = Work::ImportUnits(params.clone());
        let unit = WorkUnit::new(work, ShardName::new(0, 1), vec![input], out.clone());
        let cancel = AtomicBool::new(false);
        let context = Context {
            root,
            cancel: &cancel,
            progress: &|_| (),
            device: slam_recipe::device::DeviceSpec::Cpu,
            tools: BTreeMap::new(),
        };
        let outcome = import(&params, &unit, &context, &out)?;
        Ok((shard::read(&out).unwrap(), outcome))
    }

    #[test]
    fn a_shard_without_the_column_of_items_is_imported_and_its_rows_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let row = UnitSequence {
            id: "a".into(),
            units: vec![1],
            durations: vec![2],
            ..UnitSequence::default()
        };
        let mut batch = UnitSequence::to_batch(std::slice::from_ref(&row)).unwrap();
        batch.remove_column(batch.schema().index_of("item").unwrap());
        let metadata = TokeniserInfo::imported("t", 50, 25.0).to_metadata();
        let metadata = metadata.into_iter().map(|(k, v)| KeyValue::new(k, v)).collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
        let file = File::create(dir.path().join("old.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let params = json!({"tokeniser": "t", "k": 50, "units_per_second": 25.0, "split": "train"});
        let (rows, outcome) = run(dir.path(), "old.parquet", params).unwrap();
        assert_eq!((rows, outcome.rows), (vec![row], 1));
    }

    #[test]
    fn lines_and_shards_become_unit_shards() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "{\"units\": [3, 49], \"duration\": [2, 1], \"file_name\": \"a\"}\n\
                     {\"file_name\": \"b\", \"audio_repr\": \"<Un3>\"}\n\
                     {\"file_name\": \"c\", \"audio_repr\": \"<Un50>\"}\n";
        fs::write(dir.path().join("x.jsonl"), lines).unwrap();
        let params =
            |k: u32| json!({"tokeniser": "t", "k": k, "units_per_second": 25.0, "split": "train"});
        let (rows, outcome) = run(dir.path(), "x.jsonl", params(50)).unwrap();
        assert_eq!((rows[0].units.clone(), rows[0].durations.clone()), (vec![3, 49], vec![2, 1]));
        assert_eq!((rows[1].id.as_str(), rows.len()), ("b", 2));
        assert_eq!(outcome.quarantined[0].id, "line 3");
        // What was written is imported again as it is.
        let (again, _) = run(dir.path(), "x.jsonl.out.parquet", params(50)).unwrap();
        assert_eq!(again, rows);
        let error = run(dir.path(), "x.jsonl.out.parquet", params(60)).unwrap_err().to_string();
        assert!(error.contains("50 units") && error.contains("k = 60"), "{error}");
        fs::write(dir.path().join("y.jsonl"), "no\n").unwrap();
        let error = run(dir.path(), "y.jsonl", params(50)).unwrap_err().to_string();
        assert!(error.contains("no unit sequences"), "{error}");
    }
}
