//! Rows of a shard, for the commands, which don't know Parquet.

use slam_dataset::shard;
use slam_recipe::Event;
use slam_recipe::event::Outcome;
use slam_recipe::request::ShowRequest;

/// Says a shard's shape, then its rows.
pub(crate) fn run(request: &ShowRequest) -> anyhow::Result<Outcome> {
    let excerpt = shard::excerpt(&request.shard, request.from, request.rows)?;
    Event::Shape(excerpt.shape).print();
    for row in excerpt.rows {
        Event::Row(row).print();
    }
    Ok(Outcome::UpToDate)
}
