//! TensorBoard event files: scalars as `TFRecord`s of `Event` messages.
//!
//! The record format is TensorFlow's `tensorflow/core/lib/io/record_writer.h` (length, masked CRC-32C of the
//! length, data, masked CRC-32C of the data), the messages are those of `event.proto` and `summary.proto`;
//! the few fields used are encoded by hand.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::error::TrainError;

/// The version that the first record of a file names.
const FILE_VERSION: &str = "brain.Event:2";

/// Writes scalars to an event file.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Begins the file anew.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn create(path: &Path) -> Result<Self, TrainError> {
        let failed = |e| TrainError::write(path, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = Self { file: File::create(path).map_err(failed)? };
        let mut event = Vec::new();
        double(&mut event, 1, 0.0);
        bytes(&mut event, 3, FILE_VERSION.as_bytes());
        file.record(&event).map_err(failed)?;
        Ok(file)
    }

    /// Writes a step's scalars. `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn scalars<'a>(
        &mut self,
        step: u64,
        wall_time: f64,
        values: impl Iterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, number) in values {
            let mut value = Vec::new();
            bytes(&mut value, 1, tag.as_bytes());
            float(&mut value, 2, number as f32);
            bytes(&mut summary, 1, &value);
        }
        let mut event = Vec::new();
        double(&mut event, 1, wall_time);
        key(&mut event, 2, 0);
        varint(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

fn key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, field << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, 1);
    out.extend(value.to_le_bytes());
}

fn float(out: &mut Vec<u8>, field: u64, value: f32) {
    key(out, field, 5);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

/// CRC-32C (Castagnoli), bit by bit: records are a few hundred bytes, one a log line.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |c, _| {
                if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 }
            },
        )
    })
}

/// Rotated and shifted, as the format has it, so that a CRC over data that holds CRCs stays useful.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn varints_are_those_of_protocol_buffers() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xAC, 0x02]);
    }
}
