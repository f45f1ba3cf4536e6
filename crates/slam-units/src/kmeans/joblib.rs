//! scikit-learn's `KMeans` and `MiniBatchKMeans` as joblib writes them: a pickle with arrays between its
//! opcodes, plain or zlib-compressed.
//!
//! Nothing is executed: classes stay names, and only `cluster_centers_` is looked at. Memory is bounded by
//! the file, and by [`MAX_BYTES`] where it is compressed. Format: `joblib.numpy_pickle`. Before 1.2 an
//! array's data follows its wrapper at once, since then a byte of padding length and the padding come first.

use std::io::Read;
use std::ops::Range;

use flate2::read::ZlibDecoder;
use slam_nn::weights::pickle::{Hook, Id, Node, Pickle};

use super::error::{CentroidFault, JoblibFault};
use super::matrix::{Array, Element, Matrix, big_endian};

/// A decompressed file is no larger: 65,535 centroids of 1,024 values take a quarter.
const MAX_BYTES: u64 = 1 << 30;

pub(super) fn parse(bytes: &[u8]) -> Result<Matrix, CentroidFault> {
    if bytes.first() == Some(&0x78) {
        let mut plain = Vec::new();
        let read = ZlibDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut plain);
        read.map_err(JoblibFault::Compressed)?;
        if plain.len() as u64 == MAX_BYTES {
            return Err(JoblibFault::TooLarge(MAX_BYTES).into());
        }
        return parse_pickle(&plain);
    }
    parse_pickle(bytes)
}

fn parse_pickle(bytes: &[u8]) -> Result<Matrix, CentroidFault> {
    let mut arrays = Arrays { input: bytes, found: Vec::new() };
    let pickle = Pickle::read(bytes, &mut arrays)?;
    let Node::Object { callable, args, state: Some(state), .. } = pickle.node(pickle.root()) else {
        return Err(JoblibFault::NoModel.into());
    };
    let class = class_of(&pickle, *callable, *args).unwrap_or_default();
    if !matches!(class, "KMeans" | "MiniBatchKMeans") {
        return Err(JoblibFault::Class(class.to_owned()).into());
    }
    let centres = pickle.get(*state, "cluster_centers_").ok_or(JoblibFault::NotFitted)?;
    let Node::Inline { object, data } = pickle.node(centres) else {
        return Err(JoblibFault::NoArray.into());
    };
    let array = arrays.found.iter().find(|(id, _)| id == object).map(|(_, a)| a);
    array.ok_or(JoblibFault::NoArray)?.matrix(&bytes[data.clone()])
}

/// The class of an object that was made by `cls.__new__(cls)` or by `copyreg._reconstructor(cls, …)`.
fn class_of(pickle: &Pickle, callable: Id, args: Id) -> Option<&str> {
    match pickle.global(callable)? {
        ("copyreg" | "copy_reg", "_reconstructor") => {
            pickle.global(*pickle.elements(args)?.first()?).map(|g| g.1)
        }
        (_, name) => Some(name),
    }
}

/// Finds the data behind array wrappers.
struct Arrays<'a> {
    input: &'a [u8],
    found: Vec<(Id, Array)>,
}

impl Hook for Arrays<'_> {
    type Error = JoblibFault;

    fn after_build(
        &mut self,
        pickle: &Pickle,
        object: Id,
        position: usize,
    ) -> Result<Option<Range<usize>>, JoblibFault> {
        let Node::Object { callable, args, state: Some(state), .. } = pickle.node(object) else {
            return Ok(None);
        };
        if class_of(pickle, *callable, *args) != Some("NumpyArrayWrapper") {
            return Ok(None);
        }
        let array = wrapped(pickle, *state, position)?;
        let cut_off = JoblibFault::CutOff { at: position };
        let mut start = position;
        let aligned = pickle.get(*state, "numpy_array_alignment_bytes");
        if aligned.is_some_and(|id| *pickle.node(id) != Node::None) {
            let Some(&padding) = self.input.get(start) else { return Err(cut_off) };
            start += 1 + usize::from(padding);
        }
        let size = array.size().ok_or(JoblibFault::Overflow { at: position })?;
        let end = start.checked_add(size).filter(|end| *end <= self.input.len());
        let data = start..end.ok_or(cut_off)?;
        self.found.push((object, array));
        Ok(Some(data))
    }
}

/// What a wrapper's state says about its array, whose data begin at byte `at`.
fn wrapped(pickle: &Pickle, state: Id, at: usize) -> Result<Array, JoblibFault> {
    let get =
        |field: &'static str| pickle.get(state, field).ok_or(JoblibFault::Array { field, at });
    let numbers = |ids: &[Id]| -> Option<Vec<usize>> {
        ids.iter().map(|&id| usize::try_from(pickle.int(id)?).ok()).collect()
    };
    let shape = pickle.elements(get("shape")?).and_then(numbers);
    let shape = shape.ok_or(JoblibFault::Array { field: "shape", at })?;
    let fortran_order = pickle.str(get("order")?) == Some("F");
    let (element, big_endian) = dtype(pickle, get("dtype")?, at)?;
    Ok(Array { element, big_endian, fortran_order, shape })
}

/// A pickled `numpy.dtype`: `dtype('f4', False, True)` with the byte order second in its state.
fn dtype(pickle: &Pickle, id: Id, at: usize) -> Result<(Element, bool), JoblibFault> {
    let unknown = || JoblibFault::Array { field: "dtype", at };
    let Node::Object { args, state, .. } = pickle.node(id) else { return Err(unknown()) };
    let first = pickle.elements(*args).and_then(|a| a.first()).ok_or_else(unknown)?;
    let name = pickle.str(*first).ok_or_else(unknown)?;
    let order = state
        .and_then(|s| pickle.elements(s)?.get(1).copied())
        .and_then(|id| pickle.str(id)?.chars().next())
        .and_then(big_endian)
        .unwrap_or(false);
    // Other arrays of the model are skipped: their size is what counts. Objects have none.
    let objects = || JoblibFault::Objects { elements: name.to_owned(), at };
    Ok((Element::named(name).ok_or_else(objects)?, order))
}
