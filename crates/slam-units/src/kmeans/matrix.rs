//! Arrays as they lie in files, and as matrices.

use super::error::CentroidFault;

/// Rows of equal length.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) values: Vec<f32>,
    pub(super) rows: usize,
    pub(super) columns: usize,
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
    pub(super) fn values(self, data: &[u8], big_endian: bool) -> Vec<f32> {
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
    pub(super) fn matrix(&self, data: &[u8]) -> Result<Matrix, CentroidFault> {
        let [rows, columns] = self.shape[..] else {
            return Err(CentroidFault::Shape(self.shape.clone()));
        };
        if let Element::Other(size) = self.element {
            return Err(CentroidFault::Elements(size));
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
