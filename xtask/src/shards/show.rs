//! `cargo xtask shards show`: rows of a shard, and the quarantine of a dataset, read by the worker.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;
use slam_dataset::{Receipt, ShardName};

use crate::exit::Failure;
use crate::root::Root;
use crate::worker::Programs;

/// The widest cell of a table, in characters.
const WIDEST: usize = 48;

/// Rows of a shard, or what a dataset's stages left out
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A shard's file, or a dataset
    target: String,
    /// For a dataset: the stage
    #[arg(long, default_value = "ingest")]
    stage: String,
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
    let worker = Programs::worker_alone("cpu")?.slam;
    if arguments.quarantine {
        return quarantine(arguments, &worker, root);
    }
    let path = shard(arguments, root)?;
    pull(root, &worker, &path)?;
    let lines = ask(&worker, &path, arguments.from, arguments.rows)?;
    let Some((shape, rows)) = lines.split_first() else {
        bail!("{} said nothing about {}", worker.display(), path.display());
    };
    if arguments.json {
        for row in rows {
            println!("{row}");
        }
        return Ok(());
    }
    let groups = shape["row_groups"].as_array().map_or(0, Vec::len);
    eprintln!("{}: {} rows in {groups} row groups", path.display(), shape["num_rows"]);
    if let Ok(Some(receipt)) = Receipt::read(&path) {
        for (name, total) in &receipt.totals {
            eprintln!("{name}: {total}");
        }
    }
    let columns: Vec<_> = shape["columns"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["name"].as_str().map(str::to_owned))
        .collect();
    print!("{}", table(&columns, rows));
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
    let folder = super::folder(&root.folder, Some(&arguments.target))?;
    let of_stage = format!("{}-v", arguments.stage);
    let found = super::find(&folder)?.into_iter().find(|path| {
        let below = path.strip_prefix(&folder).unwrap_or(path);
        let stage = below.iter().next().unwrap_or_default().to_string_lossy();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().parse::<ShardName>();
        stage.starts_with(&of_stage) && name.is_ok_and(|n| n.index == arguments.shard)
    });
    found.ok_or_else(|| {
        let (stage, shard) = (&arguments.stage, arguments.shard);
        Failure::Usage(format!(
            "{} has no shard {shard} of stage '{stage}'; `cargo xtask shards list {}` names those there are",
            folder.display(),
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
    let folder = super::folder(&root.folder, Some(&arguments.target))?;
    let mut rows = Vec::new();
    for shard in super::find(&folder)? {
        let Ok(Some(receipt)) = Receipt::read(&shard) else { continue };
        if receipt.quarantined > 0 {
            let table = Receipt::quarantine_path_of(&shard);
            pull(root, worker, &table)?;
            let lines = ask(worker, &table, 0, receipt.quarantined as usize)?;
            rows.extend(lines.into_iter().skip(1));
        }
    }
    if arguments.json {
        for row in &rows {
            println!("{row}");
        }
    } else if rows.is_empty() {
        println!("nothing was left out");
    } else {
        print!("{}", table(&["stage", "id", "source", "error"].map(str::to_owned), &rows));
    }
    Ok(())
}

/// What the worker says of a shard: its shape, then rows.
fn ask(worker: &Path, shard: &Path, from: usize, rows: usize) -> anyhow::Result<Vec<Value>> {
    let output = Command::new(worker)
        .args(["show", "--from", &from.to_string(), "--rows", &rows.to_string(), "--shard"])
        .arg(shard)
        .output()
        .with_context(|| format!("failed to start {}", worker.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("the worker said '{line}'")))
        .collect()
}

fn table(columns: &[String], rows: &[Value]) -> String {
    let mut cells = vec![columns.to_vec()];
    cells.extend(rows.iter().map(|row| columns.iter().map(|c| cell(&row[c.as_str()])).collect()));
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
        let rows = [json!({"id": "a", "units": [1, 2]}), json!({"id": null, "units": vec![7; 99]})];
        let text = table(&columns, &rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["id  units", "a   [1,2]"]);
        assert!(lines[2].starts_with("–   [7,7") && lines[2].ends_with("… (99 in all)"), "{text}");
        assert_eq!(lines[2].chars().count(), 4 + WIDEST);
    }
}
