//! torch's `.bin` and `.pt`: a zip of one pickle and stored (uncompressed) tensor storages.

use super::pickle::{Id, Node, Pickle, Plain};
use super::{Element, Entry};
use std::collections::BTreeMap;
use std::ops::Range;

/// How deeply dicts of tensors may be nested.
const MAX_DEPTH: usize = 8;

pub(super) fn entries(map: &[u8], file: usize) -> Result<Vec<(String, Entry)>, String> {
    let members = zip_members(map)?;
    let (prefix, range) = members
        .iter()
        .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
        .ok_or("not a torch checkpoint: the archive has no data.pkl")?;
    let pickle = Pickle::read(&map[range], &mut Plain)?;
    let mut reader = Reader { pickle: &pickle, members: &members, prefix, file, out: Vec::new() };
    reader.collect(pickle.root(), "", 0)?;
    Ok(reader.out)
}

struct Reader<'a> {
    pickle: &'a Pickle,
    members: &'a BTreeMap<String, Range<usize>>,
    prefix: &'a str,
    file: usize,
    out: Vec<(String, Entry)>,
}

impl Reader<'_> {
    /// Collects the tensors below a dict; names of nested dicts are joined with dots.
    fn collect(&mut self, dict: Id, prefix: &str, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("dicts are nested too deeply".to_owned());
        }
        let Some(items) = self.pickle.items(dict) else { return Ok(()) };
        for &(key, value) in items {
            let Some(key) = self.pickle.str(key) else { continue };
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            if let Some(entry) =
                self.tensor(value, 0).map_err(|e| format!("tensor `{name}`: {e}"))?
            {
                self.out.push((name, entry));
            } else {
                self.collect(value, &name, depth + 1)?;
            }
        }
        Ok(())
    }

    fn tensor(&self, id: Id, depth: usize) -> Result<Option<Entry>, String> {
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

    fn strided(&self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<Entry, String> {
        let p = self.pickle;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            p.elements(id)?.iter().map(|i| usize::try_from(p.int(*i)?).ok()).collect()
        };
        let shape = sizes(size).ok_or("its shape can't be read")?;
        let strides = sizes(stride).ok_or("its strides can't be read")?;
        let offset = p.int(offset).and_then(|o| usize::try_from(o).ok()).ok_or("bad offset")?;
        let Node::Persistent(id) = p.node(storage) else { return Err("no storage".to_owned()) };
        let &[_, class, key, ..] = p.elements(*id).unwrap_or_default() else {
            return Err("its storage can't be read".to_owned());
        };
        let class = p.global(class).map_or("", |(_, name)| name);
        let element = match class {
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
            other => return Err(format!("element type `{other}` is not known")),
        };
        let key = p.str(key).ok_or("its storage has no name")?;
        let data = self
            .members
            .get(&format!("{}data/{key}", self.prefix))
            .ok_or_else(|| format!("its storage `{key}` is not in the archive"))?;
        if shape.len() != strides.len() {
            return Err("shape and strides differ in rank".to_owned());
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
            _ => return Err("it lies outside its storage".to_owned()),
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

fn number(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    Some(bytes.get(at..at.checked_add(n)?)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
}

/// The stored members of a zip archive (PKWARE APPNOTE 6.3.9, with zip64).
fn zip_members(map: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let damaged = || "not a whole zip archive".to_owned();
    let from = map.len().saturating_sub(22 + 0xffff);
    let end = (from..map.len().saturating_sub(21))
        .rev()
        .find(|at| map[*at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(damaged)?;
    let field = |at, n| number(map, at, n).ok_or_else(damaged);
    let (mut count, mut at) = (field(end + 10, 2)?, field(end + 16, 4)?);
    if (count == 0xffff || at == 0xffff_ffff) && end >= 20 {
        let record = field(end - 20 + 8, 8)? as usize;
        if map.get(record..).is_some_and(|m| m.starts_with(b"PK\x06\x06")) {
            count = field(record.saturating_add(32), 8)?;
            at = field(record.saturating_add(48), 8)?;
        }
    }
    let mut at = at as usize;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        if !map.get(at..).is_some_and(|m| m.starts_with(b"PK\x01\x02")) {
            return Err(damaged());
        }
        let method = field(at + 10, 2)?;
        let (mut packed, mut size) = (field(at + 20, 4)?, field(at + 24, 4)?);
        let (name_len, extra_len) = (field(at + 28, 2)? as usize, field(at + 30, 2)? as usize);
        let comment_len = field(at + 32, 2)? as usize;
        let mut local = field(at + 42, 4)?;
        let name = map.get(at + 46..at + 46 + name_len).ok_or_else(damaged)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let mut extra = at + 46 + name_len;
        let next = extra + extra_len + comment_len;
        while extra + 4 <= next - comment_len {
            let (id, len) = (field(extra, 2)?, field(extra + 2, 2)? as usize);
            if id == 1 {
                let mut value = extra + 4;
                for slot in [&mut size, &mut packed, &mut local] {
                    if *slot == 0xffff_ffff {
                        *slot = field(value, 8)?;
                        value += 8;
                    }
                }
            }
            extra += 4 + len;
        }
        let local = local as usize;
        let skip = field(local.saturating_add(26), 2)? + field(local.saturating_add(28), 2)?;
        let start = local.saturating_add(30 + skip as usize);
        let end = start.saturating_add(size as usize);
        if end > map.len() {
            return Err(damaged());
        }
        if method != 0 || packed != size {
            return Err(format!("member `{name}` is compressed; save it with torch.save again"));
        }
        members.insert(name, start..end);
        at = next;
    }
    Ok(members)
}
