use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::columns;
use super::error::ColumnError;
use crate::shard::Row;

/// A row of a preference dataset: a prompt, the continuation to prefer and another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreferencePair {
    /// Unique within the dataset.
    pub id: String,
    /// Units of the prompt.
    pub prompt: Vec<u16>,
    /// Units of the continuation to prefer.
    pub chosen: Vec<u16>,
    /// Units of the other continuation.
    pub rejected: Vec<u16>,
    /// What the prompt says, where known.
    pub prompt_text: Option<String>,
    /// What the preferred continuation says, where known.
    pub chosen_text: Option<String>,
    /// What the other continuation says, where known.
    pub rejected_text: Option<String>,
    /// Auto-BLEU-2 of prompt and chosen text: the share of repeated bigrams.
    pub auto_bleu2: Option<f32>,
}

impl Row for PreferencePair {
    const DATASET: &'static str = "pairs";

    fn schema() -> Arc<Schema> {
        let mut fields = vec![Field::new("id", DataType::Utf8, false)];
        for name in ["prompt", "chosen", "rejected"] {
            fields.push(Field::new(name, columns::u16_list(), false));
        }
        for name in ["prompt_text", "chosen_text", "rejected_text"] {
            fields.push(Field::new(name, DataType::Utf8, true));
        }
        fields.push(Field::new("auto_bleu2", DataType::Float32, true));
        Arc::new(Schema::new(fields))
    }

    fn to_batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
        let text = |f: fn(&Self) -> Option<&str>| -> ArrayRef {
            Arc::new(rows.iter().map(f).collect::<StringArray>())
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                text(|r| Some(&r.id)),
                columns::u16_lists(rows.iter().map(|r| r.prompt.as_slice())),
                columns::u16_lists(rows.iter().map(|r| r.chosen.as_slice())),
                columns::u16_lists(rows.iter().map(|r| r.rejected.as_slice())),
                text(|r| r.prompt_text.as_deref()),
                text(|r| r.chosen_text.as_deref()),
                text(|r| r.rejected_text.as_deref()),
                Arc::new(rows.iter().map(|r| r.auto_bleu2).collect::<Float32Array>()),
            ],
        )
    }

    fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, ColumnError> {
        let lists = |name| columns::u16_vecs(batch, name).map(Vec::into_iter);
        let texts = |name| columns::optional_strings(batch, name).map(Vec::into_iter);
        let (mut prompt, mut chosen, mut rejected) =
            (lists("prompt")?, lists("chosen")?, lists("rejected")?);
        let (mut prompt_text, mut chosen_text, mut rejected_text) =
            (texts("prompt_text")?, texts("chosen_text")?, texts("rejected_text")?);
        let mut auto_bleu2 = columns::optional_f32s(batch, "auto_bleu2")?.into_iter();
        Ok(columns::strings(batch, "id")?
            .into_iter()
            .map(|id| Self {
                id,
                prompt: prompt.next().unwrap_or_default(),
                chosen: chosen.next().unwrap_or_default(),
                rejected: rejected.next().unwrap_or_default(),
                prompt_text: prompt_text.next().flatten(),
                chosen_text: chosen_text.next().flatten(),
                rejected_text: rejected_text.next().flatten(),
                auto_bleu2: auto_bleu2.next().flatten(),
            })
            .collect())
    }

    fn size(&self) -> usize {
        2 * (self.prompt.len() + self.chosen.len() + self.rejected.len()) + 128
    }
}
