//! `shards show`: rows of a shard, and the quarantine of a dataset, read by the worker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};
use slam_recipe::event::Shape;
use slam_recipe::request::ShowRequest;
use slam_recipe::{Event, Receipt, Request, ShardName, Stage};

use super::files;
use crate::door::hint;
use crate::exit::Failure;
use crate::programs::Programs;
use crate::root::Root;
use crate::steps;

/// The widest cell of a table, in characters.
const WIDEST: usize = 48;

/// Rows of a shard, or what a dataset's stages left out
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A shard's file, or a dataset
    target: String,
    /// For a dataset: the stage
    #[arg(long, default_value_t = Stage::Ingest)]
    stage: Stage,
    /// For a dataset: which shard
    #[arg(long, default_value_t = 0)]
    shard: u32,
    /// The first row
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// How many rows
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// For a dataset: every input that any of its stages left out, with the error
    #[arg(long)]
    quarantine: bool,
    /// JSON lines in place of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, root: &Root) -> anyhow::Result<()> {
    let worker = Programs::worker_on_cpu()?.slam;
    if arguments.quarantine {
        return quarantine(arguments, &worker, root);
    }
    let path = shard(arguments, root)?;
    if path.extension().is_none_or(|e| e != "parquet") {
        return Err(Failure::Usage(format!(
            "{} has no rows to show: it is not a Parquet file (the shard of fit-kmeans is a safetensors file of \
             centroids)",
            path.display()
        ))
        .into());
    }
    pull(root, &worker, &path)?;
    let excerpt = ask(&worker, &path, arguments.from, arguments.rows)?;
    let Excerpt { shape, rows } = excerpt;
    if arguments.json {
        for row in rows {
            crate::out::say!("{}", Value::Object(row));
        }
        return Ok(());
    }
    crate::out::note!(
        "{}: {} rows in {} row groups",
        path.display(),
        shape.num_rows,
        shape.row_groups.len()
    );
    if let Ok(Some(receipt)) = Receipt::read(&path) {
        for (name, total) in &receipt.totals {
            crate::out::note!("{name}: {total}");
        }
    }
    let columns: Vec<_> = shape.columns.into_iter().map(|(name, _)| name).collect();
    crate::out::stdout(format_args!("{}", table(&columns, &rows)));
    Ok(())
}

/// The shard that is meant.
fn shard(arguments: &Arguments, root: &Root) -> anyhow::Result<PathBuf> {
    let file = PathBuf::from(&arguments.target);
    for path in [root.folder.join(&file), file] {
        if path.is_file() {
            return Ok(path);
        }
    }
    let folder = files::folder(&root.folder, Some(&arguments.target))?;
    let of_stage = arguments.stage.folder();
    let found = files::find(&folder)?.into_iter().find(|path| {
        let below = path.strip_prefix(&folder).unwrap_or(path);
        let stage = below.iter().next().unwrap_or_default().to_string_lossy();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().parse::<ShardName>();
        stage == of_stage && name.is_ok_and(|n| n.index == arguments.shard)
    });
    found.ok_or_else(|| {
        let (stage, shard) = (&arguments.stage, arguments.shard);
        Failure::Usage(format!(
            "{} has no shard {shard} of stage '{stage}'; `{} {}` names those there are",
            folder.display(),
            hint("shards list"),
            arguments.target
        ))
        .into()
    })
}

/// Pulls a file of the mirror that is in the store only.
fn pull(root: &Root, worker: &Path, path: &Path) -> anyhow::Result<()> {
    match path.strip_prefix(&root.folder) {
        Ok(relative) => root.pull(worker, vec![relative.to_owned()]),
        Err(_) => Ok(()),
    }
}

fn quarantine(arguments: &Arguments, worker: &Path, root: &Root) -> anyhow::Result<()> {
    let folder = files::folder(&root.folder, Some(&arguments.target))?;
    let mut rows = Vec::new();
    for shard in files::find(&folder)? {
        let Ok(Some(receipt)) = Receipt::read(&shard) else { continue };
        if receipt.quarantined > 0 {
            let table = Receipt::quarantine_path_of(&shard);
            pull(root, worker, &table)?;
            rows.extend(ask(worker, &table, 0, receipt.quarantined as usize)?.rows);
        }
    }
    if arguments.json {
        for row in rows {
            crate::out::say!("{}", Value::Object(row));
        }
    } else if rows.is_empty() {
        crate::out::say!("nothing was left out");
    } else {
        crate::out::stdout(format_args!(
            "{}",
            table(&["stage", "id", "source", "error"].map(str::to_owned), &rows)
        ));
    }
    Ok(())
}

/// What the worker says of a shard.
#[derive(Default)]
struct Excerpt {
    shape: Shape,
    rows: Vec<Map<String, Value>>,
}

fn ask(worker: &Path, shard: &Path, from: usize, rows: usize) -> anyhow::Result<Excerpt> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let request = Request::Show(ShowRequest { shard: shard.to_owned(), from, rows });
    let mut excerpt = Excerpt::default();
    for event in steps::ask(worker, &request, folder.path())? {
        match event {
            Event::Shape(shape) => excerpt.shape = shape,
            Event::Row(row) => excerpt.rows.push(row),
            _ => {}
        }
    }
    Ok(excerpt)
}

fn table(columns: &[String], rows: &[Map<String, Value>]) -> String {
    let mut cells = vec![columns.to_vec()];
    cells.extend(
        rows.iter()
            .map(|row| columns.iter().map(|c| cell(row.get(c).unwrap_or(&Value::Null))).collect()),
    );
    let widths: Vec<_> = (0..columns.len())
        .map(|c| cells.iter().map(|row| row[c].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in cells {
        let mut line = String::new();
        for (text, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{text:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A value in few characters: what it is, its beginning, and how long the rest is.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.replace(['\n', '\t', '\r'], " "),
        // A struct's row has few of its fields.
        Value::Object(fields) => {
            let known: serde_json::Map<_, _> =
                fields.clone().into_iter().filter(|(_, field)| !field.is_null()).collect();
            Value::Object(known).to_string()
        }
        other => other.to_string(),
    };
    if text.chars().count() <= WIDEST {
        return text;
    }
    let more = match value {
        Value::Array(items) => format!("… ({} in all)", items.len()),
        _ => "…".to_owned(),
    };
    let room = WIDEST - more.chars().count();
    text.chars().take(room).chain(more.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_and_long_cells_are_cut() {
        let columns = ["id", "units"].map(str::to_owned);
        let item = json!({"file": null, "segment": "chosen"});
        assert_eq!(cell(&item), r#"{"segment":"chosen"}"#);
        let rows = [json!({"id": "a", "units": [1, 2]}), json!({"id": null, "units": vec![7; 99]})]
            .map(|row| row.as_object().cloned().unwrap_or_default());
        let text = table(&columns, &rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["id  units", "a   [1,2]"]);
        assert!(lines[2].starts_with("–   [7,7") && lines[2].ends_with("… (99 in all)"), "{text}");
        assert_eq!(lines[2].chars().count(), 4 + WIDEST);
    }
}
