#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard;
use slam_recipe::Key;

use super::*;

fn info() -> TokeniserInfo {
    TokeniserInfo {
        identity: Key::of_bytes(b"t"),
        name: "t".into(),
        layer: None,
        k: 10,
        units_per_second: 25.0,
    }
}

fn row(id: &str, units: usize, split: &str) -> UnitSequence {
    let units: Vec<u16> = (0..units).map(|i| (i % 10) as u16).collect();
    UnitSequence {
        id: id.into(),
        durations: vec![1; units.len()],
        units,
        split: split.into(),
        text: None,
        words: None,
        item: None,
    }
}

fn dataset(folder: &Path, name: &str, rows: &[UnitSequence]) -> UnitShards {
    let path = folder.join(format!("{name}.parquet"));
    shard::write(&path, rows, &info().to_metadata()).unwrap();
    UnitShards { name: name.into(), shards: vec![path] }
}

#[test]
fn samples_come_back_from_the_mapped_file_which_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [row("a", 3, "train"), row("b", 5, "validation"), row("c", 12, "train")];
    let data = [
        dataset(folder.path(), "one", &rows),
        dataset(folder.path(), "two", &[row("d", 2, "train"), row("e", 4, "test")]),
    ];
    let tokens = folder.path().join("tokens");
    let key = Key::of_bytes(b"data");
    let open = |s: &Selection, data: &[UnitShards]| Corpus::open(&tokens, data, &key, s);
    let corpus = open(&Selection::default(), &data).unwrap();
    assert_eq!((corpus.train.len(), corpus.validation.len()), (3, 1));
    assert_eq!(corpus.train.tokens(0), [1, 2, 3, 4, 1]);
    assert_eq!((corpus.train.id(2), corpus.train.tokens(2)), ("d", &[1, 2, 3, 1][..]));
    assert_eq!((corpus.train.length(1), corpus.train.num_tokens()), (14, 5 + 14 + 4));
    assert_eq!(corpus.validation.id(0), "b");
    let one = &corpus.datasets[0];
    assert_eq!((one.train.tokens, one.train.shortest, one.train.longest), (19, 3, 12));
    assert_eq!((one.units_used, corpus.datasets[1].other_splits), (10, 1));
    assert!((corpus.datasets[1].unit_entropy - 1.0).abs() < 1e-12, "two units, as frequent");
    // The shards are not needed any more, nor read again.
    fs::remove_file(&data[0].shards[0]).unwrap();
    assert_eq!(open(&Selection::default(), &data).unwrap().train.len(), 3);
    // Another selection is another file.
    assert!(open(&Selection { min_units: 1, ..Selection::default() }, &data).is_err());
}

#[test]
fn a_token_file_that_was_cut_short_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = [dataset(folder.path(), "one", &[row("a", 30, "train")])];
    let key = Key::of_bytes(b"data");
    let open = || Corpus::open(folder.path(), &data, &key, &Selection::default());
    open().unwrap();
    let path = folder.path().join("train.arrow");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 5, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.contains("train.arrow"), "{error}");
    }
}

#[test]
fn short_and_long_utterances_are_left_out_and_some_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..400).map(|i| row(&format!("u{i}"), i % 40, "train")).collect();
    let data = [dataset(folder.path(), "one", &rows)];
    let selection = Selection { min_units: 5, max_units: 30, validation: 4 };
    let key = Key::of_bytes(b"data");
    let corpus = Corpus::open(&folder.path().join("t"), &data, &key, &selection).unwrap();
    let counts = &corpus.datasets[0];
    assert_eq!((counts.too_short, counts.too_long), (50, 90));
    assert_eq!(counts.train.samples + counts.validation.samples, 260);
    assert!((40..95).contains(&counts.validation.samples), "{}", counts.validation.samples);
    assert_eq!((counts.train.shortest, counts.train.longest), (5, 30));
}

fn statistics(tokens: &[u64]) -> Vec<Statistics> {
    let of = |(i, &tokens): (usize, &u64)| {
        let train = SplitStatistics { samples: tokens / 10, tokens, ..Default::default() };
        Statistics { name: format!("d{i}"), train, ..Statistics::default() }
    };
    tokens.iter().enumerate().map(of).collect()
}

#[test]
fn weights_are_shares_of_an_epochs_tokens() {
    let named = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
        pairs.iter().map(|(n, x)| ((*n).to_owned(), *x)).collect()
    };
    let data = statistics(&[300, 100]);
    assert_eq!(rates(&Mixture::default(), &data).unwrap(), [1.0, 1.0]);
    let read = rates(&Mixture::Repetitions(named(&[("d1", 2.5)])), &data).unwrap();
    assert_eq!(read, [1.0, 2.5]);
    let weighted = Mixture::Weights(named(&[("d0", 3.0), ("d1", 3.0)]));
    let read = rates(&weighted, &data).unwrap();
    assert!((read[0] - 2.0 / 3.0).abs() < 1e-12 && (read[1] - 2.0).abs() < 1e-12, "{read:?}");
    for (bad, said) in [
        (Mixture::Weights(named(&[("d0", 1.0)])), "'d1' has no weight"),
        (Mixture::Repetitions(named(&[("x", 1.0)])), "no dataset 'x'"),
        (Mixture::Repetitions(named(&[("d0", -1.0)])), "at least 0"),
        (Mixture::Weights(named(&[("d0", 0.0), ("d1", 0.0)])), "nothing"),
    ] {
        let error = rates(&bad, &data).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

proptest! {
    #[test]
    fn over_the_epochs_every_sample_is_read_as_often_as_every_other(
        n in 1usize..40, rate in 0.05f64..3.0, seed in any::<u64>(),
    ) {
        let mut reads = vec![0u64; n];
        let mut all = 0;
        for epoch in 0..12 {
            let chosen = choose(100..100 + n, rate, seed, 1, epoch);
            all += chosen.len();
            for sample in chosen {
                reads[sample - 100] += 1;
            }
            let (least, most) = (reads.iter().min().unwrap(), reads.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", reads);
        }
        prop_assert_eq!(all, (12.0 * rate * n as f64).round() as usize);
    }
}
