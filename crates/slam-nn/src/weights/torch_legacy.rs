//! torch's format before 1.6 (`_use_new_zipfile_serialization=False`): five pickles (a magic number,
//! the protocol, the writer's machine, the object, the storages' names), then each storage's number
//! of elements and its bytes.

use super::entry::Entry;
use super::error::FileFault;
use super::pickle::{Node, Pickle, PickleError, Plain};
use super::torch_tensors::{state_dict, storage_element};
use std::collections::BTreeMap;
use std::ops::Range;

/// A pickle of protocol 2 of torch's magic number, 0x1950a86a20f9469cfc6c.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

pub(super) fn is_legacy(map: &[u8]) -> bool {
    map.starts_with(MAGIC)
}

pub(super) fn entries(map: &[u8], file: usize) -> Result<Vec<(String, Entry)>, FileFault> {
    let mut at = 0;
    let mut next = || -> Result<Pickle, PickleError> {
        let pickle = Pickle::read(&map[at..], &mut Plain)?;
        at += pickle.end();
        Ok(pickle)
    };
    let (_magic, _protocol, _machine) = (next()?, next()?, next()?);
    let (object, names) = (next()?, next()?);
    // The element size of each storage stands in the object's references to it.
    let mut sizes = BTreeMap::new();
    for id in object.ids() {
        let Node::Persistent(id) = object.node(id) else { continue };
        if let &[_, class, key, ..] = object.elements(*id).unwrap_or_default()
            && let (Some((_, class)), Some(key)) = (object.global(class), object.str(key))
            && let Some(element) = storage_element(class)
        {
            sizes.insert(key.to_owned(), element.size());
        }
    }
    let mut storages: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for name in names.elements(names.root()).ok_or(FileFault::NoStorages)? {
        let name = names.str(*name).ok_or(FileFault::NoStorages)?;
        let size = *sizes
            .get(name)
            .ok_or_else(|| FileFault::UnusedStorage { storage: name.to_owned() })?;
        let cut_off = || FileFault::StorageCutOff { storage: name.to_owned(), at };
        let head = map.get(at..at + 8).and_then(|head| head.as_array::<8>());
        let count = u64::from_le_bytes(*head.ok_or_else(cut_off)?);
        let range = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size))
            .and_then(|bytes| (at + 8).checked_add(bytes))
            .filter(|end| *end <= map.len())
            .map(|end| at + 8..end)
            .ok_or_else(cut_off)?;
        at = range.end;
        storages.insert(name.to_owned(), range);
    }
    state_dict(&object, &|key| storages.get(key).cloned(), file)
}
