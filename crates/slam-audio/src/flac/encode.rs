//! The encoder: fixed predictors and partitioned Rice codes.

use super::crc::{crc8, crc16};

/// Samples of a frame.
const BLOCK: usize = 4096;
/// The largest Rice parameter of the 4-bit coding method; 15 is its escape.
const MAX_RICE: u32 = 14;
/// At most 2⁴ partitions a frame.
const MAX_PARTITION_ORDER: u32 = 4;

/// A FLAC file of 16-bit mono samples.
pub fn encode(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() * 5 / 4 + 64);
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
    let (mut bits, mut scratch) = (BitWriter::new(out), Scratch::default());
    for (number, frame) in samples.chunks(BLOCK).enumerate() {
        encode_frame(frame, number as u64, &mut scratch, &mut bits);
    }
    bits.bytes
}

fn encode_frame(samples: &[i16], number: u64, scratch: &mut Scratch, bits: &mut BitWriter) {
    let start = bits.bytes.len();
    // Sync code, fixed block size.
    bits.put(0b1111_1111_1111_1000, 16);
    // Block size as 16 bits below; rate from STREAMINFO; mono; 16 bits a sample.
    bits.put(0b0111_0000, 8);
    bits.put(0b0000_1000, 8);
    put_utf8(bits, number);
    bits.put(samples.len() as u64 - 1, 16);
    bits.align();
    let crc = crc8(&bits.bytes[start..]);
    bits.put(u64::from(crc), 8);
    encode_subframe(samples, scratch, bits);
    bits.align();
    let crc = crc16(&bits.bytes[start..]);
    bits.put(u64::from(crc), 16);
    bits.align();
}

/// What is kept from frame to frame, so that nothing is allocated for each.
#[derive(Default)]
struct Scratch {
    /// The residual of the chosen predictor, folded to unsigned, for all samples after the warm-up.
    folded: Vec<u32>,
}

fn encode_subframe(samples: &[i16], scratch: &mut Scratch, bits: &mut BitWriter) {
    if samples.iter().all(|&s| s == samples[0]) {
        bits.put(0, 8);
        bits.put(u64::from(samples[0] as u16), 16);
        return;
    }
    let order = best_predictor(samples);
    residual(samples, order, &mut scratch.folded);
    let coding = best_partition(&scratch.folded, order, samples.len());
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
    let mut rest = scratch.folded.as_slice();
    for (i, &k) in coding.parameters().iter().enumerate() {
        let (part, after) = rest.split_at(if i == 0 { length - order } else { length });
        rest = after;
        bits.put(u64::from(k), 4);
        for &r in part {
            bits.put_rice(r, u32::from(k));
        }
    }
}

/// The fixed predictor (RFC 9639, 9.2.5) with the smallest residual over the samples that all of them
/// predict.
fn best_predictor(samples: &[i16]) -> usize {
    // No residual is larger than 16 · 2¹⁵, so that those of a block have a sum below 2³¹: the loop stays in
    // 32 bits, which lets it use vectors.
    const { assert!(BLOCK <= 4096) };
    let mut sums = [0u32; 5];
    for window in samples.windows(5) {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|i| i32::from(window[i]));
        sums[0] += e.unsigned_abs();
        sums[1] += (e - d).unsigned_abs();
        sums[2] += (e - 2 * d + c).unsigned_abs();
        sums[3] += (e - 3 * d + 3 * c - b).unsigned_abs();
        sums[4] += (e - 4 * d + 6 * c - 4 * b + a).unsigned_abs();
    }
    // The first of equal ones; 0 where there are fewer than five samples.
    (0..5).min_by_key(|&order| sums[order]).unwrap_or(0)
}

/// The residual of the predictor of an order, folded to unsigned.
fn residual(samples: &[i16], order: usize, out: &mut Vec<u32>) {
    out.clear();
    let at = |window: &[i16], i: usize| i32::from(window[i]);
    let windows = samples.windows(order + 1);
    match order {
        0 => out.extend(samples.iter().map(|&s| zigzag(i32::from(s)))),
        1 => out.extend(windows.map(|w| zigzag(at(w, 1) - at(w, 0)))),
        2 => out.extend(windows.map(|w| zigzag(at(w, 2) - 2 * at(w, 1) + at(w, 0)))),
        3 => out.extend(windows.map(|w| zigzag(at(w, 3) - 3 * at(w, 2) + 3 * at(w, 1) - at(w, 0)))),
        _ => out.extend(
            windows
                .map(|w| zigzag(at(w, 4) - 4 * at(w, 3) + 6 * at(w, 2) - 4 * at(w, 1) + at(w, 0))),
        ),
    }
}

/// How a residual is cut into partitions, with a Rice parameter each.
struct Partition {
    order: u32,
    rice: [u8; 1 << MAX_PARTITION_ORDER],
    bits: u64,
}

impl Partition {
    fn parameters(&self) -> &[u8] {
        &self.rice[..1 << self.order]
    }
}

/// The cheapest partition. The sums of the finest one give those of all others; a parameter's cost is taken
/// from its partition's sum: `n (k + 1) + sum / 2^k` bits, less half a bit a sample for what rounding down
/// saves where `k > 0`.
fn best_partition(folded: &[u32], order: usize, block: usize) -> Partition {
    let mut finest = 0;
    while finest < MAX_PARTITION_ORDER
        && block.is_multiple_of(2 << finest)
        && block >> (finest + 1) > order
    {
        finest += 1;
    }
    let length = block >> finest;
    let mut sums = [0u64; 1 << MAX_PARTITION_ORDER];
    let mut rest = folded;
    for (i, sum) in sums.iter_mut().enumerate().take(1 << finest) {
        let (part, after) = rest.split_at(if i == 0 { length - order } else { length });
        rest = after;
        *sum = part.iter().map(|&r| u64::from(r)).sum();
    }
    let mut best: Option<Partition> = None;
    for partition_order in (0..=finest).rev() {
        let length = (block >> partition_order) as u64;
        let mut partition = Partition { order: partition_order, rice: Default::default(), bits: 6 };
        for (i, &sum) in sums.iter().enumerate().take(1 << partition_order) {
            let n = if i == 0 { length - order as u64 } else { length };
            let (k, cost) = best_parameter(sum, n);
            partition.rice[i] = k;
            partition.bits += 4 + cost;
        }
        if best.as_ref().is_none_or(|b| partition.bits < b.bits) {
            best = Some(partition);
        }
        for i in 0..1usize << partition_order >> 1 {
            sums[i] = sums[2 * i] + sums[2 * i + 1];
        }
    }
    best.unwrap_or(Partition { order: 0, rice: Default::default(), bits: u64::MAX })
}

/// The Rice parameter for `n` folded residuals of a sum, and about what it costs in bits.
fn best_parameter(sum: u64, n: u64) -> (u8, u64) {
    let cost = |k: u8| {
        let rounding = if k > 0 { n / 2 } else { 0 };
        n * (u64::from(k) + 1) + (sum >> k).saturating_sub(rounding)
    };
    let guess = (64 - (sum / n.max(1)).leading_zeros()).min(MAX_RICE) as u8;
    let candidates = [guess, guess.saturating_sub(1)];
    candidates.map(|k| (k, cost(k))).into_iter().min_by_key(|&(_, bits)| bits).unwrap_or((guess, 0))
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

/// Bits, the most significant first, behind bytes that are there.
struct BitWriter {
    bytes: Vec<u8>,
    /// The last `count` bits are not written yet.
    pending: u64,
    count: u32,
}

impl BitWriter {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, pending: 0, count: 0 }
    }

    /// Appends the low `n` ≤ 32 bits; those above must be zero.
    fn put(&mut self, value: u64, n: u32) {
        self.pending = self.pending << n | value;
        self.count += n;
        if self.count >= 32 {
            self.count -= 32;
            self.bytes.extend_from_slice(&((self.pending >> self.count) as u32).to_be_bytes());
        }
    }

    fn put_rice(&mut self, value: u32, k: u32) {
        let mut zeros = value >> k;
        let low = u64::from(value & ((1 << k) - 1));
        if zeros + 1 + k <= 32 {
            self.put(1 << k | low, zeros + 1 + k);
            return;
        }
        while zeros > 31 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1, zeros + 1);
        self.put(low, k);
    }

    /// Fills the last byte with zeros and writes what is pending.
    fn align(&mut self) {
        self.pending <<= (8 - self.count % 8) % 8;
        self.count = self.count.next_multiple_of(8);
        while self.count > 0 {
            self.count -= 8;
            self.bytes.push((self.pending >> self.count) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::probe_mono16;
    use super::*;
    use proptest::prelude::*;

    fn comes_back(samples: &[i16]) {
        let flac = encode(samples, 16_000);
        assert_eq!(probe_mono16(&flac), Some((samples.len() as u64, 16_000)));
        let audio = crate::decode_bytes(&flac).unwrap();
        assert!(audio.warnings.is_empty(), "{:?}", audio.warnings);
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
