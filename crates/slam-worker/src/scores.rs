//! Tables of scores that are there: of scores shards, without the model, and of other people's submissions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use slam_dataset::schema::Score;
use slam_dataset::shard;
use slam_eval::aggregate::{Convention, compare, default_for, spread, summarise};
use slam_eval::generative::{self, Continuation};
use slam_eval::submission;
use slam_eval::{Evaluation, text};
use slam_recipe::Event;
use slam_recipe::evaluation::{Services, SubmissionMeta};
use slam_recipe::event::Outcome;
use slam_recipe::publish::Staged;
use slam_recipe::request::{Relation, ScoresRequest};

/// Makes the tables that a request file asks for; they are the result.
pub(crate) fn run(request: ScoresRequest) -> anyhow::Result<Outcome> {
    let text = match request {
        ScoresRequest::Shards { scores, convention, relation, submission, meta } => {
            let all = scores.iter().map(|p| read(p)).collect::<anyhow::Result<Vec<_>>>()?;
            let mut parts = if relation == Relation::Seeds {
                vec![spreads(&all, convention)?]
            } else {
                let mut parts: Vec<_> =
                    scores.iter().zip(&all).map(|(path, s)| table(path, s, convention)).collect();
                let others = scores.iter().zip(&all).skip(1);
                parts.extend(
                    others
                        .map(|(path, s)| comparison((&scores[0], &all[0]), (path, s), convention)),
                );
                parts
            };
            if let (Some(folder), Some(last)) = (submission, all.last()) {
                parts.push(write_submission(&folder, last, &meta)?);
            }
            parts.join("\n\n")
        }
        ScoresRequest::Submission { submission, gold, convention, out } => {
            foreign(&submission, &gold, convention, out.as_deref())?
        }
        ScoresRequest::Generations { generations, services, out } => {
            measure(&generations, &services, &out)?
        }
    };
    Ok(Outcome::Table(text))
}

fn read(path: &Path) -> anyhow::Result<Vec<Score>> {
    let scores = shard::read::<Score>(path)?;
    if scores.is_empty() {
        bail!("{} holds no scores; evaluate the checkpoint again", path.display());
    }
    Ok(scores)
}

fn table(path: &Path, scores: &[Score], convention: Option<Convention>) -> String {
    let mut out = format!("{}\n{}", path.display(), text::scores(&summarise(scores, convention)));
    // A shard that was moved alone has no record; its table does not need one.
    if let Ok(record) = Evaluation::read(path) {
        out.push('\n');
        out.push_str(&text::scored(&record.shards));
    }
    out
}

fn suites<'a>(scores: impl IntoIterator<Item = &'a Score>) -> BTreeSet<&'a str> {
    scores.into_iter().map(|s| s.item.suite.as_str()).collect()
}

fn comparison(
    first: (&PathBuf, &Vec<Score>),
    second: (&PathBuf, &Vec<Score>),
    convention: Option<Convention>,
) -> String {
    let both: Vec<_> = suites(first.1).intersection(&suites(second.1)).copied().collect();
    let rows: Vec<_> = both
        .into_iter()
        .map(|suite| {
            let convention = convention.unwrap_or_else(|| default_for(suite));
            (suite.to_owned(), compare(first.1, second.1, suite, convention))
        })
        .collect();
    let name = |path: &PathBuf| path.display().to_string();
    text::comparison(&name(first.0), &name(second.0), &rows)
}

fn spreads(all: &[Vec<Score>], convention: Option<Convention>) -> anyhow::Result<String> {
    if all.len() < 2 {
        bail!("a spread over seeds needs the scores of two runs at least; name more files");
    }
    let mut shares: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for scores in all {
        for suite in summarise(scores, convention) {
            shares.entry(suite.suite).or_default().push(suite.all.share);
        }
    }
    let rows: Vec<_> =
        shares.into_iter().filter_map(|(suite, v)| Some((suite, spread(&v)?))).collect();
    Ok(text::spreads(&rows))
}

fn write_submission(
    folder: &Path,
    scores: &[Score],
    meta: &SubmissionMeta,
) -> anyhow::Result<String> {
    let written = submission::write(folder, scores, meta)?;
    let files: Vec<_> = written.iter().map(|(file, n)| format!("{file} ({n} lines)")).collect();
    Ok(format!(
        "submission in {}: {}, meta.yaml; fill in what meta.yaml marks with <required …>",
        folder.display(),
        files.join(", ")
    ))
}

fn measure(path: &Path, services: &Services, out: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let continuations: Vec<Continuation> = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no file that `generate --out` wrote", path.display()))?;
    let auto_bleu = |text: &str| f64::from(slam_preference::auto_bleu::auto_bleu(text, 2));
    let total = continuations.len() as f64;
    let measured = generative::measure(&continuations, services, &auto_bleu, out, &mut |done| {
        Event::Progress {
            task: "generative metrics".into(),
            done: done as f64,
            total,
            unit: "samples".into(),
            message: String::new(),
        }
        .print();
    })?;
    let text = generative::summarise(&measured).text();
    Ok(format!("{text}\nfigures of each sample in {}", out.display()))
}

fn foreign(
    path: &Path,
    gold: &Path,
    convention: Option<Convention>,
    out: Option<&Path>,
) -> anyhow::Result<String> {
    let sets = if path.is_dir() {
        submission::sets(path, gold)?
    } else {
        let gold = if gold.is_dir() { gold.join("gold.csv") } else { gold.to_owned() };
        vec![(submission::suite_of(path, &gold)?, path.to_owned(), gold)]
    };
    let (mut all, mut said) = (Vec::new(), Vec::new());
    for (suite, file, gold) in &sets {
        let scored = submission::score(file, gold, suite)?;
        if scored.scores.is_empty() {
            bail!(
                "{} and {} have no pair in common; do the names of the files match?",
                file.display(),
                gold.display()
            );
        }
        said.push(format!(
            "scored {} against {}: {} pairs{}",
            file.display(),
            gold.display(),
            scored.scores.len(),
            text::left_out(&scored.left_out.counts())
        ));
        all.extend(scored.scores);
    }
    if let Some(out) = out {
        let staged = Staged::new(out)?;
        shard::write(staged.path(), &all, &BTreeMap::new())
            .with_context(|| format!("failed to write {}", out.display()))?;
        staged.publish()?;
        said.push(format!("scores in {}", out.display()));
    }
    let convention = convention.unwrap_or(Convention::Zerospeech);
    let table = text::scores(&summarise(&all, Some(convention)));
    Ok(format!("{table}\n{}", said.join("\n")))
}
