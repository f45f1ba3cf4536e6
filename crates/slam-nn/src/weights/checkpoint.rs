//! The tensors of a checkpoint, in one file or several.

use super::entry::{Element, Entry};
use super::error::{FileFault, WeightsError};
use super::{safetensors_file, torch_bin, torch_legacy};
use burn::tensor::{Device, Tensor, TensorData};
use memmap2::Mmap;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tensors of a checkpoint, by name; nothing is read before it is asked for.
#[derive(Clone, Debug)]
pub struct Weights {
    path: PathBuf,
    files: Vec<(PathBuf, Arc<Mmap>)>,
    entries: BTreeMap<String, Entry>,
}

impl Weights {
    /// Opens a checkpoint folder, a weight file or an index file.
    ///
    /// # Errors
    /// When there is no weight file, or one is unreadable or damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let mut weights =
            Self { path: path.to_owned(), files: Vec::new(), entries: BTreeMap::new() };
        let file = if path.is_dir() {
            [
                "model.safetensors",
                "model.safetensors.index.json",
                "pytorch_model.bin",
                "pytorch_model.bin.index.json",
            ]
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.exists())
            .ok_or_else(|| WeightsError::NoWeights(path.to_owned()))?
        } else {
            path.to_owned()
        };
        if file.extension().is_some_and(|e| e == "json") {
            weights.add_index(&file)?;
        } else {
            weights.add_file(&file)?;
        }
        Ok(weights)
    }

    fn add_index(&mut self, index: &Path) -> Result<(), WeightsError> {
        let text = std::fs::read_to_string(index)
            .map_err(|source| WeightsError::Io { path: index.to_owned(), source })?;
        let damaged = |source| WeightsError::Damaged { path: index.to_owned(), source };
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| damaged(e.into()))?;
        let map = json["weight_map"].as_object().ok_or_else(|| damaged(FileFault::NoWeightMap))?;
        let mut shards: Vec<&str> = map.values().filter_map(|v| v.as_str()).collect();
        shards.sort_unstable();
        shards.dedup();
        let folder = index.parent().unwrap_or(Path::new("."));
        for shard in shards {
            if Path::new(shard).components().count() != 1 || shard == ".." {
                return Err(damaged(FileFault::OutsideFolder { shard: shard.to_owned() }));
            }
            self.add_file(&folder.join(shard))?;
        }
        for name in map.keys() {
            if !self.entries.contains_key(name) {
                return Err(damaged(FileFault::InNoShard { tensor: name.clone() }));
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let damaged = |source| WeightsError::Damaged { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        // SAFETY: nothing writes through the mapping. What it cannot rule out is that somebody else
        // changes or cuts the file meanwhile; the checkpoints of this project are written under a
        // temporary name and renamed, and never written to again.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let index = self.files.len();
        let entries = if map.starts_with(b"PK") {
            torch_bin::entries(&map, index)
        } else if torch_legacy::is_legacy(&map) {
            torch_legacy::entries(&map, index)
        } else {
            safetensors_file::entries(&map, index)
        }
        .map_err(damaged)?;
        for (name, entry) in entries {
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(damaged(FileFault::Twice { tensor: name }));
            }
        }
        self.files.push((path.to_owned(), Arc::new(map)));
        Ok(())
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The tensor's shape, or `None` where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// The tensor's element type, or `None` where there is no such tensor.
    pub fn element(&self, name: &str) -> Option<Element> {
        self.entries.get(name).map(|e| e.element)
    }

    /// The tensor's values converted to f32, row-major, and its shape.
    ///
    /// # Errors
    /// When there is no such tensor.
    pub fn tensor_f32(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), WeightsError> {
        let entry = self.entry(name)?;
        let count = entry.shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(count);
        self.append_f32(entry, 0..count, &mut values);
        Ok((values, entry.shape.clone()))
    }

    /// Appends rows of a matrix, converted to f32; only their bytes are read.
    ///
    /// # Errors
    /// When there is no such tensor, or it is no matrix with these rows.
    pub fn matrix_rows(
        &self,
        name: &str,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), WeightsError> {
        let entry = self.entry(name)?;
        match entry.shape[..] {
            [height, width] if rows.start <= rows.end && rows.end <= height => {
                self.append_f32(entry, rows.start * width..rows.end * width, values);
                Ok(())
            }
            _ => Err(WeightsError::Shape {
                path: self.path.clone(),
                name: name.to_owned(),
                found: entry.shape.clone(),
                expected: vec![rows.end, 0],
            }),
        }
    }

    /// Converts a range of elements, and gives the pages that were read back to the system, so that
    /// reading a checkpoint holds the model once and not the file beside it.
    fn append_f32(&self, entry: &Entry, range: Range<usize>, values: &mut Vec<f32>) {
        const PIECE: usize = 1 << 21;
        let bytes = self.bytes(entry);
        let size = entry.element.size();
        let one = |i: usize| -> f32 { element_f32(entry.element, &bytes[i * size..]) };
        for start in range.clone().step_by(PIECE) {
            let piece = start..range.end.min(start + PIECE);
            match &entry.strides {
                None if entry.element == Element::F32 => values.extend(
                    bytes[4 * piece.start..4 * piece.end]
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|b| f32::from_le_bytes(*b)),
                ),
                None => values.extend(piece.clone().map(one)),
                Some(strides) => {
                    values.extend(piece.clone().map(|i| one(strided(i, &entry.shape, strides))));
                }
            }
            if entry.strides.is_none() {
                self.release(entry, piece.start * size..piece.end * size);
            }
        }
    }

    /// Tells the system that these bytes of a tensor need not stay in memory.
    #[cfg(unix)]
    fn release(&self, entry: &Entry, bytes: Range<usize>) {
        let map = &self.files[entry.file].1;
        // SAFETY: the mapping is of a file, shared and read-only, so that no page holds what the file
        // doesn't: one that is asked for again is read again, with the same bytes.
        let _ = unsafe {
            map.unchecked_advise_range(
                memmap2::UncheckedAdvice::DontNeed,
                entry.offset + bytes.start,
                bytes.len(),
            )
        };
    }

    #[cfg(not(unix))]
    fn release(&self, _: &Entry, _: Range<usize>) {}

    /// The values of an integer (or boolean) tensor, row-major, and its shape.
    ///
    /// # Errors
    /// When there is no such tensor, or it holds floating-point numbers.
    pub fn tensor_i64(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>), WeightsError> {
        let entry = self.entry(name)?;
        let bytes = self.bytes(entry);
        let count = entry.shape.iter().product::<usize>();
        let size = entry.element.size();
        let mut values = Vec::with_capacity(count);
        for i in 0..count {
            let i = entry.strides.as_ref().map_or(i, |s| strided(i, &entry.shape, s));
            let b = &bytes[i * size..(i + 1) * size];
            values.push(match (entry.element, b) {
                (Element::I64, &[a, b, c, d, e, f, g, h]) => {
                    i64::from_le_bytes([a, b, c, d, e, f, g, h])
                }
                (Element::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]).into(),
                (Element::I16, &[a, b]) => i16::from_le_bytes([a, b]).into(),
                (Element::I8, &[a]) => i64::from(a as i8),
                (Element::U8 | Element::Bool, &[a]) => a.into(),
                _ => {
                    return Err(WeightsError::NotIntegers {
                        path: self.files[entry.file].0.clone(),
                        name: name.to_owned(),
                        found: entry.element,
                    });
                }
            });
        }
        Ok((values, entry.shape.clone()))
    }

    /// The tensor's values in f32, if its shape is `expected`.
    ///
    /// # Errors
    /// When there is no such tensor, or its shape differs.
    pub fn tensor_shaped(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let entry = self.entry(name)?;
        if entry.shape != expected {
            return Err(WeightsError::Shape {
                path: self.path.clone(),
                name: name.to_owned(),
                found: entry.shape.clone(),
                expected: expected.to_vec(),
            });
        }
        Ok(self.tensor_f32(name)?.0)
    }

    /// The tensor on a device, in f32.
    ///
    /// # Errors
    /// When there is no such tensor, or its rank is not `D`.
    pub fn load<const D: usize>(
        &self,
        name: &str,
        device: &Device,
    ) -> Result<Tensor<D>, WeightsError> {
        let (values, shape) = self.tensor_f32(name)?;
        if shape.len() != D {
            return Err(WeightsError::Shape {
                path: self.path.clone(),
                name: name.to_owned(),
                found: shape,
                expected: vec![0; D],
            });
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    fn entry(&self, name: &str) -> Result<&Entry, WeightsError> {
        self.entries
            .get(name)
            .ok_or_else(|| WeightsError::Missing { path: self.path.clone(), name: name.to_owned() })
    }

    /// The bytes from the tensor's first element to the file's end (bounds were checked on opening).
    fn bytes(&self, entry: &Entry) -> &[u8] {
        &self.files[entry.file].1[entry.offset..]
    }
}

fn element_f32(element: Element, bytes: &[u8]) -> f32 {
    let first = |n: usize| -> [u8; 8] {
        let mut out = [0; 8];
        out[..n].copy_from_slice(&bytes[..n]);
        out
    };
    let word = u64::from_le_bytes(first(element.size()));
    match element {
        Element::F64 => f64::from_bits(word) as f32,
        Element::F32 => f32::from_bits(word as u32),
        Element::F16 => half::f16::from_bits(word as u16).to_f32(),
        Element::BF16 => half::bf16::from_bits(word as u16).to_f32(),
        Element::I64 => word as i64 as f32,
        Element::I32 => word as i32 as f32,
        Element::I16 => word as i16 as f32,
        Element::I8 => word as i8 as f32,
        Element::U8 | Element::Bool => word as u8 as f32,
    }
}

/// Storage index of the row-major element `i`.
fn strided(mut i: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (n, stride) in shape.iter().zip(strides).rev() {
        at += i % n * stride;
        i /= n;
    }
    at
}
