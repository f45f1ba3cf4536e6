//! Samples into rows of the context's length.
//!
//! A row holds whole pieces one behind the other; attention is block-diagonal and positions restart with
//! each piece. The result is a function of the lengths and their order alone.

pub use slam_recipe::training::Packing;

/// A stretch of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which sample.
    pub sample: usize,
    /// Its first token.
    pub start: usize,
    /// How many tokens.
    pub length: usize,
}

/// Packs samples, given as (sample, tokens) in training order, into rows of at most `context` tokens.
pub fn pack(samples: &[(usize, usize)], context: usize, packing: Packing) -> Vec<Vec<Piece>> {
    let pieces = samples.iter().flat_map(|&(sample, tokens)| {
        (0..tokens).step_by(context.max(1)).map(move |start| Piece {
            sample,
            start,
            length: context.min(tokens - start),
        })
    });
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    match packing {
        Packing::Recipe => {
            let mut room = 0;
            for piece in pieces {
                match rows.last_mut() {
                    Some(row) if piece.length <= room => row.push(piece),
                    _ => {
                        rows.push(vec![piece]);
                        room = context;
                    }
                }
                room -= piece.length;
            }
        }
        Packing::Fill => {
            // Rows by the room left in them; each piece goes where the least is left over.
            let mut by_room: Vec<Vec<usize>> = vec![Vec::new(); context + 1];
            for piece in pieces {
                let fit = (piece.length..=context).find(|&room| !by_room[room].is_empty());
                let found = fit.and_then(|room| by_room[room].pop().map(|row| (row, room)));
                let (row, room) = found.unwrap_or_else(|| {
                    rows.push(Vec::new());
                    (rows.len() - 1, context)
                });
                rows[row].push(piece);
                by_room[room - piece.length].push(row);
            }
            fill_up(&mut rows, context);
        }
    }
    rows
}

/// Moves pieces of the emptiest rows into the room of the fullest, cut where they don't fit.
fn fill_up(rows: &mut Vec<Vec<Piece>>, context: usize) {
    // Less room than this is left as it is: many short pieces would be cut from what they continue.
    let least = (context / 64).max(1);
    let mut room: Vec<usize> =
        rows.iter().map(|row| context - row.iter().map(|p| p.length).sum::<usize>()).collect();
    let mut by_room: Vec<usize> = (0..rows.len()).collect();
    by_room.sort_by_key(|&row| room[row]);
    let mut giver = by_room.len();
    for (at, &taker) in by_room.iter().enumerate() {
        while room[taker] >= least && at + 1 < giver {
            let from = by_room[giver - 1];
            let Some(piece) = rows[from].pop() else {
                giver -= 1;
                continue;
            };
            let length = piece.length.min(room[taker]);
            rows[taker].push(Piece { length, ..piece });
            room[taker] -= length;
            room[from] += length;
            if length < piece.length {
                let (start, length) = (piece.start + length, piece.length - length);
                rows[from].push(Piece { start, length, ..piece });
            }
        }
    }
    rows.retain(|row| !row.is_empty());
}

/// The share of the rows that holds tokens.
pub fn use_of(rows: &[Vec<Piece>], context: usize) -> f64 {
    let tokens: usize = rows.iter().flatten().map(|p| p.length).sum();
    tokens as f64 / (rows.len() * context).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_packed_once_and_no_row_is_too_long(
            lengths in prop::collection::vec(0usize..300, 0..200), context in 1usize..128, recipe in any::<bool>(),
        ) {
            let samples: Vec<_> = lengths.iter().copied().enumerate().collect();
            let packing = if recipe { Packing::Recipe } else { Packing::Fill };
            let rows = pack(&samples, context, packing);
            let mut seen: Vec<Vec<bool>> = lengths.iter().map(|&n| vec![false; n]).collect();
            for row in &rows {
                let used: usize = row.iter().map(|p| p.length).sum();
                prop_assert!(used <= context && used > 0);
                for p in row {
                    for slot in &mut seen[p.sample][p.start..p.start + p.length] {
                        prop_assert!(!*slot);
                        *slot = true;
                    }
                }
            }
            prop_assert!(seen.iter().flatten().all(|s| *s));
        }
    }

    proptest! {
        #[test]
        fn fill_uses_98_percent_of_every_row_but_one_whatever_the_lengths(
            lengths in prop::collection::vec(1usize..3000, 1..200), context in 64usize..1500,
        ) {
            let samples: Vec<_> = lengths.iter().copied().enumerate().collect();
            let rows = pack(&samples, context, Packing::Fill);
            let low = rows.iter().filter(|&row| use_of(std::slice::from_ref(row), context) < 0.98);
            prop_assert!(low.count() <= 1);
        }
    }

    #[test]
    fn fill_uses_the_rows_where_the_recipe_leaves_gaps() {
        let samples: Vec<_> = (0..2000).map(|i| (i, 30 + i * 7919 % 300)).collect();
        let (fill, recipe) =
            (pack(&samples, 1024, Packing::Fill), pack(&samples, 1024, Packing::Recipe));
        assert!(use_of(&fill, 1024) >= 0.98, "{}", use_of(&fill, 1024));
        assert!(use_of(&recipe, 1024) < use_of(&fill, 1024));
    }
}
