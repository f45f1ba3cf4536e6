//! Cheap scores of a model during training: a few pairs of each suite, read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slam_dataset::schema::{BenchmarkPair, TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;
use slam_lm::Decoder;
use slam_recipe::evaluation::ProbeRequest;

use crate::aggregate::summarise;
use crate::convention::Convention;
use crate::evaluate::{EvaluateError, score};

/// Pairs that are scored again and again.
pub struct Probe {
    pairs: Vec<BenchmarkPair>,
    convention: Option<Convention>,
}

impl Probe {
    /// The prefix of the metrics' names; the suite's name follows.
    pub const METRIC: &'static str = "score/";

    /// Reads the pairs. `trained_on` is a shard that the model is trained on. Both must use the same
    /// tokeniser.
    ///
    /// # Errors
    /// Fails if a shard cannot be read, or uses another tokeniser.
    pub fn open(
        request: &ProbeRequest,
        trained_on: Option<&PathBuf>,
    ) -> Result<Self, EvaluateError> {
        let expected = match trained_on {
            Some(path) => {
                let reader = ShardReader::<UnitSequence>::open(path)?;
                Some((path.clone(), tokeniser(path, reader.metadata())?))
            }
            None => None,
        };
        let mut pairs = Vec::new();
        for path in &request.shards {
            let reader = ShardReader::<BenchmarkPair>::open(path)?;
            let info = tokeniser(path, reader.metadata())?;
            if let Some((model, expected)) =
                expected.as_ref().filter(|e| e.1.identity != info.identity)
            {
                let name = |i: &TokeniserInfo| format!("{} ({})", i.name, i.identity.short());
                return Err(EvaluateError::Tokeniser {
                    shard: path.clone(),
                    found: name(&info),
                    model: model.clone(),
                    expected: name(expected),
                });
            }
            let rows = reader.num_rows() as usize;
            let wanted = if request.pairs == 0 { rows } else { request.pairs.min(rows) };
            for (i, row) in reader.enumerate() {
                let row = row?;
                // Take row i if i·wanted/rows crosses a whole number there.
                if (i + 1) * wanted / rows > i * wanted / rows {
                    pairs.push(row);
                }
            }
        }
        Ok(Self { pairs, convention: request.convention })
    }

    /// Returns the number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns each suite's share of pairs won, as `score/<suite>`.
    ///
    /// # Errors
    /// Fails if the model does not accept the units.
    pub fn score(&self, model: &Decoder) -> Result<BTreeMap<String, f64>, slam_lm::LmError> {
        let scores = score(model, self.pairs.clone())?;
        Ok(summarise(&scores, self.convention)
            .into_iter()
            .map(|s| (format!("{}{}", Self::METRIC, s.suite), s.all.share))
            .collect())
    }
}

fn tokeniser(
    path: &Path,
    metadata: &BTreeMap<String, String>,
) -> Result<TokeniserInfo, EvaluateError> {
    TokeniserInfo::from_metadata(metadata)
        .map_err(|e| EvaluateError::Metadata { path: path.to_owned(), reason: e })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use slam_dataset::shard;
    use slam_recipe::item::PairItem;

    fn shard_of(folder: &std::path::Path, name: &str, identity: &str, rows: usize) -> PathBuf {
        let info = TokeniserInfo {
            name: name.into(),
            identity: slam_recipe::Key::of_bytes(identity.as_bytes()),
            layer: None,
            k: 9,
            units_per_second: 25.0,
        };
        let pairs: Vec<_> = (0..rows)
            .map(|i| BenchmarkPair {
                item: PairItem { suite: "s".into(), pair: i.to_string(), ..Default::default() },
                positive: vec![1, 2],
                negative: vec![2, 1],
            })
            .collect();
        let path = folder.join(format!("{name}.parquet"));
        shard::write(&path, &pairs, &info.to_metadata()).unwrap();
        path
    }

    #[test]
    fn pairs_are_taken_evenly_and_of_one_tokeniser() {
        let folder = tempfile::tempdir().unwrap();
        let a = shard_of(folder.path(), "a", "x", 10);
        let request = |pairs| ProbeRequest { shards: vec![a.clone()], pairs, convention: None };
        let ids = |n| -> Vec<String> {
            Probe::open(&request(n), Some(&a))
                .unwrap()
                .pairs
                .into_iter()
                .map(|p| p.item.pair)
                .collect()
        };
        assert_eq!(ids(5), ["1", "3", "5", "7", "9"]);
        assert_eq!((ids(0).len(), ids(99).len(), ids(3).len()), (10, 10, 3));
        let b = shard_of(folder.path(), "b", "y", 1);
        assert!(matches!(Probe::open(&request(1), Some(&b)), Err(EvaluateError::Tokeniser { .. })));
    }
}
