//! The safetensors format (<https://huggingface.co/docs/safetensors>): an 8-byte length, a JSON
//! header, the tensors' bytes.

use super::entry::{Element, Entry};
use super::error::{FileFault, TensorFault, WeightsError};
use safetensors::{Dtype, SafeTensors};
use std::io::{BufWriter, Write};
use std::path::Path;

pub(super) fn entries(map: &[u8], file: usize) -> Result<Vec<(String, Entry)>, FileFault> {
    let (header, metadata) = SafeTensors::read_metadata(map)?;
    let start = 8 + header;
    let mut out = Vec::new();
    for (name, info) in metadata.tensors() {
        let element = match info.dtype {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            Dtype::I64 => Element::I64,
            Dtype::I32 => Element::I32,
            Dtype::I16 => Element::I16,
            Dtype::I8 => Element::I8,
            Dtype::U8 => Element::U8,
            Dtype::BOOL => Element::Bool,
            other => {
                let source = TensorFault::Element(format!("{other:?}"));
                return Err(FileFault::Tensor { tensor: name, source });
            }
        };
        let (begin, end) = info.data_offsets;
        let bytes = info.shape.iter().try_fold(element.size(), |n, d| n.checked_mul(*d));
        if bytes.is_none() || end.checked_sub(begin) != bytes || map.len() - start < end {
            return Err(FileFault::Tensor { tensor: name, source: TensorFault::Outside });
        }
        out.push((
            name,
            Entry {
                file,
                offset: start + begin,
                element,
                shape: info.shape.clone(),
                strides: None,
            },
        ));
    }
    Ok(out)
}

/// Writes a safetensors file in f32, tensors sorted by name: the same tensors give the same bytes.
///
/// `values` is asked for one tensor at a time, so that the peak is one tensor above the model.
///
/// # Errors
/// When the file can't be written.
pub fn write_safetensors(
    path: &Path,
    shapes: &[(String, Vec<usize>)],
    values: &mut dyn FnMut(&str) -> Vec<f32>,
) -> Result<(), WeightsError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let mut sorted: Vec<&(String, Vec<usize>)> = shapes.iter().collect();
    sorted.sort();
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({ "format": "pt" }));
    let mut at = 0;
    for (name, shape) in &sorted {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(
            name.clone(),
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] }),
        );
        at = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).map_err(io)?);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    out.write_all(&header).map_err(io)?;
    for (name, shape) in &sorted {
        let values = values(name);
        if values.len() != shape.iter().product::<usize>() {
            return Err(WeightsError::Shape {
                path: path.to_owned(),
                name: name.clone(),
                found: vec![values.len()],
                expected: shape.clone(),
            });
        }
        for value in values {
            out.write_all(&value.to_le_bytes()).map_err(io)?;
        }
    }
    let file = out.into_inner().map_err(|e| io(e.into_error()))?;
    file.sync_all().map_err(io)
}
