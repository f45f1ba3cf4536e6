//! ZeroSpeech 2021 submissions. Writes them from scores; reads any submission and scores it against
//! `gold.csv`.
//!
//! A submission is a folder with `lexical/{dev,test}.txt`, `syntactic/{dev,test}.txt` and a `meta.yaml`.
//! Each text file has a line `<stem> <score>` for each recording; a higher score is more likely (Nguyen et
//! al. 2020). The fields of the meta file are those of the toolkit `zerospeech-benchmarks` 0.9.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use slam_dataset::schema::Score;
use slam_recipe::BenchmarkItem;
use slam_recipe::evaluation::SubmissionMeta;
use slam_recipe::gold::{self, GoldError};
use slam_recipe::item::{PairItem, Side};
use slam_recipe::publish::{self, PublishError};
use slam_recipe::source::Task;

use crate::convention::{Compare, Convention};

/// The sets of a submission: suite, folder, file.
const SETS: [(&str, Task, &str); 4] = [
    ("swuggy-dev", Task::Lexical, "dev"),
    ("swuggy-test", Task::Lexical, "test"),
    ("sblimp-dev", Task::Syntactic, "dev"),
    ("sblimp-test", Task::Syntactic, "test"),
];

/// What is wrong with a line of a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line does not have two fields.
    #[error("'{0}' is not two fields")]
    Fields(String),
    /// The second field is no score.
    #[error("'{0}' is no finite number")]
    Score(String),
    /// The file has a score on a line before.
    #[error("{0} has a score already")]
    Twice(String),
}

/// The reasons why a submission cannot be written or scored.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// A file cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the read failed.
        source: io::Error,
    },
    /// A line is not a score.
    #[error("{path} line {line}: {fault}; expected '<file> <score>', set apart by a blank")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// None of the scores belongs to a file of ZeroSpeech.
    #[error(
        "the scores hold none of swuggy-dev, swuggy-test, sblimp-dev, sblimp-test with the names of their \
         files; make the benchmarks of ZeroSpeech's folders (layout = \"zerospeech\") and evaluate again"
    )]
    NoSet,
    /// One file has two scores.
    #[error(
        "{suite}: the file {file} has two different scores; evaluate again from one benchmark shard"
    )]
    Twice {
        /// The suite.
        suite: String,
        /// The file.
        file: String,
    },
    /// The submission holds none of the sets.
    #[error("{submission} holds none of {}; {gold} is where their gold.csv were looked for", files().join(", "))]
    Empty {
        /// The submission.
        submission: PathBuf,
        /// The data set.
        gold: PathBuf,
    },
    /// The gold file cannot be read.
    #[error(transparent)]
    Gold(#[from] GoldError),
    /// The file cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

fn files() -> Vec<String> {
    SETS.iter().map(|(_, task, split)| format!("{}/{split}.txt", task.folder())).collect()
}

/// As YAML. What is not known keeps the toolkit's own mark of a place to fill in, which its check refuses.
fn to_yaml(meta: &SubmissionMeta) -> String {
    let or = |value: &str, what: &str| {
        let text =
            if value.is_empty() { format!("<required(str): {what}>") } else { value.to_owned() };
        // A JSON string is a YAML string.
        serde_json::Value::from(text).to_string()
    };
    let mut out = String::from("benchmark_name: sLM21\nmodel_info:\n");
    let _ = writeln!(
        out,
        "  system_description: {}\n  train_set: {}\n  gpu_budget: {}\nopen_source: true\npublication:",
        or(&meta.system_description, "what the system is"),
        or(&meta.train_set, "what it was trained on"),
        or(&meta.gpu_budget, "GPU hours of training"),
    );
    let _ = writeln!(
        out,
        "  author_label: {}\n  authors: {}\n  publication_year: {}\n  institution: {}",
        or(&meta.author_label, "a short label, e.g. Author et al."),
        or(&meta.authors, "full names, with commas"),
        meta.publication_year,
        or(&meta.institution, "university or company"),
    );
    out
}

/// Writes a submission from the scores of ZeroSpeech's sets, and returns how many lines each file has. The
/// score is the mean log-likelihood per token, including the final `<S>`, with enough digits to read back
/// the same number.
///
/// # Errors
/// Fails if the scores hold none of the sets or name a file twice, or if a file cannot be written.
pub fn write(
    folder: &Path,
    scores: &[Score],
    meta: &SubmissionMeta,
) -> Result<BTreeMap<String, usize>, SubmissionError> {
    let mut written = BTreeMap::new();
    for ((suite, task, split), name) in SETS.into_iter().zip(files()) {
        let mut lines: BTreeMap<&str, f64> = BTreeMap::new();
        for score in scores.iter().filter(|s| s.item.suite == suite) {
            let (positive, negative) = Convention::Zerospeech.values(score);
            let PairItem { positive_file, negative_file, .. } = &score.item;
            let sides = [(positive_file, positive), (negative_file, negative)];
            for (file, nll) in sides {
                let Some(file) = file else { continue };
                match lines.entry(file) {
                    // Adding zero turns -0 into 0.
                    Entry::Vacant(place) => {
                        place.insert(-nll + 0.0);
                    }
                    Entry::Occupied(place) if *place.get() == -nll => {}
                    Entry::Occupied(_) => {
                        let (suite, file) = (suite.to_owned(), file.clone());
                        return Err(SubmissionError::Twice { suite, file });
                    }
                }
            }
        }
        if lines.is_empty() {
            continue;
        }
        let mut text = String::new();
        for (file, score) in &lines {
            // `{:?}` of an f64 gives the shortest text that reads back as the same number.
            let _ = writeln!(text, "{file} {score:?}");
        }
        publish::write(&folder.join(task.folder()).join(format!("{split}.txt")), text.as_bytes())?;
        written.insert(name, lines.len());
    }
    if written.is_empty() {
        return Err(SubmissionError::NoSet);
    }
    publish::write(&folder.join("meta.yaml"), to_yaml(meta).as_bytes())?;
    Ok(written)
}

/// Reads lines `<stem> <score>`. A stem may end in `.wav`.
///
/// # Errors
/// Fails if the file cannot be read, if a line has no finite score, or if a file has two scores.
pub fn read(path: &Path) -> Result<BTreeMap<String, f64>, SubmissionError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SubmissionError::Read { path: path.to_owned(), source })?;
    let mut scores = BTreeMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let broken = |fault| SubmissionError::Line { path: path.to_owned(), line: i + 1, fault };
        let mut fields = line.split_whitespace();
        let (Some(name), Some(score), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err(broken(LineFault::Fields(line.trim().to_owned())));
        };
        let score: f64 = match score.parse() {
            Ok(score) if f64::is_finite(score) => score,
            _ => return Err(broken(LineFault::Score(score.to_owned()))),
        };
        let stem = name.strip_suffix(".wav").unwrap_or(name);
        if scores.insert(stem.to_owned(), score).is_some() {
            return Err(broken(LineFault::Twice(stem.to_owned())));
        }
    }
    Ok(scores)
}

/// A set of a submission, scored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// One row per pair; any table can be made from these rows. The negated score is stored as the negative
    /// log-likelihood of a sequence of one token.
    pub scores: Vec<Score>,
    /// What was left out.
    pub left_out: LeftOut,
}

/// Counts of what is missing in a submission or its gold file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Rows of the gold file whose recording has no line in the submission.
    pub rows_without_score: usize,
    /// Lines of the submission whose recording has no row in the gold file.
    pub scores_without_row: usize,
    /// Rows whose other side is missing.
    pub without_mate: usize,
    /// Rows whose side of the item already has a row.
    pub twice: usize,
    /// Rows of the gold file that cannot be used.
    pub unusable_rows: usize,
}

impl LeftOut {
    /// Returns the counts that are not zero, with their names.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        [
            ("rows without a score", self.rows_without_score),
            ("scores without a row", self.scores_without_row),
            ("without mate", self.without_mate),
            ("twice", self.twice),
            ("unusable rows", self.unusable_rows),
        ]
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| (name.to_owned(), n as u64))
        .collect()
    }
}

/// Scores one file of a submission against its gold file. The scores get the suite name `suite`.
///
/// # Errors
/// Fails if a file cannot be read.
pub fn score(submission: &Path, gold: &Path, suite: &str) -> Result<Scored, SubmissionError> {
    let mut lines = read(submission)?;
    let gold = gold::read(gold)?;
    let mut scored = Scored::default();
    scored.left_out.unusable_rows = gold.refused.len();
    // The key is the positive's item without its file, as for benchmark shards.
    let mut pairs: BTreeMap<BenchmarkItem, [Option<(String, f64)>; 2]> = BTreeMap::new();
    for row in gold.rows {
        let mut item = row.item;
        let side = std::mem::replace(&mut item.side, Side::Positive);
        let file = item.file.take().unwrap_or_default();
        let Some(score) = lines.remove(&file) else {
            scored.left_out.rows_without_score += 1;
            continue;
        };
        let place = &mut pairs.entry(item).or_default()[usize::from(side == Side::Negative)];
        if place.is_some() {
            scored.left_out.twice += 1;
        } else {
            *place = Some((file, score));
        }
    }
    scored.left_out.scores_without_row = lines.len();
    for (item, sides) in pairs {
        let [Some(positive), Some(negative)] = sides else {
            scored.left_out.without_mate += 1;
            continue;
        };
        scored.scores.push(Score {
            item: PairItem {
                suite: suite.to_owned(),
                ..item.into_pair(Some(positive.0), Some(negative.0))
            },
            positive_nll: -positive.1,
            negative_nll: -negative.1,
            ..Default::default()
        });
    }
    Ok(scored)
}

/// Returns the name of the suite of a file: the task of the gold file, with `dev` or `test` if its folder
/// or the file's name says so.
///
/// # Errors
/// Fails if the gold file cannot be read.
pub fn suite_of(submission: &Path, gold: &Path) -> Result<String, SubmissionError> {
    let task = gold::read(gold)?.task.suite();
    let folder = gold.parent().and_then(Path::file_name);
    let split = [folder, submission.file_stem()]
        .into_iter()
        .flatten()
        .find(|name| *name == "dev" || *name == "test");
    Ok(split.map_or(task.to_owned(), |split| format!("{task}-{}", split.display())))
}

/// Returns the sets that exist in a submission, with the gold file of each below a data set's folder:
/// suite, file of scores, gold file.
///
/// # Errors
/// Fails if there are none.
pub fn sets(
    submission: &Path,
    dataset: &Path,
) -> Result<Vec<(String, PathBuf, PathBuf)>, SubmissionError> {
    let found: Vec<_> = SETS
        .iter()
        .zip(files())
        .map(|((suite, task, split), file)| {
            let gold = dataset.join(task.folder()).join(split).join("gold.csv");
            ((*suite).to_owned(), submission.join(file), gold)
        })
        .filter(|(_, file, gold)| file.is_file() && gold.is_file())
        .collect();
    if found.is_empty() {
        let (submission, gold) = (submission.to_owned(), dataset.to_owned());
        return Err(SubmissionError::Empty { submission, gold });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::aggregate::summarise;

    const GOLD: &str = "filename,id,voice,frequency,word,phones,length,correct
a,1,A,12,brown,B R AW1 N,4,1
b,1,A,,blown't,B L OW1 N T,5,0
c,1,B,12,brown,B R AW1 N,4,1
d,1,B,,blown't,B L OW1 N T,5,0
e,2,A,0,dog,D AO1 G,3,1
f,2,A,0,dag,D AE1 G,3,0
g,3,A,4,cat,K AE1 T,3,1
";

    fn folder(lines: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (gold, submission) = (folder.path().join("gold.csv"), folder.path().join("dev.txt"));
        fs::write(&gold, GOLD).unwrap();
        fs::write(&submission, lines).unwrap();
        (folder, submission, gold)
    }

    #[test]
    fn a_foreign_file_is_scored_and_what_it_lacks_is_counted() {
        let (_folder, submission, gold) =
            folder("a -1.5\nb -2\nc.wav -3\nd -2.5\n\ne -1e0\nf -1\ng -1\nz 0\n");
        let scored = score(&submission, &gold, "swuggy-dev").unwrap();
        let expected = [("without mate", 1), ("scores without a row", 1)]
            .map(|(name, n)| (name.to_owned(), n))
            .into();
        assert_eq!(scored.left_out.counts(), expected);
        let suite = summarise(&scored.scores, None).remove(0);
        assert_eq!(suite.convention, Convention::Zerospeech);
        // Item 1: voice A is correct, voice B is wrong. Item 2: a tie.
        assert_eq!(
            (suite.all.share, suite.all.items, suite.all.pairs, suite.all.ties),
            (0.5, 2, 3, 1)
        );
        assert_eq!(suite.bands[0].accuracy.pairs, 2, "the word's frequency counts for both");
    }

    #[test]
    fn lines_that_are_no_scores_are_refused_by_number() {
        for (lines, line, word) in [
            ("a -1\nb\n", 2, "two fields"),
            ("a x\n", 1, "'x'"),
            ("a NaN\n", 1, "finite"),
            ("a 1\n\na 1\n", 3, "already"),
        ] {
            let (_folder, submission, gold) = folder(lines);
            let error = score(&submission, &gold, "s").unwrap_err().to_string();
            let place = format!("dev.txt line {line}:");
            assert!(error.contains(&place) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_written_scores_the_same_when_it_is_read() {
        let mut scores = Vec::new();
        for (i, (id, voice, positive, negative)) in
            [("1", "A", "a", "b"), ("1", "B", "c", "d"), ("2", "A", "e", "f")]
                .into_iter()
                .enumerate()
        {
            scores.push(Score {
                item: PairItem {
                    suite: "swuggy-dev".into(),
                    pair: id.into(),
                    voice: voice.into(),
                    positive_file: Some(positive.into()),
                    negative_file: Some(negative.into()),
                    ..Default::default()
                },
                positive_nll: 10.0 / 3.0 + i as f64,
                negative_nll: 4.0,
                positive_eos_nll: 0.1,
                negative_eos_nll: 0.7,
                positive_tokens: 7,
                negative_tokens: 6,
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let written = write(folder.path(), &scores, &SubmissionMeta::default()).unwrap();
        assert_eq!(written, BTreeMap::from([("lexical/dev.txt".to_owned(), 6)]));
        let dataset = tempfile::tempdir().unwrap();
        fs::create_dir_all(dataset.path().join("lexical/dev")).unwrap();
        fs::write(dataset.path().join("lexical/dev/gold.csv"), GOLD).unwrap();
        let sets = sets(folder.path(), dataset.path()).unwrap();
        assert_eq!(sets.len(), 1);
        let scored = score(&sets[0].1, &sets[0].2, &sets[0].0).unwrap();
        assert_eq!(scored.scores.len(), 3);
        for (ours, theirs) in scores.iter().zip(&scored.scores) {
            assert_eq!(
                Convention::Zerospeech.values(ours),
                Convention::Zerospeech.values(theirs),
                "to the last digit"
            );
        }
        let meta = fs::read_to_string(folder.path().join("meta.yaml")).unwrap();
        assert!(
            meta.contains("benchmark_name: sLM21") && meta.contains("<required(str)"),
            "{meta}"
        );
    }

    #[test]
    fn scores_of_no_set_and_files_of_two_scores_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut s = Score::default();
        s.item.suite = "swuggy".into();
        s.item.positive_file = Some("a".into());
        assert!(matches!(
            write(folder.path(), std::slice::from_ref(&s), &SubmissionMeta::default()),
            Err(SubmissionError::NoSet)
        ));
        s.item.suite = "swuggy-dev".into();
        let other = Score { positive_nll: 1.0, ..s.clone() };
        assert!(matches!(
            write(folder.path(), &[s, other], &SubmissionMeta::default()),
            Err(SubmissionError::Twice { .. })
        ));
    }
}
