//! Files of centroids, told apart by what they hold.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::error::CentroidFault;
use super::matrix::{Element, Matrix};
use super::{KMeans, KMeansError, joblib, npy};

impl KMeans {
    /// Writes `centroids` `[k, dim]` and `scale` `[dim]` as safetensors.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), KMeansError> {
        let rows: Vec<u8> = self.centroids.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scale: Vec<u8> = self.scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        let layout = |source| KMeansError::Layout { path: path.to_owned(), source };
        let view = |shape, data| TensorView::new(Dtype::F32, shape, data).map_err(layout);
        let tensors = BTreeMap::from([
            ("centroids", view(vec![self.k, self.dim], &rows)?),
            ("scale", view(vec![self.dim], &scale)?),
        ]);
        let bytes = safetensors::serialize(tensors, None).map_err(layout)?;
        std::fs::write(path, bytes)
            .map_err(|source| KMeansError::Write { path: path.to_owned(), source })
    }

    /// Reads centroids: those of [`KMeans::write`], safetensors with a tensor `centroids` or
    /// `cluster_centers_` `[k, dim]`, a `.npy` file, or scikit-learn's `KMeans` or `MiniBatchKMeans` by
    /// joblib. What a file is, its content tells. Nothing in it is executed.
    ///
    /// # Errors
    /// If the file is missing or holds no centroids.
    pub fn read(path: &Path) -> Result<Self, KMeansError> {
        let bytes = std::fs::read(path)
            .map_err(|source| KMeansError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|source| KMeansError::File { path: path.to_owned(), source })
    }

    /// Centroids of a file's content.
    fn parse(bytes: &[u8]) -> Result<Self, CentroidFault> {
        let (centroids, scale) = match bytes {
            _ if is_safetensors(bytes) => tensors(bytes)?,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => (npy::parse(bytes)?, None),
            // A pickle's protocol, or a zlib stream's header.
            [0x80, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => (joblib::parse(bytes)?, None),
            _ => tensors(bytes)?,
        };
        let Matrix { values, rows: k, columns: dim } = centroids;
        if !(1..=usize::from(u16::MAX)).contains(&k) || dim == 0 {
            return Err(CentroidFault::Size { k, dim });
        }
        let scale = scale.unwrap_or_else(|| vec![1.0; dim]);
        if scale.len() != dim {
            return Err(CentroidFault::Scale { found: scale.len(), dim });
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(CentroidFault::NotFinite(i / dim));
        }
        Ok(Self::new(values, dim, scale))
    }
}

/// Whether a file begins as safetensors do: the length of a JSON object that lies inside it.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

/// Values and their shape.
type Shaped = (Vec<f32>, Vec<usize>);

fn tensors(bytes: &[u8]) -> Result<(Matrix, Option<Vec<f32>>), CentroidFault> {
    let tensors = SafeTensors::deserialize(bytes).map_err(CentroidFault::Unknown)?;
    let read = |tensor: &'static str| -> Result<Option<Shaped>, CentroidFault> {
        let Ok(t) = tensors.tensor(tensor) else { return Ok(None) };
        let element = match t.dtype() {
            Dtype::F32 => Element::F32,
            Dtype::F64 => Element::F64,
            found => return Err(CentroidFault::Dtype { tensor, found }),
        };
        Ok(Some((element.values(t.data(), false), t.shape().to_vec())))
    };
    let (values, shape) = match read("centroids")? {
        Some(found) => found,
        None => read("cluster_centers_")?.ok_or(CentroidFault::NoTensor)?,
    };
    let [rows, columns] = shape[..] else {
        return Err(CentroidFault::Shape(shape));
    };
    Ok((Matrix { values, rows, columns }, read("scale")?.map(|s| s.0)))
}
