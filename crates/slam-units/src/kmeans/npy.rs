//! NumPy's `.npy` files of two-dimensional floating-point arrays.
//!
//! Format: `numpy.lib.format`, versions 1 to 3: magic, version, header length, a Python dict as text, data.

use super::error::{CentroidFault, NpyFault};
use super::matrix::{Array, Element, Matrix, big_endian};

/// No header of a real file is longer.
const MAX_HEADER: usize = 4096;

pub(super) fn parse(bytes: &[u8]) -> Result<Matrix, CentroidFault> {
    let version = *bytes.get(6).ok_or(NpyFault::CutOff)?;
    let (length, start) = match (version, bytes) {
        (1, [_, _, _, _, _, _, _, _, a, b, ..]) => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        (2 | 3, [_, _, _, _, _, _, _, _, a, b, c, d, ..]) => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
        }
        (1..=3, _) => return Err(NpyFault::CutOff.into()),
        _ => return Err(NpyFault::Version(version).into()),
    };
    if length > MAX_HEADER {
        return Err(NpyFault::LongHeader(length).into());
    }
    let header = bytes.get(start..start + length).ok_or(NpyFault::CutOff)?;
    let header = std::str::from_utf8(header).map_err(|_| NpyFault::NoText)?;
    let array = array(header)?;
    let size = array.size().ok_or(NpyFault::Overflow)?;
    let data = bytes[start + length..].get(..size).ok_or(NpyFault::CutOff)?;
    array.matrix(data)
}

/// The header's three entries; NumPy writes them in this form, whatever their order.
fn array(header: &str) -> Result<Array, NpyFault> {
    let value = |key: &'static str| -> Result<&str, NpyFault> {
        let at = header.find(&format!("'{key}'")).ok_or(NpyFault::Lacks(key))?;
        let rest = &header[at + key.len() + 2..];
        Ok(rest.trim_start().strip_prefix(':').unwrap_or_default().trim_start())
    };
    let descr = value("descr")?.strip_prefix('\'').and_then(|r| r.split('\'').next());
    let descr = descr.ok_or(NpyFault::Records)?;
    let mut name = descr.chars();
    let order = name.next().and_then(big_endian);
    let (Some(big_endian), Some(element)) = (order, Element::named(name.as_str())) else {
        return Err(NpyFault::Elements(descr.to_owned()));
    };
    let fortran_order = value("fortran_order")?.starts_with("True");
    let shape = value("shape")?.strip_prefix('(').and_then(|r| r.split(')').next());
    let shape = shape
        .ok_or(NpyFault::Shape)?
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.parse::<usize>().map_err(|_| NpyFault::Shape))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Array { element, big_endian, fortran_order, shape })
}
