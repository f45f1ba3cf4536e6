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

use super::files::{Array, Element, Matrix, big_endian};

/// A decompressed file is no larger: 65,535 centroids of 1,024 values take a quarter.
const MAX_BYTES: u64 = 1 << 30;

pub(super) fn parse(bytes: &[u8]) -> Result<Matrix, String> {
    if bytes.first() == Some(&0x78) {
        let mut plain = Vec::new();
        let read = ZlibDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut plain);
        read.map_err(|e| format!("the compressed file is broken: {e}"))?;
        if plain.len() as u64 == MAX_BYTES {
            return Err(format!("the compressed file holds {MAX_BYTES} bytes or more"));
        }
        return parse_pickle(&plain);
    }
    parse_pickle(bytes)
}

fn parse_pickle(bytes: &[u8]) -> Result<Matrix, String> {
    let mut arrays = Arrays { input: bytes, found: Vec::new() };
    let pickle = Pickle::read(bytes, &mut arrays)?;
    let Node::Object { callable, args, state: Some(state), .. } = pickle.node(pickle.root()) else {
        return Err("the pickle is no scikit-learn model".into());
    };
    let class = class_of(&pickle, *callable, *args).unwrap_or_default();
    if !matches!(class, "KMeans" | "MiniBatchKMeans") {
        return Err(format!("the pickle holds '{class}', expected KMeans or MiniBatchKMeans"));
    }
    let centres = pickle
        .get(*state, "cluster_centers_")
        .ok_or("the model has no cluster_centers_; it was not fitted")?;
    let Node::Inline { object, data } = pickle.node(centres) else {
        return Err("cluster_centers_ is no array of joblib's".into());
    };
    let array = arrays.found.iter().find(|(id, _)| id == object).map(|(_, a)| a);
    array.ok_or("cluster_centers_ is no array")?.matrix(&bytes[data.clone()])
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
    fn after_build(
        &mut self,
        pickle: &Pickle,
        object: Id,
        position: usize,
    ) -> Result<Option<Range<usize>>, String> {
        let Node::Object { callable, args, state: Some(state), .. } = pickle.node(object) else {
            return Ok(None);
        };
        if class_of(pickle, *callable, *args) != Some("NumpyArrayWrapper") {
            return Ok(None);
        }
        let array = wrapped(pickle, *state)?;
        let cut_off = || "the pickle's array is cut off".to_owned();
        let mut start = position;
        let aligned = pickle.get(*state, "numpy_array_alignment_bytes");
        if aligned.is_some_and(|id| *pickle.node(id) != Node::None) {
            let padding = *self.input.get(start).ok_or_else(cut_off)?;
            start += 1 + usize::from(padding);
        }
        let size = array.size().ok_or("the pickle's array overflows")?;
        let end = start.checked_add(size).filter(|end| *end <= self.input.len());
        let data = start..end.ok_or_else(cut_off)?;
        self.found.push((object, array));
        Ok(Some(data))
    }
}

/// What a wrapper's state says about its array.
fn wrapped(pickle: &Pickle, state: Id) -> Result<Array, String> {
    let get = |key: &str| pickle.get(state, key).ok_or(format!("an array without its {key}"));
    let shape = pickle
        .elements(get("shape")?)
        .ok_or("an array's shape is no tuple")?
        .iter()
        .map(|&id| pickle.int(id).and_then(|n| usize::try_from(n).ok()))
        .collect::<Option<Vec<_>>>()
        .ok_or("an array's shape is no tuple of numbers")?;
    let fortran_order = pickle.str(get("order")?) == Some("F");
    let (element, big_endian) = dtype(pickle, get("dtype")?)?;
    Ok(Array { element, big_endian, fortran_order, shape })
}

/// A pickled `numpy.dtype`: `dtype('f4', False, True)` with the byte order second in its state.
fn dtype(pickle: &Pickle, id: Id) -> Result<(Element, bool), String> {
    let unknown = || "an array's dtype is not understood".to_owned();
    let Node::Object { args, state, .. } = pickle.node(id) else { return Err(unknown()) };
    let first = pickle.elements(*args).and_then(|a| a.first()).ok_or_else(unknown)?;
    let name = pickle.str(*first).ok_or_else(unknown)?;
    let order = state
        .and_then(|s| pickle.elements(s)?.get(1).copied())
        .and_then(|id| pickle.str(id)?.chars().next())
        .and_then(big_endian)
        .unwrap_or(false);
    // Other arrays of the model are skipped: their size is what counts. Objects have none.
    let element = Element::named(name).ok_or_else(|| format!("an array of '{name}' objects"))?;
    Ok((element, order))
}
