//! The checksums of FLAC frames (RFC 9639, 9.1.8 and 9.3).

/// The header's: polynomial x⁸ + x² + x + 1.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &b| {
        (0..8).fold(crc ^ b, |c, _| if c & 0x80 != 0 { c << 1 ^ 0x07 } else { c << 1 })
    })
}

/// `TABLES[k][b]` is the checksum of the byte `b` with `k` zero bytes behind it.
const TABLES: [[u16; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 0x8000 != 0 { c << 1 ^ 0x8005 } else { c << 1 };
            bit += 1;
        }
        tables[0][i] = c;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let c = tables[k - 1][i];
            tables[k][i] = c << 8 ^ tables[0][(c >> 8) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
};

/// The frame's: polynomial x¹⁶ + x¹⁵ + x² + 1. Of a whole frame with its checksum it is 0.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    crc16_from(0, bytes)
}

/// [`crc16`] of bytes behind others whose checksum is `crc`; eight bytes a step.
pub(super) fn crc16_from(crc: u16, bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(crc, |crc, b| {
        let [high, low] = crc.to_be_bytes();
        TABLES[7][usize::from(b[0] ^ high)]
            ^ TABLES[6][usize::from(b[1] ^ low)]
            ^ TABLES[5][usize::from(b[2])]
            ^ TABLES[4][usize::from(b[3])]
            ^ TABLES[3][usize::from(b[4])]
            ^ TABLES[2][usize::from(b[5])]
            ^ TABLES[1][usize::from(b[6])]
            ^ TABLES[0][usize::from(b[7])]
    });
    rest.iter().fold(crc, |crc, &b| crc << 8 ^ TABLES[0][usize::from((crc >> 8) as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_catalogue_and_do_not_depend_on_steps() {
        // CRC-8/SMBUS and CRC-16/UMTS of the catalogue of parametrised CRC algorithms.
        assert_eq!(crc8(b"123456789"), 0xF4);
        assert_eq!(crc16(b"123456789"), 0xFEE8);
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for cut in 0..100 {
            assert_eq!(crc16_from(crc16(&bytes[..cut]), &bytes[cut..]), crc16(&bytes));
        }
    }
}
