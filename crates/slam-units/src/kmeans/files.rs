//! Files of centroids, told apart by what they hold.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::{KMeans, KMeansError, joblib, npy};

impl KMeans {
    /// Writes `centroids` [k, dim] and `scale` [dim] as safetensors.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), KMeansError> {
        let fail = |message: String| KMeansError::Write { path: path.to_owned(), message };
        let rows: Vec<u8> = self.centroids.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scale: Vec<u8> = self.scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view =
            |shape, data| TensorView::new(Dtype::F32, shape, data).map_err(|e| fail(e.to_string()));
        let tensors = BTreeMap::from([
            ("centroids", view(vec![self.k, self.dim], &rows)?),
            ("scale", view(vec![self.dim], &scale)?),
        ]);
        let bytes = safetensors::serialize(tensors, None).map_err(|e| fail(e.to_string()))?;
        std::fs::write(path, bytes).map_err(|e| fail(e.to_string()))
    }

    /// Reads centroids: those of [`KMeans::write`], safetensors with a tensor `centroids` or
    /// `cluster_centers_` `[k, dim]`, a `.npy` file, or scikit-learn's `KMeans` or `MiniBatchKMeans` by
    /// joblib. What a file is, its content tells. Nothing in it is executed.
    ///
    /// # Errors
    /// If the file is missing or holds no centroids.
    pub fn read(path: &Path) -> Result<Self, KMeansError> {
        let fail = |message: String| KMeansError::Read { path: path.to_owned(), message };
        let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        Self::parse(&bytes).map_err(fail)
    }

    /// Centroids of a file's content; the error says what is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (centroids, scale) = match bytes {
            _ if is_safetensors(bytes) => tensors(bytes)?,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => (npy::parse(bytes)?, None),
            // A pickle's protocol, or a zlib stream's header.
            [0x80, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => (joblib::parse(bytes)?, None),
            _ => tensors(bytes)?,
        };
        let Matrix { values, rows: k, columns: dim } = centroids;
        if !(1..=usize::from(u16::MAX)).contains(&k) || dim == 0 {
            return Err(format!("centroids of shape [{k}, {dim}]: k must be 1 to 65,535"));
        }
        let scale = scale.unwrap_or_else(|| vec![1.0; dim]);
        if scale.len() != dim {
            return Err(format!("a scale of {} values for centroids of {dim}", scale.len()));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(format!("centroid {} has a value that is not finite", i / dim));
        }
        Ok(Self::new(values, dim, scale))
    }
}

/// Rows of equal length.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) values: Vec<f32>,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Whether a file begins as safetensors do: the length of a JSON object that lies inside it.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// Values and their shape.
type Shaped = (Vec<f32>, Vec<usize>);

fn tensors(bytes: &[u8]) -> Result<(Matrix, Option<Vec<f32>>), String> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("neither safetensors ({e}), .npy nor a joblib file"))?;
    let read = |name: &str| -> Result<Option<Shaped>, String> {
        let Ok(t) = tensors.tensor(name) else { return Ok(None) };
        let element = match t.dtype() {
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            other => return Err(format!("'{name}' is {other:?}, expected F32 or F64")),
        };
        Ok(Some((element.values(t.data(), false), t.shape().to_vec())))
    };
    let (values, shape) = match read("centroids")? {
        Some(found) => found,
        None => read("cluster_centers_")?
            .ok_or("no tensor 'centroids' or 'cluster_centers_' in it".to_owned())?,
    };
    let [rows, columns] = shape[..] else {
        return Err(format!("centroids of shape {shape:?}, expected [k, dim]"));
    };
    Ok((Matrix { values, rows, columns }, read("scale")?.map(|s| s.0)))
}

/// Elements of a NumPy array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F64,
    /// Something else of so many bytes, which can be skipped.
    Other(usize),
}

impl Element {
    /// By NumPy's name without the byte order, e.g. `f4`; `None` for objects and for what is not known.
    pub(super) fn named(name: &str) -> Option<Self> {
        let size: usize = name.get(1..)?.parse().ok()?;
        match (name.get(..1)?, size) {
            ("f", 4) => Some(Self::F32),
            ("f", 8) => Some(Self::F64),
            ("b" | "i" | "u" | "f" | "c" | "S" | "V", size) => Some(Self::Other(size)),
            ("U", length) => Some(Self::Other(length.checked_mul(4)?)),
            _ => None,
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other(size) => size,
        }
    }

    /// Numbers from bytes; none of other elements.
    fn values(self, data: &[u8], big_endian: bool) -> Vec<f32> {
        match (self, big_endian) {
            (Self::F32, false) => numbers::<4>(data, f32::from_le_bytes),
            (Self::F32, true) => numbers::<4>(data, f32::from_be_bytes),
            (Self::F64, false) => numbers::<8>(data, |b| f64::from_le_bytes(b) as f32),
            (Self::F64, true) => numbers::<8>(data, |b| f64::from_be_bytes(b) as f32),
            (Self::Other(_), _) => Vec::new(),
        }
    }
}

fn numbers<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|b| number(*b)).collect()
}

/// How an array lies in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) element: Element,
    pub(super) big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

impl Array {
    /// Bytes of the array; `None` where the shape overflows.
    pub(super) fn size(&self) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s))?;
        count.checked_mul(self.element.bytes())
    }

    /// The array as a matrix; `data` has the array's size.
    pub(super) fn matrix(&self, data: &[u8]) -> Result<Matrix, String> {
        let [rows, columns] = self.shape[..] else {
            return Err(format!("centroids of shape {:?}, expected [k, dim]", self.shape));
        };
        if let Element::Other(size) = self.element {
            return Err(format!("centroids of {size}-byte elements, expected f4 or f8"));
        }
        let mut values = self.element.values(data, self.big_endian);
        if self.fortran_order {
            values =
                (0..rows * columns).map(|i| values[i % columns * rows + i / columns]).collect();
        }
        Ok(Matrix { values, rows, columns })
    }
}

/// Whether a byte order's sign means big-endian; `None` for no sign.
pub(super) fn big_endian(sign: char) -> Option<bool> {
    match sign {
        '<' | '|' | '=' => Some(false),
        '>' => Some(true),
        _ => None,
    }
}
