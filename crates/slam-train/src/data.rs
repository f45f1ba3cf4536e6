//! Unit shards as token samples.

use std::path::{Path, PathBuf};

use slam_dataset::schema::{TokeniserInfo, UnitSequence};
use slam_dataset::shard::ShardReader;

use crate::error::TrainError;

/// `<S> units <S>` of many utterances, one behind the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    ids: Vec<String>,
    tokens: Vec<u16>,
    /// Where each sample ends.
    ends: Vec<usize>,
}

impl Samples {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many tokens there are in all.
    pub fn num_tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens of one sample.
    pub fn tokens(&self, sample: usize) -> &[u16] {
        let start = sample.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[start..self.ends[sample]]
    }

    /// The utterance of one sample.
    pub fn id(&self, sample: usize) -> &str {
        &self.ids[sample]
    }

    fn push(&mut self, id: String, units: &[u16]) {
        const EDGE: u16 = slam_lm::BOS as u16;
        self.tokens.push(EDGE);
        self.tokens.extend(units.iter().map(|u| u + slam_lm::FIRST_UNIT as u16));
        self.tokens.push(EDGE);
        self.ends.push(self.tokens.len());
        self.ids.push(id);
    }
}

/// Training and validation samples, and the tokeniser that made them all.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Rows of the split `train`.
    pub train: Samples,
    /// Rows of the split `validation`.
    pub validation: Samples,
    /// What made the units.
    pub tokeniser: TokeniserInfo,
}

/// Reads unit shards, in the order given.
///
/// # Errors
/// If a shard cannot be read, has a unit beyond its tokeniser's k, or comes from another tokeniser than
/// the first; or if there is nothing to train on.
pub fn read_corpus(shards: &[PathBuf]) -> Result<Corpus, TrainError> {
    let mut found: Option<(TokeniserInfo, &Path)> = None;
    let (mut train, mut validation) = (Samples::default(), Samples::default());
    for path in shards {
        let reader = ShardReader::<UnitSequence>::open(path)?;
        let info = tokeniser_of(path, reader.metadata())?;
        let k = info.k;
        match &found {
            Some((first, first_path)) => same_tokeniser(path, &info, first_path, first)?,
            None => found = Some((info, path)),
        }
        for row in reader {
            let row = row?;
            if let Some(unit) = row.units.iter().find(|&&u| u32::from(u) >= k) {
                let message = format!("utterance '{}' has unit {unit}, but k is {k}", row.id);
                return Err(TrainError::read(path, message));
            }
            match row.split.as_str() {
                "train" => train.push(row.id, &row.units),
                "validation" => validation.push(row.id, &row.units),
                _ => {}
            }
        }
    }
    match found {
        Some((tokeniser, _)) if !train.is_empty() => Ok(Corpus { train, validation, tokeniser }),
        _ => Err(TrainError::Config("the unit shards have no rows of split 'train'".into())),
    }
}

/// The tokeniser a shard names, which must fit 16-bit tokens.
pub(crate) fn tokeniser_of(
    path: &Path,
    metadata: &std::collections::BTreeMap<String, String>,
) -> Result<TokeniserInfo, TrainError> {
    let info = TokeniserInfo::from_metadata(metadata).map_err(|e| TrainError::read(path, e))?;
    if info.k == 0 || info.k > u32::from(u16::MAX) - slam_lm::FIRST_UNIT {
        return Err(TrainError::read(path, format!("k is {}, beyond 16-bit tokens", info.k)));
    }
    Ok(info)
}

/// Refuses to mix what two tokenisers made.
pub(crate) fn same_tokeniser(
    path: &Path,
    info: &TokeniserInfo,
    other_path: &Path,
    other: &TokeniserInfo,
) -> Result<(), TrainError> {
    if info.identity == other.identity {
        return Ok(());
    }
    let name = |i: &TokeniserInfo| format!("{} ({})", i.name, i.identity.short());
    Err(TrainError::Tokeniser {
        what: path.display().to_string(),
        found: name(info),
        expected_by: other_path.display().to_string(),
        expected: name(other),
    })
}
