//! Centroids that cannot be fitted, read or written.

use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;
use safetensors::tensor::Dtype;
use slam_nn::weights::pickle::PickleError;

/// Centroids that cannot be fitted, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KMeansError {
    /// Fewer frames than centroids.
    #[error(
        "{frames} frames are too few for {k} centroids; take more speech or a smaller k (of a pipeline: tokeniser.kmeans.k)"
    )]
    TooFew {
        /// Frames.
        frames: usize,
        /// Centroids.
        k: usize,
    },
    /// A parameter out of its range.
    #[error("k is {0}: must be 1 to 65,535, as units are 16-bit numbers")]
    K(usize),
    /// A value that is not finite.
    #[error("frame {0} has a value that is not finite")]
    NotFinite(usize),
    /// A file that cannot be read.
    #[error("failed to read centroids from {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A file that holds no centroids.
    #[error("failed to read centroids from {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CentroidFault,
    },
    /// A file that cannot be written.
    #[error("failed to write centroids to {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Centroids that safetensors cannot hold.
    #[error("failed to lay out centroids for {path}: {source}", path = path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: SafeTensorError,
    },
}

/// What is wrong with a file of centroids.
#[derive(Debug, thiserror::Error)]
pub enum CentroidFault {
    /// None of the forms that are read.
    #[error(
        "neither safetensors ({0}), .npy nor a joblib file; write scikit-learn's model with joblib.dump, \
         or its cluster_centers_ with numpy.save"
    )]
    Unknown(SafeTensorError),
    /// A safetensors file of something else.
    #[error("no tensor 'centroids' or 'cluster_centers_' in it")]
    NoTensor,
    /// A tensor of other numbers.
    #[error("'{tensor}' is {found:?}, expected F32 or F64")]
    Dtype {
        /// The tensor.
        tensor: &'static str,
        /// Its element type.
        found: Dtype,
    },
    /// An array of other elements.
    #[error("centroids of {0}-byte elements, expected f4 or f8")]
    Elements(usize),
    /// Not rows of values.
    #[error("centroids of shape {0:?}, expected [k, dim]")]
    Shape(Vec<usize>),
    /// Too many or too few rows, or rows without values.
    #[error("centroids of shape [{k}, {dim}]: k must be 1 to 65,535, and dim at least 1")]
    Size {
        /// Rows.
        k: usize,
        /// Values of a row.
        dim: usize,
    },
    /// A scale of other features.
    #[error("a scale of {found} values for centroids of {dim}")]
    Scale {
        /// Values of the scale.
        found: usize,
        /// Values of a centroid.
        dim: usize,
    },
    /// A value that is not finite.
    #[error("centroid {0} has a value that is not finite")]
    NotFinite(usize),
    /// A file of joblib's that cannot be read.
    #[error(transparent)]
    Joblib(#[from] JoblibFault),
    /// A `.npy` file that cannot be read.
    #[error(transparent)]
    Npy(#[from] NpyFault),
}

/// What is wrong with a file of joblib's.
#[derive(Debug, thiserror::Error)]
pub enum JoblibFault {
    /// It is compressed, and what is compressed is damaged.
    #[error("the compressed file is broken: {0}")]
    Compressed(io::Error),
    /// It is compressed, and far larger than centroids are.
    #[error("the compressed file holds {0} bytes or more")]
    TooLarge(u64),
    /// Its pickle cannot be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// It holds no object with a state.
    #[error("the pickle is no scikit-learn model")]
    NoModel,
    /// It holds something else.
    #[error("the pickle holds '{0}', expected KMeans or MiniBatchKMeans")]
    Class(String),
    /// The model has no centroids.
    #[error("the model has no cluster_centers_; it was not fitted")]
    NotFitted,
    /// Its centroids are something else than an array.
    #[error("cluster_centers_ is no array of joblib's")]
    NoArray,
    /// An array lacks what says how it lies in the file.
    #[error("the array at byte {at} of the pickle has no {field} that is understood")]
    Array {
        /// What it lacks.
        field: &'static str,
        /// Where it begins.
        at: usize,
    },
    /// An array of Python objects, whose size is not known.
    #[error("the array at byte {at} of the pickle is one of '{elements}' objects")]
    Objects {
        /// NumPy's name of their type.
        elements: String,
        /// Where it begins.
        at: usize,
    },
    /// An array whose size is no number.
    #[error("the array at byte {at} of the pickle overflows")]
    Overflow {
        /// Where it begins.
        at: usize,
    },
    /// An array whose data are not all there.
    #[error("the array at byte {at} of the pickle is cut off")]
    CutOff {
        /// Where it begins.
        at: usize,
    },
}

/// What is wrong with a `.npy` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NpyFault {
    /// It ends within its header or its data.
    #[error("the .npy file is cut off")]
    CutOff,
    /// A version that is newer than this reader.
    #[error("version {0} of the .npy format is not known; 1 to 3 are")]
    Version(u8),
    /// A header longer than any.
    #[error("the .npy header has {0} bytes")]
    LongHeader(usize),
    /// A header that is no text.
    #[error("the .npy header is no text")]
    NoText,
    /// A header without one of its three entries.
    #[error("the .npy header lacks '{0}'")]
    Lacks(&'static str),
    /// An array of records.
    #[error("the .npy file holds records, not numbers")]
    Records,
    /// An array of other elements.
    #[error("the .npy file holds '{0}', expected f4 or f8")]
    Elements(String),
    /// Sizes that are no tuple of numbers.
    #[error("the .npy header's shape is no tuple of numbers")]
    Shape,
    /// An array whose size is no number.
    #[error("the .npy shape overflows")]
    Overflow,
}
