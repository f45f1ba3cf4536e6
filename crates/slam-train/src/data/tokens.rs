//! Token files: `<S> units <S>` of every sample in an Arrow IPC file that is mapped into memory, so that a
//! run's memory does not grow with its data.
//!
//! `train.arrow` and `validation.arrow` have the columns `id` (utf8) and `tokens` (list of u16); the index
//! `tokens.json` is written last and says what they were made of.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use slam_dataset::arrow::array::{
    Array, ArrayRef, ListArray, RecordBatch, StringArray, UInt16Array,
};
use slam_dataset::arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use slam_dataset::arrow::datatypes::{DataType, Field, Schema};
use slam_dataset::arrow::error::ArrowError;
use slam_dataset::arrow::ipc;
use slam_dataset::arrow::ipc::reader::{FileDecoder, read_footer_length};
use slam_dataset::arrow::ipc::writer::FileWriter;
use slam_dataset::schema::TokeniserInfo;
use slam_recipe::Key;
use slam_recipe::publish::{self, PublishError, Staged};

use super::statistics::Statistics;
use crate::error::{ReadError, TrainError};

const INDEX: &str = "tokens.json";
const TRAIN: &str = "train.arrow";
const VALIDATION: &str = "validation.arrow";
/// Tokens of a record batch: small enough to build in memory, large enough for few of them.
const BATCH_TOKENS: usize = 1 << 22;
/// Bytes behind the footer: its length and the magic.
const TRAILER: usize = 10;

/// What the token files hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Index {
    /// What they were made of.
    pub(super) key: Key,
    pub(super) tokeniser: TokeniserInfo,
    pub(super) datasets: Vec<Statistics>,
}

impl Index {
    /// The index of token files with this key; `None` where they have to be written.
    pub(super) fn read(folder: &Path, key: &Key) -> Option<Self> {
        let bytes = fs::read(folder.join(INDEX)).ok()?;
        let index: Self = serde_json::from_slice(&bytes).ok()?;
        (index.key == *key).then_some(index)
    }
}

/// Writes both token files.
pub(super) struct Writer {
    folder: PathBuf,
    pub(super) train: SplitWriter,
    pub(super) validation: SplitWriter,
}

impl Writer {
    pub(super) fn create(folder: &Path) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(|e| TrainError::write(folder, e))?;
        // Without its index nobody opens what a crash leaves half replaced.
        let _ = fs::remove_file(folder.join(INDEX));
        let split = |name: &str| SplitWriter::create(&folder.join(name));
        Ok(Self { folder: folder.to_owned(), train: split(TRAIN)?, validation: split(VALIDATION)? })
    }

    pub(super) fn publish(self, index: Index) -> Result<Index, TrainError> {
        self.train.publish()?;
        self.validation.publish()?;
        let text = serde_json::to_vec_pretty(&index).unwrap_or_default();
        publish::write(&self.folder.join(INDEX), &text)?;
        Ok(index)
    }
}

pub(super) struct SplitWriter {
    path: PathBuf,
    staged: Staged,
    file: FileWriter<BufWriter<File>>,
    ids: Vec<String>,
    tokens: Vec<u16>,
    /// Where each sample ends.
    ends: Vec<i32>,
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("tokens", DataType::List(item()), false),
    ]))
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::UInt16, false))
}

impl SplitWriter {
    fn create(path: &Path) -> Result<Self, TrainError> {
        let staged = Staged::new(path)?;
        let file = File::create(staged.path()).map_err(|e| TrainError::write(path, e))?;
        let file =
            FileWriter::try_new(BufWriter::new(file), &schema()).map_err(|e| full(path, e))?;
        let path = path.to_owned();
        Ok(Self { path, staged, file, ids: Vec::new(), tokens: Vec::new(), ends: Vec::new() })
    }

    pub(super) fn push(&mut self, id: &str, units: &[u16]) -> Result<(), TrainError> {
        const EDGE: u16 = slam_lm::BOS as u16;
        self.tokens.push(EDGE);
        self.tokens.extend(units.iter().map(|u| u + slam_lm::FIRST_UNIT as u16));
        self.tokens.push(EDGE);
        self.ends.push(self.tokens.len() as i32);
        self.ids.push(id.to_owned());
        if self.tokens.len() >= BATCH_TOKENS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        let offsets: Vec<i32> = std::iter::once(0).chain(self.ends.drain(..)).collect();
        let tokens = UInt16Array::from(std::mem::take(&mut self.tokens));
        let ids: ArrayRef = Arc::new(StringArray::from(std::mem::take(&mut self.ids)));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let write = |file: &mut FileWriter<_>| {
            let tokens = ListArray::try_new(item(), offsets, Arc::new(tokens), None)?;
            file.write(&RecordBatch::try_new(schema(), vec![ids, Arc::new(tokens)])?)
        };
        write(&mut self.file).map_err(|e| full(&self.path, e))
    }

    fn publish(mut self) -> Result<(), TrainError> {
        if !self.ends.is_empty() {
            self.flush()?;
        }
        self.file.finish().map_err(|e| full(&self.path, e))?;
        Ok(self.staged.publish()?)
    }
}

fn full(path: &Path, error: ArrowError) -> TrainError {
    let error = match error {
        ArrowError::IoError(_, e) => e,
        other => std::io::Error::other(other),
    };
    PublishError::new(path, error).into()
}

/// Samples of one split, in a mapped file.
#[derive(Debug, Default)]
pub struct Samples {
    batches: Vec<Batch>,
    /// The first sample of each batch.
    firsts: Vec<usize>,
    count: usize,
    tokens: usize,
}

/// Stretches of the mapped file.
#[derive(Debug)]
struct Batch {
    ids: StringArray,
    offsets: OffsetBuffer<i32>,
    tokens: ScalarBuffer<u16>,
}

impl Samples {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many tokens there are in all.
    pub fn num_tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens of one sample.
    pub fn tokens(&self, sample: usize) -> &[u16] {
        let (batch, row) = self.find(sample);
        &batch.tokens[batch.offsets[row] as usize..batch.offsets[row + 1] as usize]
    }

    /// How many tokens one sample has.
    pub fn length(&self, sample: usize) -> usize {
        let (batch, row) = self.find(sample);
        (batch.offsets[row + 1] - batch.offsets[row]) as usize
    }

    /// The utterance of one sample.
    pub fn id(&self, sample: usize) -> &str {
        let (batch, row) = self.find(sample);
        batch.ids.value(row)
    }

    fn find(&self, sample: usize) -> (&Batch, usize) {
        let batch = self.firsts.partition_point(|first| *first <= sample) - 1;
        (&self.batches[batch], sample - self.firsts[batch])
    }

    fn push(&mut self, batch: &RecordBatch) -> Option<()> {
        let ids = batch.column_by_name("id")?.as_any().downcast_ref::<StringArray>()?.clone();
        let lists = batch.column_by_name("tokens")?.as_any().downcast_ref::<ListArray>()?;
        let tokens = lists.values().as_any().downcast_ref::<UInt16Array>()?;
        if batch.num_rows() > 0 {
            self.firsts.push(self.count);
            self.count += batch.num_rows();
            self.tokens += tokens.len();
            self.batches.push(Batch {
                ids,
                offsets: lists.offsets().clone(),
                tokens: tokens.values().clone(),
            });
        }
        Some(())
    }
}

/// Maps both token files.
pub(super) fn open(folder: &Path) -> Result<(Samples, Samples), TrainError> {
    Ok((map(&folder.join(TRAIN))?, map(&folder.join(VALIDATION))?))
}

fn map(path: &Path) -> Result<Samples, TrainError> {
    let file = File::open(path).map_err(|e| TrainError::read(path, e))?;
    // SAFETY: the file was published under a new inode and is never written to again; replacing it makes
    // another.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| TrainError::read(path, e))?;
    decode(buffer(map)).map_err(|e| TrainError::read(path, e))
}

fn buffer(map: Mmap) -> Buffer {
    let length = map.len();
    let start = NonNull::from(&map[..]).cast::<u8>();
    // SAFETY: the mapping is as long as that, its memory does not move, and the buffer keeps it alive.
    unsafe { Buffer::from_custom_allocation(start, length, Arc::new(map)) }
}

/// The batches of an Arrow IPC file, in place.
fn decode(bytes: Buffer) -> Result<Samples, ReadError> {
    let end = bytes.len().checked_sub(TRAILER).ok_or(ReadError::CutShort)?;
    let trailer: [u8; TRAILER] = bytes[end..].try_into().map_err(|_| ReadError::CutShort)?;
    let length = read_footer_length(trailer)?;
    let footer = end.checked_sub(length).and_then(|start| bytes.get(start..end));
    let footer = ipc::root_as_footer(footer.ok_or(ReadError::CutShort)?)
        .map_err(|e| ArrowError::ParseError(e.to_string()))?;
    let decoder = FileDecoder::new(schema(), footer.version());
    let mut samples = Samples::default();
    for block in footer.recordBatches().into_iter().flatten() {
        let whole = usize::try_from(block.offset())
            .ok()
            .zip((i64::from(block.metaDataLength()) + block.bodyLength()).try_into().ok());
        let (start, length): (usize, usize) = whole.ok_or(ReadError::CutShort)?;
        if start.checked_add(length).is_none_or(|stop| stop > bytes.len()) {
            return Err(ReadError::CutShort);
        }
        let data = bytes.slice_with_length(start, length);
        let batch = decoder.read_record_batch(block, &data)?;
        let known = batch.as_ref().and_then(|b| samples.push(b));
        known.ok_or(ReadError::Columns)?;
    }
    Ok(samples)
}
