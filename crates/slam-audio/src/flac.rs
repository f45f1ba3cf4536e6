//! A small FLAC encoder for 16-bit mono (RFC 9639): fixed predictors and partitioned Rice codes.
//!
//! The bytes are a function of the samples alone, so that shards repeat byte for byte under any library
//! version. It trades a few percent of size against linear prediction for speed.

/// Samples of a frame.
const BLOCK: usize = 4096;
/// The largest Rice parameter of the 4-bit coding method; 15 is its escape.
const MAX_RICE: u32 = 14;
/// At most 2⁴ partitions a frame.
const MAX_PARTITION_ORDER: u32 = 4;

/// A FLAC file of 16-bit mono samples.
pub fn encode(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() + 64);
    out.extend_from_slice(b"fLaC");
    // The last metadata block is STREAMINFO, 34 bytes.
    out.extend_from_slice(&[0x80, 0, 0, 34]);
    let block = BLOCK.min(samples.len().max(16)) as u16;
    out.extend_from_slice(&block.to_be_bytes());
    out.extend_from_slice(&block.to_be_bytes());
    // Frame sizes unknown.
    out.extend_from_slice(&[0; 6]);
    let packed =
        (u64::from(rate_hz & 0xF_FFFF) << 44) | (15 << 36) | (samples.len() as u64 & 0xF_FFFF_FFFF);
    out.extend_from_slice(&packed.to_be_bytes());
    // No MD5: all zero means that it was not computed.
    out.extend_from_slice(&[0; 16]);
    for (number, frame) in samples.chunks(BLOCK).enumerate() {
        encode_frame(frame, number as u64, &mut out);
    }
    out
}

/// The number of samples and the rate in Hz of a FLAC file that is 16-bit mono, else `None`.
pub fn probe_mono16(bytes: &[u8]) -> Option<(u64, u32)> {
    let info = bytes.strip_prefix(b"fLaC")?;
    if info.first()? & 0x7F != 0 {
        return None;
    }
    let packed = u64::from_be_bytes(info.get(14..22)?.try_into().ok()?);
    let rate_hz = (packed >> 44) as u32;
    let channels = (packed >> 41 & 7) + 1;
    let bits = (packed >> 36 & 31) + 1;
    let samples = packed & 0xF_FFFF_FFFF;
    (channels == 1 && bits == 16 && samples > 0).then_some((samples, rate_hz))
}

fn encode_frame(samples: &[i16], number: u64, out: &mut Vec<u8>) {
    let mut bits = BitWriter::new();
    // Sync code, fixed block size.
    bits.put(0b1111_1111_1111_1000, 16);
    // Block size as 16 bits below; rate from STREAMINFO; mono; 16 bits a sample.
    bits.put(0b0111_0000, 8);
    bits.put(0b0000_1000, 8);
    put_utf8(&mut bits, number);
    bits.put(samples.len() as u64 - 1, 16);
    let crc = crc8(&bits.bytes);
    bits.put(u64::from(crc), 8);
    encode_subframe(samples, &mut bits);
    bits.align();
    let crc = crc16(&bits.bytes);
    bits.put(u64::from(crc), 16);
    out.extend_from_slice(&bits.bytes);
}

fn encode_subframe(samples: &[i16], bits: &mut BitWriter) {
    if samples.iter().all(|&s| s == samples[0]) {
        bits.put(0, 8);
        bits.put(u64::from(samples[0] as u16), 16);
        return;
    }
    let (order, residual) = best_predictor(samples);
    let coding = best_partition(&residual, order, samples.len());
    if coding.bits >= 16 * samples.len() as u64 {
        // Verbatim.
        bits.put(1 << 1, 8);
        for &s in samples {
            bits.put(u64::from(s as u16), 16);
        }
        return;
    }
    bits.put((0b00_1000 | order as u64) << 1, 8);
    for &s in &samples[..order] {
        bits.put(u64::from(s as u16), 16);
    }
    // Rice coding with 4-bit parameters.
    bits.put(0, 2);
    bits.put(u64::from(coding.order), 4);
    let length = samples.len() >> coding.order;
    let mut rest = residual.as_slice();
    for (i, &k) in coding.parameters.iter().enumerate() {
        let (part, after) = rest.split_at(if i == 0 { length - order } else { length });
        rest = after;
        bits.put(u64::from(k), 4);
        for &r in part {
            bits.put_rice(zigzag(r), k);
        }
    }
}

/// The fixed predictor (RFC 9639, 9.2.5) with the smallest residual, and the residual.
fn best_predictor(samples: &[i16]) -> (usize, Vec<i32>) {
    let mut residual: Vec<i32> = samples.iter().map(|&s| i32::from(s)).collect();
    let cost = |r: &[i32]| r.iter().map(|&x| u64::from(x.unsigned_abs())).sum::<u64>();
    let mut best = (0, residual.clone());
    let mut best_cost = cost(&residual);
    for order in 1..=4.min(samples.len() - 1) {
        residual = residual.windows(2).map(|w| w[1] - w[0]).collect();
        let cost = cost(&residual);
        if cost < best_cost {
            best_cost = cost;
            best = (order, residual.clone());
        }
    }
    best
}

/// How a residual is cut into partitions, with a Rice parameter each.
struct Partition {
    order: u32,
    parameters: Vec<u32>,
    bits: u64,
}

fn best_partition(residual: &[i32], order: usize, block: usize) -> Partition {
    let mut best: Option<Partition> = None;
    for partition_order in 0..=MAX_PARTITION_ORDER {
        let length = block >> partition_order;
        if !block.is_multiple_of(1 << partition_order) || length <= order {
            break;
        }
        let mut parameters = Vec::new();
        let mut bits = 6;
        let mut rest = residual;
        for i in 0..1usize << partition_order {
            let (part, after) = rest.split_at(if i == 0 { length - order } else { length });
            rest = after;
            let (k, cost) = best_parameter(part);
            parameters.push(k);
            bits += 4 + cost;
        }
        if best.as_ref().is_none_or(|b| bits < b.bits) {
            best = Some(Partition { order: partition_order, parameters, bits });
        }
    }
    best.unwrap_or(Partition { order: 0, parameters: vec![MAX_RICE], bits: u64::MAX })
}

/// The Rice parameter for some residuals and its exact cost in bits, searched around the mean's logarithm.
fn best_parameter(part: &[i32]) -> (u32, u64) {
    let sum: u64 = part.iter().map(|&r| u64::from(zigzag(r))).sum();
    let mean = sum / part.len().max(1) as u64;
    let guess = (64 - mean.leading_zeros()).min(MAX_RICE);
    let cost = |k: u32| -> u64 {
        part.iter().map(|&r| u64::from(zigzag(r) >> k) + 1 + u64::from(k)).sum()
    };
    (guess.saturating_sub(1)..=guess)
        .map(|k| (k, cost(k)))
        .min_by_key(|&(_, bits)| bits)
        .unwrap_or((0, 0))
}

fn zigzag(r: i32) -> u32 {
    ((r << 1) ^ (r >> 31)) as u32
}

/// The frame number in the extended UTF-8 of RFC 9639, 9.1.5.
fn put_utf8(bits: &mut BitWriter, n: u64) {
    if n < 0x80 {
        bits.put(n, 8);
        return;
    }
    let mut extra = 1;
    while n >> (6 * extra + 6 - extra) != 0 {
        extra += 1;
    }
    let lead = 0xFFu64 << (7 - extra) & 0xFF;
    bits.put(lead | n >> (6 * extra), 8);
    for i in (0..extra).rev() {
        bits.put(0x80 | (n >> (6 * i) & 0x3F), 8);
    }
}

/// Bits, the most significant first.
struct BitWriter {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl BitWriter {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(BLOCK), pending: 0, count: 0 }
    }

    /// Appends the low `n` ≤ 32 bits.
    fn put(&mut self, value: u64, n: u32) {
        self.pending = self.pending << n | value & ((1 << n) - 1);
        self.count += n;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.pending >> self.count) as u8);
        }
    }

    fn put_rice(&mut self, value: u32, k: u32) {
        let mut zeros = value >> k;
        while zeros > 31 {
            self.put(0, 31);
            zeros -= 31;
        }
        self.put(1, zeros + 1);
        self.put(u64::from(value), k);
    }

    fn align(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &b| {
        (0..8).fold(crc ^ b, |c, _| if c & 0x80 != 0 { c << 1 ^ 0x07 } else { c << 1 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut c = (i as u16) << 8;
            let mut bit = 0;
            while bit < 8 {
                c = if c & 0x8000 != 0 { c << 1 ^ 0x8005 } else { c << 1 };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, &b| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn comes_back(samples: &[i16]) {
        let flac = encode(samples, 16_000);
        assert_eq!(probe_mono16(&flac), Some((samples.len() as u64, 16_000)));
        let audio = crate::decode_bytes(&flac).unwrap();
        assert_eq!(audio.warnings, Vec::<String>::new());
        assert_eq!(crate::to_pcm16(&audio.samples), samples);
    }

    #[test]
    fn speechlike_constant_and_extreme_sounds_come_back() {
        comes_back(&[5]);
        comes_back(&[7; 5000]);
        comes_back(&[i16::MIN, i16::MAX].repeat(3000));
        // More than 128 frames, so that frame numbers take two bytes.
        let tone: Vec<i16> =
            (0..600_000).map(|i| (8000.0 * (f64::from(i) * 0.05).sin()) as i16).collect();
        comes_back(&tone);
        assert!(encode(&tone, 16_000).len() < 2 * tone.len() * 6 / 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_samples_come_back(samples in prop::collection::vec(any::<i16>(), 1..9000), shift in 0..15u32) {
            comes_back(&samples.iter().map(|s| s >> shift).collect::<Vec<_>>());
        }
    }
}
