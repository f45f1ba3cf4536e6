//! How the tiles of a product are dealt out to threads. Results don't depend on it.

use super::tiles::Tiles;
use std::ops::Range;

/// Rows of a task, at most: their block stays in the second-level cache.
const ROWS: usize = 48;
/// Columns worth laying the rows of a task out for once more.
const COLUMNS: usize = 256;
/// Tasks a thread, about, so that none waits long for the last.
const TASKS: usize = 4;

/// Some rows by some panels of columns a task.
#[derive(Debug)]
pub(super) struct Grid {
    rows: usize,
    panels: usize,
    rows_of_task: usize,
    panels_of_task: usize,
}

impl Grid {
    pub(super) fn new(tiles: Tiles, rows: usize, panels: usize, threads: usize) -> Self {
        let wanted = if threads == 1 { 1 } else { TASKS * threads };
        let rows_of_task =
            rows.div_ceil(wanted).next_multiple_of(tiles.rows()).clamp(2 * tiles.rows(), ROWS);
        let most = (panels * tiles.columns() / COLUMNS).max(1);
        let parts = wanted.div_ceil(rows.div_ceil(rows_of_task).max(1)).min(most);
        Self { rows, panels, rows_of_task, panels_of_task: panels.div_ceil(parts).max(1) }
    }

    /// Tasks with the same rows.
    fn parts(&self) -> usize {
        self.panels.div_ceil(self.panels_of_task)
    }

    pub(super) fn tasks(&self) -> usize {
        self.rows.div_ceil(self.rows_of_task) * self.parts()
    }

    /// Rows and panels of a task.
    pub(super) fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let (row, part) = (task / self.parts(), task % self.parts());
        let part_of = |i: usize, size: usize, all: usize| i * size..((i + 1) * size).min(all);
        (
            part_of(row, self.rows_of_task, self.rows),
            part_of(part, self.panels_of_task, self.panels),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_everything_once() {
        for tiles in Tiles::known() {
            for (rows, panels, threads) in
                [(1, 1, 2), (5, 300, 16), (256, 16, 2), (499, 48, 3), (2048, 64, 1), (7, 3, 64)]
            {
                let grid = Grid::new(tiles, rows, panels, threads);
                let mut seen = vec![0; rows * panels];
                for task in 0..grid.tasks() {
                    let (of_rows, of_panels) = grid.task(task);
                    for row in of_rows {
                        of_panels.clone().for_each(|panel| seen[row * panels + panel] += 1);
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{grid:?}");
            }
        }
    }
}
