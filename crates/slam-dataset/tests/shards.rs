//! Shards through the public interface: rows come back, bytes repeat, broken files are errors.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use slam_dataset::arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StructArray};
use slam_dataset::parquet::arrow::ArrowWriter;
use slam_dataset::schema::{
    BenchmarkPair, PreferencePair, Score, TokeniserInfo, UnitSequence, Utterance, Word,
};
use slam_dataset::shard::{self, Row, ShardReader};
use slam_dataset::work::{self, WorkError};
use slam_dataset::{Context, Outcome};
use slam_recipe::item::{BenchmarkItem, Item, PairItem, PairSegment, Segment, Side};
use slam_recipe::params::{ImportParams, Work};
use slam_recipe::receipt::Planned;
use slam_recipe::receipt::ShardState;
use slam_recipe::work::{Input, Quarantined};
use slam_recipe::{Key, Receipt, ShardName, Stage, WorkUnit};

fn comes_back<T: Row + Clone + PartialEq + std::fmt::Debug>(rows: &[T]) {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.parquet"), dir.path().join("b.parquet"));
    let metadata = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    shard::write(&a, rows, &metadata).unwrap();
    shard::write(&b, rows, &metadata).unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap(), "same rows, same bytes");
    let reader = ShardReader::<T>::open(&a).unwrap();
    assert_eq!(reader.metadata()["k"], "v");
    assert_eq!(reader.num_rows(), rows.len() as u64);
    assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), rows);
}

fn benchmark() -> Item {
    Item::Benchmark(BenchmarkItem {
        suite: "swuggy".into(),
        pair: "1|2".into(),
        voice: "en-us".into(),
        kind: String::new(),
        subkind: String::new(),
        frequency: Some(7),
        side: Side::Negative,
        file: Some("aA#b".into()),
    })
}

#[test]
fn every_dataset_comes_back() {
    let words = vec![Word { word: "a".into(), start: 0.0, end: 0.25 }];
    comes_back(&[
        Utterance {
            id: "1".into(),
            flac: vec![1, 2, 3],
            path: "1.flac".into(),
            num_samples: 7,
            source_rate_hz: 22050,
            split: "train".into(),
            speaker: Some("s".into()),
            text: None,
            words: Some(words.clone()),
            item: Some(benchmark()),
        },
        Utterance { id: "2".into(), ..Default::default() },
    ]);
    comes_back(&[
        UnitSequence {
            id: "1".into(),
            units: vec![3, 499],
            durations: vec![1, 65535],
            split: "train".into(),
            text: Some("t".into()),
            words: Some(words),
            item: Some(benchmark()),
        },
        UnitSequence {
            id: "a|b/rejected".into(),
            item: Some(Item::Pair(PairSegment { pair: "a|b".into(), segment: Segment::Rejected })),
            ..Default::default()
        },
        UnitSequence::default(),
    ]);
    comes_back(&[
        PreferencePair {
            id: "1".into(),
            prompt: vec![1],
            chosen: vec![2],
            rejected: vec![],
            auto_bleu2: Some(0.5),
            ..Default::default()
        },
        PreferencePair::default(),
    ]);
    let item = PairItem {
        pair: "1".into(),
        frequency: Some(2),
        negative_file: Some("b".into()),
        ..Default::default()
    };
    let pair = BenchmarkPair { item, positive: vec![9], ..Default::default() };
    comes_back(&[pair, BenchmarkPair::default()]);
    comes_back(&[Score { positive_nll: 1.0 / 3.0, negative_tokens: 4, ..Default::default() }]);
    comes_back(&[Quarantined {
        id: "x".into(),
        source: "f".into(),
        stage: Stage::Unitise,
        error: "e".into(),
    }]);
    comes_back::<UnitSequence>(&[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_unit_rows_come_back(lists in prop::collection::vec(prop::collection::vec(any::<(u16, u16)>(), 0..40), 0..600)) {
        let rows: Vec<_> = lists.into_iter().enumerate().map(|(i, l)| {
            let (units, durations) = l.into_iter().unzip();
            UnitSequence { id: i.to_string(), units, durations, ..Default::default() }
        }).collect();
        comes_back(&rows);
    }

    #[test]
    fn a_damaged_shard_is_an_error_and_never_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let rows: Vec<_> = (0..20u16).map(|i| UnitSequence { id: i.to_string(), units: vec![i; 5], durations: vec![1; 5], ..Default::default() }).collect();
        shard::write(&path, &rows, &BTreeMap::new()).unwrap();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let i = at.index(bad.len());
        bad[i] ^= byte;
        fs::write(&path, &bad).unwrap();
        let _ = shard::read::<UnitSequence>(&path);
        fs::write(&path, &good[..cut.index(good.len())]).unwrap();
        prop_assert!(shard::read::<UnitSequence>(&path).is_err());
    }
}

/// A writer's Arrow schema of nonsense, and a column at a negative offset, make the Parquet reader panic.
#[test]
fn footers_that_break_the_parquet_reader_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    shard::write(&path, &[UnitSequence::default()], &BTreeMap::new()).unwrap();
    let good = fs::read(&path).unwrap();
    let footer = good.len()
        - 8
        - u32::from_le_bytes(good[good.len() - 8..][..4].try_into().unwrap()) as usize;
    let mut refused = 0;
    for at in footer..good.len() {
        for bit in [1, 16, 128] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            fs::write(&path, &bad).unwrap();
            refused += usize::from(shard::read::<UnitSequence>(&path).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_shard_of_another_dataset_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    shard::write(&path, &[BenchmarkPair::default()], &BTreeMap::new()).unwrap();
    let error = shard::read::<UnitSequence>(&path).unwrap_err().to_string();
    assert!(error.contains("not a units shard") && error.contains("a.parquet"), "{error}");
}

/// Writes a batch as it is.
fn write_batch(path: &Path, batch: &RecordBatch) {
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// A shard as the layout before the column `item` had it.
fn write_old<T: Row>(path: &Path, rows: &[T]) {
    let mut batch = T::to_batch(rows).unwrap();
    batch.remove_column(batch.schema().index_of("item").unwrap());
    write_batch(path, &batch);
}

#[test]
fn a_shard_of_the_old_layout_says_so_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows =
        [UnitSequence { id: "1".into(), units: vec![3], durations: vec![1], ..Default::default() }];
    write_old(&path, &rows);
    let error = shard::read::<UnitSequence>(&path).unwrap_err().to_string();
    for part in ["a.parquet", "old layout of units shards", "'item'", "prepare the data again"] {
        assert!(error.contains(part), "{error}");
    }
    let read: Result<Vec<_>, _> =
        ShardReader::<UnitSequence>::open_any_layout(&path).unwrap().collect();
    assert_eq!(read.unwrap(), rows);
    write_old(&path, &[Utterance::default()]);
    let error = shard::read::<Utterance>(&path).unwrap_err().to_string();
    assert!(error.contains("old layout of corpus shards"), "{error}");
    let error = shard::read::<UnitSequence>(&path).unwrap_err().to_string();
    assert!(error.contains("not a units shard"), "{error}");
    write_old(&path, &[BenchmarkPair::default()]);
    let error = shard::read::<BenchmarkPair>(&path).unwrap_err().to_string();
    for part in ["old layout of benchmark shards", "'item'", "prepare the data again"] {
        assert!(error.contains(part), "{error}");
    }
    write_old(&path, &[Score::default()]);
    let error = shard::read::<Score>(&path).unwrap_err().to_string();
    for part in ["old layout of scores shards", "'item'", "evaluate the checkpoint again"] {
        assert!(error.contains(part), "{error}");
    }
}

/// 400 rows of a benchmark, with another value of one field of row 300's item.
fn with_field(name: &str, value: Option<&str>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let row = UnitSequence { item: Some(benchmark()), ..Default::default() };
    let batch = UnitSequence::to_batch(&vec![row; 400]).unwrap();
    let at = batch.schema().index_of("item").unwrap();
    let item: &StructArray = batch.column(at).as_any().downcast_ref().unwrap();
    let (fields, mut columns, nulls) = item.clone().into_parts();
    let field = fields.find(name).unwrap().0;
    let texts: &StringArray = columns[field].as_any().downcast_ref().unwrap();
    let texts = (0..400).map(|i| match i {
        300 => value,
        _ => texts.is_valid(i).then(|| texts.value(i)),
    });
    let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
    columns[field] = texts;
    let mut all = batch.columns().to_vec();
    all[at] = Arc::new(StructArray::try_new(fields, columns, nulls).unwrap());
    write_batch(&path, &RecordBatch::try_new(batch.schema(), all).unwrap());
    shard::read::<UnitSequence>(&path).unwrap_err().to_string()
}

#[test]
fn a_value_that_an_item_may_not_have_is_named_by_its_column_and_row() {
    for (name, value, says) in [
        ("side", Some("left"), "'item.side' is 'left' in row 300, expected positive or negative"),
        ("side", None, "'item.side and item.segment' is null in row 300"),
        ("segment", Some("prompt"), "'item.segment' is 'prompt' in row 300, expected null"),
        ("suite", None, "'item.suite' is null in row 300"),
        ("pair", None, "'item.pair' is null in row 300"),
    ] {
        let error = with_field(name, value);
        assert!(error.contains(says) && error.contains("a.parquet"), "{error}");
    }
}

#[test]
fn a_unit_is_done_once_and_stale_when_its_parameters_change() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let context = Context {
        root: dir.path(),
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools: BTreeMap::new(),
    };
    let work = |k| {
        let (tokeniser, split) = ("t".to_owned(), "train".to_owned());
        Work::ImportUnits(ImportParams { tokeniser, k, units_per_second: 25.0, split })
    };
    let output = "d/unitise-v2/part-00000-of-00001.parquet";
    let unit = WorkUnit::new(work(1), ShardName::new(0, 1), vec![], output.into());
    let shard = dir.path().join(&unit.output);
    assert_eq!(Receipt::state(&shard, &unit.key), ShardState::Missing);
    let failed = work::execute(&unit, &context, |_| Err(std::io::Error::other("no")));
    assert!(failed.unwrap_err().to_string().contains("no"));
    assert_eq!(Receipt::state(&shard, &unit.key), ShardState::Missing);
    let run = |out: &std::path::Path| {
        let rows = shard::write(out, &[UnitSequence::default()], &BTreeMap::new())?;
        let quarantined = vec![Quarantined {
            id: "x".into(),
            source: "f".into(),
            stage: Stage::Unitise,
            error: "e".into(),
        }];
        Ok::<_, shard::ShardError>(Outcome { rows, quarantined, ..Default::default() })
    };
    let receipt = work::execute(&unit, &context, run).unwrap();
    assert_eq!(Receipt::state(&shard, &unit.key), ShardState::Done(Box::new(receipt.clone())));
    assert!(receipt.verify(&shard).unwrap());
    assert_eq!(shard::read::<Quarantined>(&Receipt::quarantine_path_of(&shard)).unwrap().len(), 1);
    assert_eq!((receipt.first_quarantined.len(), receipt.host.is_empty()), (1, false));
    let other = |work, inputs| WorkUnit::new(work, unit.shard, inputs, unit.output.clone());
    let input = Input { path: "x".into(), key: Key::of_bytes(b"x") };
    for (changed, why) in [
        (other(work(2), vec![]), "its parameters changed"),
        (other(work(1), vec![input]), "its inputs changed"),
    ] {
        let ShardState::Stale(old) = Receipt::state(&shard, &changed.key) else { panic!("{why}") };
        let (params, inputs) = (&changed.params_digest(), &changed.inputs_digest());
        let (stage, version) = (changed.stage(), changed.version);
        assert_eq!(old.why_stale(&Planned { stage, version, params, inputs }), why);
    }
    fs::write(&shard, b"x").unwrap();
    assert!(matches!(Receipt::state(&shard, &unit.key), ShardState::Broken(_)));
}

/// A unit of work of `k` units.
fn unit(k: u32, output: &str, inputs: Vec<Input>) -> WorkUnit {
    let (tokeniser, split) = ("t".to_owned(), "train".to_owned());
    let params = ImportParams { tokeniser, k, units_per_second: 25.0, split };
    WorkUnit::new(Work::ImportUnits(params), ShardName::new(0, 1), inputs, output.into())
}

/// A stage that writes one row.
fn write(out: &std::path::Path) -> Result<Outcome, shard::ShardError> {
    let rows = shard::write(out, &[UnitSequence::default()], &BTreeMap::new())?;
    Ok(Outcome { rows, ..Default::default() })
}

#[test]
fn a_unit_whose_input_other_work_replaces_meanwhile_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let (root, tools) = (dir.path(), BTreeMap::new());
    let context = Context {
        root,
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools,
    };
    let (mine, theirs) = (unit(1, "d/a.parquet", vec![]), unit(2, "d/a.parquet", vec![]));
    let reads = unit(1, "d/b.parquet", vec![mine.as_input()]);
    // Not there, there, replaced before, and replaced while the stage reads it.
    let refused = |r: Result<Receipt, WorkError>| {
        let error = r.unwrap_err().to_string();
        assert!(error.contains("d/a.parquet was replaced"), "{error}");
        assert!(!root.join("d/b.parquet").exists());
    };
    refused(work::execute(&reads, &context, write));
    work::execute(&theirs, &context, write).unwrap();
    refused(work::execute(&reads, &context, write));
    work::execute(&mine, &context, write).unwrap();
    refused(work::execute(&reads, &context, |out| {
        work::execute(&theirs, &context, write).unwrap();
        write(out)
    }));
    work::execute(&mine, &context, write).unwrap();
    work::execute(&reads, &context, write).unwrap();
}

#[test]
fn a_unit_waits_for_an_input_that_is_being_published_again() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let (root, tools) = (dir.path(), BTreeMap::new());
    let context = Context {
        root,
        cancel: &cancel,
        progress: &|_| (),
        device: slam_recipe::device::DeviceSpec::Cpu,
        tools,
    };
    let input = unit(1, "d/a.parquet", vec![]);
    let reads = unit(1, "d/b.parquet", vec![input.as_input()]);
    let receipt = work::execute(&input, &context, write).unwrap();
    // Another process is between the old receipt and the new one.
    let publishing = fs::File::open(root.join(".plans/publish.guard")).unwrap();
    publishing.lock().unwrap();
    fs::remove_file(Receipt::path_of(&root.join(&input.output))).unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| work::execute(&reads, &context, write));
        std::thread::sleep(std::time::Duration::from_millis(100));
        receipt.write(&root.join(&input.output)).unwrap();
        publishing.unlock().unwrap();
        reading.join().unwrap().unwrap();
    });
}

#[test]
fn the_tokeniser_travels_in_the_file_metadata() {
    let info = TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "mfcc".into(),
        layer: None,
        k: 100,
        units_per_second: 25.0,
    };
    assert_eq!(TokeniserInfo::from_metadata(&info.to_metadata()).unwrap(), info);
    assert!(TokeniserInfo::from_metadata(&BTreeMap::new()).is_err());
}
