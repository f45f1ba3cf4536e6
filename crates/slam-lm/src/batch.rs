//! Rows of packed token sequences on a device.

use crate::PAD;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Token rows, each of one or more sequences (segments) packed behind each other; positions restart
/// with each segment, and no token sees another segment.
///
/// # Shapes
/// All fields are `[batch, time]`.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids; `<PAD>` behind a row's end.
    pub input_ids: Tensor<2, Int>,
    /// Position of each token in its segment.
    pub positions: Tensor<2, Int>,
    /// Index in the row of the first token of each token's segment; a padding token sees itself.
    pub starts: Tensor<2, Int>,
    /// Index in the row behind the last token that each token sees, where that is not the token
    /// itself.
    pub ends: Option<Tensor<2, Int>>,
}

impl TokenBatch {
    /// Packs each row's segments behind each other and pads all rows to the longest on the right.
    pub fn packed(rows: &[Vec<&[u32]>], device: &Device) -> Self {
        let time = rows.iter().map(|row| row_len(row)).max().unwrap_or(0);
        let (mut ids, mut positions, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let mut at = 0i64;
            for segment in row {
                let start = at;
                for id in *segment {
                    ids.push(i64::from(*id));
                    positions.push(at - start);
                    starts.push(start);
                    at += 1;
                }
            }
            for padding in at..time as i64 {
                ids.push(i64::from(PAD));
                positions.push(0);
                starts.push(padding);
            }
        }
        let shape = [rows.len(), time];
        Self {
            input_ids: int_tensor(ids, shape, device),
            positions: int_tensor(positions, shape, device),
            starts: int_tensor(starts, shape, device),
            ends: None,
        }
    }

    /// One sequence a row, padded to the longest on the right.
    pub fn padded(rows: &[&[u32]], device: &Device) -> Self {
        let rows: Vec<Vec<&[u32]>> = rows.iter().map(|row| vec![*row]).collect();
        Self::packed(&rows, device)
    }

    /// `[batch, time]`.
    pub fn dims(&self) -> [usize; 2] {
        self.input_ids.dims()
    }
}

/// The token that follows each token of [`TokenBatch::packed`]'s rows in its segment; -1 (ignored)
/// at each segment's last token and in padding.
///
/// # Shapes
/// - result: `[batch, time]`
pub fn next_tokens(rows: &[Vec<&[u32]>], device: &Device) -> Tensor<2, Int> {
    let time = rows.iter().map(|row| row_len(row)).max().unwrap_or(0);
    let mut targets = Vec::new();
    for row in rows {
        for segment in row {
            targets.extend(segment.iter().skip(1).map(|id| i64::from(*id)));
            targets.extend((!segment.is_empty()).then_some(-1));
        }
        targets.resize(targets.len() + time - row_len(row), -1);
    }
    int_tensor(targets, [rows.len(), time], device)
}

fn row_len(row: &[&[u32]]) -> usize {
    row.iter().map(|segment| segment.len()).sum()
}

pub(crate) fn int_tensor(values: Vec<i64>, shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
