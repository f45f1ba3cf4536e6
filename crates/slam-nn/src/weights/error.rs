//! Why weights could not be read or written.

use super::entry::Element;
use super::pickle::PickleError;
use safetensors::SafeTensorError;
use std::path::PathBuf;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it answered.
        source: std::io::Error,
    },
    /// The folder holds none of the known weight files.
    #[error(
        "{}: no model.safetensors, model.safetensors.index.json, pytorch_model.bin or \
         pytorch_model.bin.index.json here; name a checkpoint folder or a weight file",
        .0.display()
    )]
    NoWeights(PathBuf),
    /// The file is damaged, or not in the format that its name says.
    #[error("{path}: {source}; download or export the file again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileFault,
    },
    /// No such tensor.
    #[error("{path}: no tensor `{name}`; is this a checkpoint of another model?", path = path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The tensor has another shape than the model needs.
    #[error(
        "{path}: tensor `{name}` has shape {found:?}, the model needs {expected:?}; does config.json \
         belong to these weights?",
        path = path.display()
    )]
    Shape {
        /// The file or folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
    /// Integers were asked for, and the tensor holds other numbers.
    #[error(
        "{path}: tensor `{name}` holds {found:?} where integers are needed; is this a checkpoint of \
         another model?",
        path = path.display()
    )]
    NotIntegers {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its element type.
        found: Element,
    },
}

/// What is wrong with a weight file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The header of a safetensors file is cut off or contradicts itself.
    #[error("not a whole safetensors file ({0})")]
    Safetensors(#[from] SafeTensorError),
    /// A zip archive is cut off or damaged.
    #[error("not a whole zip archive: at byte {at} of the file there is no whole record")]
    Zip {
        /// Where the record should be.
        at: usize,
    },
    /// A zip archive is compressed; torch stores only.
    #[error("member `{member}` of the archive is compressed, which torch.save never does")]
    Compressed {
        /// The member.
        member: String,
    },
    /// A zip archive holds no pickle of torch's.
    #[error("not a torch checkpoint: the archive has no data.pkl")]
    NoPickle,
    /// The pickle of the tensors' places can't be read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A file of torch before 1.6 does not list its storages.
    #[error("its storages are not listed")]
    NoStorages,
    /// A storage of a file of torch before 1.6 belongs to no tensor, so that its size is not known.
    #[error("no tensor refers to storage `{storage}`")]
    UnusedStorage {
        /// The storage.
        storage: String,
    },
    /// A storage of a file of torch before 1.6 does not lie within the file.
    #[error("storage `{storage}` at byte {at} is cut off")]
    StorageCutOff {
        /// The storage.
        storage: String,
        /// Where it begins.
        at: usize,
    },
    /// Dicts of tensors within dicts of tensors.
    #[error("dicts are nested more than {most} deep")]
    Nested {
        /// As many are read.
        most: usize,
    },
    /// A name that no model gives.
    #[error("a tensor's name has more than {most} bytes")]
    LongName {
        /// As many are read.
        most: usize,
    },
    /// A tensor can't be read.
    #[error("tensor `{tensor}`: {source}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        source: TensorFault,
    },
    /// Two tensors of one name, in one file or in two shards.
    #[error("tensor `{tensor}` occurs twice")]
    Twice {
        /// Its name.
        tensor: String,
    },
    /// An index of shards that is not JSON.
    #[error("not JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// An index of shards that does not say where tensors are.
    #[error("no `weight_map`")]
    NoWeightMap,
    /// An index names a file outside its folder.
    #[error("shard name `{shard}` leaves the folder")]
    OutsideFolder {
        /// The name.
        shard: String,
    },
    /// An index names a tensor that its shards don't have.
    #[error("tensor `{tensor}` is in none of the shards")]
    InNoShard {
        /// The tensor.
        tensor: String,
    },
}

/// What is wrong with a tensor of a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorFault {
    /// No element type that is known.
    #[error("its element type {0} is not known")]
    Element(String),
    /// Its elements do not all lie in the file.
    #[error("it lies outside the file")]
    Outside,
    /// Its sizes are no list of numbers.
    #[error("its shape can't be read")]
    Shape,
    /// Its strides are no list of numbers.
    #[error("its strides can't be read")]
    Strides,
    /// It has a stride for another number of axes than it has.
    #[error("its shape and its strides differ in rank")]
    Rank,
    /// Where it begins in its storage is no number.
    #[error("its offset can't be read")]
    Offset,
    /// What it says of its storage is not what torch writes.
    #[error("what it says of its storage can't be read")]
    Storage,
    /// Its storage is not there.
    #[error("its storage `{0}` is not in the file")]
    NoStorage(String),
}
