//! Checks every convention's aggregates against an independent computation, to 1e-12. Both sum the same f64
//! values, but in a different order.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use slam_dataset::rng::Rng;
use slam_dataset::schema::Score;
use slam_dataset::shard;
use slam_eval::aggregate::{Convention, SuiteScore, summarise};
use slam_recipe::item::PairItem;

type Groups = BTreeMap<String, f64>;

/// Makes random scores with ties, several voices, items that lack some of the voices, kinds of unequal
/// size, and frequencies on both sides of each band's edges.
fn random_scores() -> Vec<Score> {
    let mut rng = Rng::new(9);
    let frequencies = [0, 1, 2, 4, 5, 6, 19, 20, 21, 99, 100, 101, 5000];
    let mut scores = Vec::new();
    for suite in ["swuggy-dev", "sblimp-dev"] {
        for id in 0..400 {
            let (kind, subkind, frequency) = if suite == "swuggy-dev" {
                (String::new(), String::new(), Some(*rng.pick(&frequencies)))
            } else {
                let kind = rng.below(12) * rng.below(2);
                (format!("type{kind}"), format!("sub{}", rng.below(3)), None)
            };
            for voice in ["A", "B", "C", "D"] {
                if rng.below(4) == 0 {
                    continue;
                }
                // Use multiples of a half over few tokens, so that ties occur in each convention.
                let mut half = |n: usize| rng.below(n) as f64 / 2.0;
                let nll = [half(12), half(12), half(4), half(4)];
                scores.push(Score {
                    item: PairItem {
                        suite: suite.into(),
                        pair: id.to_string(),
                        voice: voice.into(),
                        kind: kind.clone(),
                        subkind: subkind.clone(),
                        frequency,
                        ..Default::default()
                    },
                    positive_nll: nll[0],
                    negative_nll: nll[1],
                    positive_eos_nll: nll[2],
                    negative_eos_nll: nll[3],
                    positive_tokens: 1 + rng.below(4) as u32,
                    negative_tokens: 1 + rng.below(4) as u32,
                });
            }
        }
    }
    scores
}

fn groups(score: &SuiteScore) -> Groups {
    let mut out = Groups::from([("all".to_owned(), score.all.share)]);
    out.extend(score.kinds.iter().map(|(k, a)| (format!("kind {k}"), a.share)));
    out.extend(score.subkinds.iter().map(|p| (format!("subkind {}", p.name), p.accuracy.share)));
    out.extend(score.bands.iter().map(|p| (format!("band {}", p.name), p.accuracy.share)));
    out
}

#[test]
fn aggregates_equal_an_independent_computation() {
    let Some(python) = slam_testing::python(&["pandas", "pyarrow"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    let scores = random_scores();
    shard::write(&path, &scores, &BTreeMap::new()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conventions.py");
    let out = Command::new(python).arg(script).arg(&path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let expected: BTreeMap<String, BTreeMap<String, Groups>> =
        serde_json::from_slice(&out.stdout).unwrap();
    if !expected.contains_key("toolkit") {
        eprintln!("zerospeech-benchmarks is not installed: judged by the pandas computation alone");
    }
    for (name, suites) in expected {
        let convention = match name.as_str() {
            "slamkit" => Convention::Slamkit,
            "slm-scaling" => Convention::SlmScaling,
            _ => Convention::Zerospeech,
        };
        let found = summarise(&scores, Some(convention));
        assert_eq!(found.len(), suites.len());
        for score in &found {
            assert!(score.all.ties > 20, "{name}: the scores have no ties to tell");
            let (found, expected) = (groups(score), &suites[&score.suite]);
            for (group, expected) in expected {
                let Some(found) = found.get(group) else {
                    // A suite with one kind does not name its subkinds.
                    assert_eq!(group, "subkind  / ", "{name} {}: no group '{group}'", score.suite);
                    continue;
                };
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{name} {} {group}: {found}, expected {expected}",
                    score.suite
                );
            }
        }
    }
}
