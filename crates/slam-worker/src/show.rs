//! `slam show`: rows of a shard as JSON, for the commands, which don't know Parquet.

use std::path::Path;

use serde_json::json;
use slam_dataset::shard;

/// Prints a shard's shape, then its rows, one JSON object a line.
pub(crate) fn run(shard: &Path, first: usize, count: usize) -> anyhow::Result<()> {
    let excerpt = shard::excerpt(shard, first, count)?;
    let columns: Vec<_> =
        excerpt.columns.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    let groups: Vec<_> = excerpt
        .row_groups
        .iter()
        .map(|(rows, bytes)| json!({"rows": rows, "bytes": bytes}))
        .collect();
    println!(
        "{}",
        json!({
            "num_rows": excerpt.num_rows,
            "row_groups": groups,
            "columns": columns,
            "metadata": excerpt.metadata,
        })
    );
    for row in excerpt.rows {
        println!("{row}");
    }
    Ok(())
}
