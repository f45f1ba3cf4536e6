//! The tensors of torch's pickled state dicts, whichever way their storages lie in the file.

use super::entry::{Element, Entry};
use super::error::{FileFault, TensorFault};
use super::pickle::{Id, Node, Pickle};
use std::collections::BTreeSet;
use std::ops::Range;

/// How deeply dicts of tensors may be nested.
const MAX_DEPTH: usize = 8;

/// Longest name: one long text can be the key of every tensor of a small file.
const MAX_NAME: usize = 1 << 10;

/// All tensors below the pickle's root; `storage` says where in the file a storage of this name is.
pub(super) fn state_dict(
    pickle: &Pickle,
    storage: &dyn Fn(&str) -> Option<Range<usize>>,
    file: usize,
) -> Result<Vec<(String, Entry)>, FileFault> {
    let mut reader = Reader { pickle, storage, file, met: BTreeSet::new(), out: Vec::new() };
    reader.collect(pickle.root(), "", 0)?;
    Ok(reader.out)
}

/// The element type of torch's storage class.
pub(super) fn storage_element(class: &str) -> Option<Element> {
    Some(match class {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::BF16,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "CharStorage" => Element::I8,
        "ByteStorage" => Element::U8,
        "BoolStorage" => Element::Bool,
        _ => return None,
    })
}

struct Reader<'a> {
    pickle: &'a Pickle,
    storage: &'a dyn Fn(&str) -> Option<Range<usize>>,
    file: usize,
    met: BTreeSet<Id>,
    out: Vec<(String, Entry)>,
}

impl Reader<'_> {
    /// Collects the tensors below a dict; names of nested dicts are joined with dots.
    ///
    /// A dict is read where it is met first: references let a small file nest exponentially many.
    fn collect(&mut self, dict: Id, prefix: &str, depth: usize) -> Result<(), FileFault> {
        if depth > MAX_DEPTH {
            return Err(FileFault::Nested { most: MAX_DEPTH });
        }
        let Some(items) = self.pickle.items(dict) else { return Ok(()) };
        if !self.met.insert(dict) {
            return Ok(());
        }
        for &(key, value) in items {
            let Some(key) = self.pickle.str(key) else { continue };
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            if name.len() > MAX_NAME {
                return Err(FileFault::LongName { most: MAX_NAME });
            }
            match self.tensor(value, 0) {
                Ok(Some(entry)) => self.out.push((name, entry)),
                Ok(None) => self.collect(value, &name, depth + 1)?,
                Err(source) => return Err(FileFault::Tensor { tensor: name, source }),
            }
        }
        Ok(())
    }

    fn tensor(&self, id: Id, depth: usize) -> Result<Option<Entry>, TensorFault> {
        let p = self.pickle;
        let Node::Object { callable, args, .. } = p.node(id) else { return Ok(None) };
        let args = p.elements(*args).unwrap_or_default();
        match (p.global(*callable), args) {
            (Some(("torch._utils", "_rebuild_parameter")), &[inner, ..]) if depth == 0 => {
                self.tensor(inner, 1)
            }
            (
                Some(("torch._utils", "_rebuild_tensor_v2")),
                &[storage, offset, size, stride, ..],
            ) => self.strided(storage, offset, size, stride).map(Some),
            _ => Ok(None),
        }
    }

    fn strided(&self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Entry, TensorFault> {
        let p = self.pickle;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            p.elements(id)?.iter().map(|i| usize::try_from(p.int(*i)?).ok()).collect()
        };
        let shape = sizes(size).ok_or(TensorFault::Shape)?;
        let strides = sizes(stride).ok_or(TensorFault::Strides)?;
        let offset =
            p.int(offset).and_then(|o| usize::try_from(o).ok()).ok_or(TensorFault::Offset)?;
        let Node::Persistent(id) = p.node(storage) else { return Err(TensorFault::Storage) };
        let &[_, class, key, ..] = p.elements(*id).unwrap_or_default() else {
            return Err(TensorFault::Storage);
        };
        let class = p.global(class).map_or("", |(_, name)| name);
        let element =
            storage_element(class).ok_or_else(|| TensorFault::Element(class.to_owned()))?;
        let key = p.str(key).ok_or(TensorFault::Storage)?;
        let data = (self.storage)(key).ok_or_else(|| TensorFault::NoStorage(key.to_owned()))?;
        if shape.len() != strides.len() {
            return Err(TensorFault::Rank);
        }
        // The number of elements is bounded by the file too: a stride of 0 repeats elements.
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let available = data.len() / element.size();
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |at, (n, s)| at.checked_add(n.saturating_sub(1).checked_mul(*s)?));
        match (count, last) {
            (Some(0), _) => {}
            (Some(n), Some(last)) if n <= available && last < available => {}
            _ => return Err(TensorFault::Outside),
        }
        let empty = count == Some(0);
        let mut expected = 1;
        let dense = shape.iter().zip(&strides).rev().all(|(n, s)| {
            let fits = *n == 1 || *s == expected;
            expected *= n;
            fits
        });
        Ok(Entry {
            file: self.file,
            offset: data.start + if empty { 0 } else { offset * element.size() },
            element,
            shape,
            strides: (!dense && !empty).then_some(strides),
        })
    }
}
