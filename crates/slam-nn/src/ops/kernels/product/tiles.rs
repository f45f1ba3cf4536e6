//! The innermost part of every matrix product on the CPU: a few rows times a panel of columns, in registers.
//!
//! Each element is one chain of multiply-adds along the inner size, whatever is computed beside it.

use super::matrix::Matrix;
use super::pack;

/// The instructions that tiles are made of, and with them their size. A value is only ever made of instructions
/// that were detected, by [`Tiles::of_this_machine`] (and `known`, for tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tiles {
    /// 12 rows by 32 columns.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 6 rows by 16 columns.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 rows by 16 columns, of what the compiler makes of plain code.
    Plain,
}

/// Sizes of the products of some rows with one panel.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Inner elements.
    pub inner: usize,
    /// Distance of the rows that are read where they lie.
    pub stride: usize,
    /// Distance of the rows of the result.
    pub y_stride: usize,
    /// Columns of the panel that there are.
    pub columns: usize,
    /// What the products are multiplied by.
    pub factor: f32,
    /// Whether they are added to what is there.
    pub add: bool,
}

/// An expression of the module that holds the tiles of a machine's instructions.
macro_rules! with {
    ($self:ident, $tiles:ident => $what:expr) => {
        match $self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                use avx512 as $tiles;
                $what
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                use avx2 as $tiles;
                $what
            }
            Self::Plain => {
                use plain as $tiles;
                $what
            }
        }
    };
}

impl Tiles {
    /// The best that this machine has.
    pub(super) fn of_this_machine() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma");
            if avx2 && std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Plain
    }

    /// All that this machine has.
    #[cfg(test)]
    pub(super) fn known() -> Vec<Self> {
        match Self::of_this_machine() {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Plain, Self::Avx2, Self::Avx512],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Plain, Self::Avx2],
            Self::Plain => vec![Self::Plain],
        }
    }

    /// Rows of a tile.
    pub(super) fn rows(self) -> usize {
        with!(self, tiles => tiles::ROWS)
    }

    /// Columns of a panel.
    pub(super) fn columns(self) -> usize {
        with!(self, tiles => tiles::COLUMNS)
    }

    /// Inner elements of a block, of which `inner` has as few as can be, of equal size: some of a block's rows
    /// and a panel of its columns stay in the first-level cache.
    pub(super) fn depth(self, inner: usize) -> usize {
        inner.div_ceil(inner.div_ceil(with!(self, tiles => tiles::DEPTH)))
    }

    /// Lays columns, the rows of their transposed matrix, out in panels, see [`pack`].
    pub(super) fn pack_columns(self, columns: Matrix, panels: &mut [f32]) {
        // SAFETY: the machine has the instructions, or there would be no such `Tiles`.
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_unsafe))]
        unsafe {
            with!(self, tiles => tiles::pack::<{ tiles::COLUMNS }>(columns, panels));
        }
    }

    /// Lays rows out in panels of a tile's rows, see [`pack`].
    pub(super) fn pack_rows(self, rows: Matrix, panels: &mut [f32]) {
        // SAFETY: the machine has the instructions, or there would be no such `Tiles`.
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_unsafe))]
        unsafe {
            with!(self, tiles => tiles::pack::<{ tiles::ROWS }>(rows, panels));
        }
    }

    /// The products of rows with a panel `w`. The rows lie in panels of their own where `PACKED`, otherwise
    /// `t.stride` apart.
    ///
    /// # Safety
    /// `x` and `w` must be valid for reads, and `y` for writes, of the tile's sizes (for reads too where
    /// `t.add`); `w` has all columns of a panel.
    pub(super) unsafe fn multiply<const PACKED: bool>(
        self,
        x: *const f32,
        w: *const f32,
        y: *mut f32,
        rows: usize,
        t: &Tile,
    ) {
        // SAFETY: the caller vouches for the pointers; the machine has the instructions, or there would be no
        // such `Tiles`.
        unsafe { with!(self, tiles => tiles::multiply::<PACKED>(x, w, y, rows, t)) }
    }
}

/// Tiles of two vector registers by as many rows as leave registers for the operands.
macro_rules! tiles {
    (
        $(#[$features:meta])*
        $name:ident, $from:path, $pack:ident, $register:ident, $width:literal, $rows:literal, $depth:literal,
        $zero:ident, $load:ident, $store:ident, $spread:ident,
        $add:ident, $multiply:ident, $multiply_add:ident
    ) => {
        mod $name {
            pub(super) use super::pack::$pack as pack;
            use super::{Tile, ask_for};
            use $from::*;

            /// Rows of a tile.
            pub(super) const ROWS: usize = $rows;
            /// Columns of a panel.
            pub(super) const COLUMNS: usize = 2 * $width;
            /// Inner elements of a block, at most.
            pub(super) const DEPTH: usize = $depth;
            /// Inner elements of a turn of the innermost loop.
            const UNROLLED: usize = 4;
            type Register = $register;

            /// The products of rows with a panel.
            ///
            /// # Safety
            /// As of [`Tiles::multiply`](super::Tiles::multiply), and the machine must have the instructions.
            $(#[$features])*
            pub(super) unsafe fn multiply<const PACKED: bool>(
                mut x: *const f32,
                w: *const f32,
                mut y: *mut f32,
                rows: usize,
                t: &Tile,
            ) {
                let mut left = rows;
                while left > 0 {
                    let done = match left {
                        n if n >= ROWS => {
                            // SAFETY: the caller vouches for `left` rows from `x` and `y` on, and there are as
                            // many as the tile has; so it is for the smaller ones below.
                            unsafe { tile::<ROWS, PACKED>(x, w, y, t) };
                            ROWS
                        }
                        n if n >= 4 => {
                            // SAFETY: at least four rows are left.
                            unsafe { tile::<4, PACKED>(x, w, y, t) };
                            4
                        }
                        n if n >= 2 => {
                            // SAFETY: at least two rows are left.
                            unsafe { tile::<2, PACKED>(x, w, y, t) };
                            2
                        }
                        _ => {
                            // SAFETY: one row is left.
                            unsafe { tile::<1, PACKED>(x, w, y, t) };
                            1
                        }
                    };
                    left -= done;
                    x = x.wrapping_add(match (PACKED, done) {
                        (true, ROWS) => ROWS * t.inner,
                        (true, _) => done,
                        (false, _) => done * t.stride,
                    });
                    y = y.wrapping_add(done * t.y_stride);
                }
            }

            /// Adds the products of one inner element.
            ///
            /// # Safety
            /// As of [`multiply`], with `R` rows, and `at` below `t.inner`.
            $(#[$features])*
            #[inline]
            unsafe fn element<const R: usize, const PACKED: bool>(
                x: *const f32,
                w: *const f32,
                at: usize,
                t: &Tile,
                sums: &mut [[Register; 2]; R],
            ) {
                // SAFETY: a panel has `COLUMNS` values for every inner element, two registers.
                let w = unsafe {
                    let w = w.add(at * COLUMNS);
                    [$load(w), $load(w.add($width))]
                };
                for (row, sum) in sums.iter_mut().enumerate() {
                    let place = if PACKED { at * ROWS + row } else { row * t.stride + at };
                    // SAFETY: the caller vouches for this element of `R` rows of `x`, packed or apart.
                    let x = $spread(unsafe { *x.add(place) });
                    sum[0] = $multiply_add(x, w[0], sum[0]);
                    sum[1] = $multiply_add(x, w[1], sum[1]);
                }
            }

            /// The products of `R` rows with a panel.
            ///
            /// # Safety
            /// As of [`multiply`], with `R` rows.
            $(#[$features])*
            unsafe fn tile<const R: usize, const PACKED: bool>(
                x: *const f32,
                w: *const f32,
                y: *mut f32,
                t: &Tile,
            ) {
                for row in 0..R {
                    // Asked for now, there when the sums are.
                    let y = y.wrapping_add(row * t.y_stride);
                    ask_for(y);
                    ask_for(y.wrapping_add(COLUMNS - 1));
                }
                let mut sums = [[$zero(); 2]; R];
                // Several elements a turn, or the time depends on where in a cache line the loop begins.
                let turns = t.inner / UNROLLED;
                for turn in 0..turns {
                    for at in 0..UNROLLED {
                        // SAFETY: the whole turns end within the inner size.
                        unsafe { element::<R, PACKED>(x, w, turn * UNROLLED + at, t, &mut sums) };
                    }
                }
                for at in turns * UNROLLED..t.inner {
                    // SAFETY: below the inner size.
                    unsafe { element::<R, PACKED>(x, w, at, t, &mut sums) };
                }
                let factor = $spread(t.factor);
                for sum in &mut sums {
                    *sum = [$multiply(sum[0], factor), $multiply(sum[1], factor)];
                }
                if t.columns == COLUMNS {
                    for (row, sum) in sums.iter().enumerate() {
                        for (half, &sum) in sum.iter().enumerate() {
                            // SAFETY: the row of `y` has all of a panel's columns, two registers, and is
                            // initialised where it is read.
                            unsafe {
                                let y = y.add(row * t.y_stride + half * $width);
                                $store(y, if t.add { $add($load(y), sum) } else { sum });
                            }
                        }
                    }
                    return;
                }
                let mut values = [0.0f32; COLUMNS];
                for (row, sum) in sums.iter().enumerate() {
                    // SAFETY: `values` has room for two registers.
                    unsafe {
                        $store(values.as_mut_ptr(), sum[0]);
                        $store(values.as_mut_ptr().add($width), sum[1]);
                    }
                    for (column, &value) in values[..t.columns].iter().enumerate() {
                        // SAFETY: the row of `y` has `t.columns` columns, and is initialised where it is
                        // read.
                        unsafe {
                            let y = y.add(row * t.y_stride + column);
                            y.write(if t.add { y.read() + value } else { value });
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(
    #[target_feature(enable = "avx2,fma")]
    avx2,
    std::arch::x86_64,
    avx2,
    __m256,
    8,
    6,
    384,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
tiles!(
    #[target_feature(enable = "avx512f")]
    avx512,
    std::arch::x86_64,
    avx2,
    __m512,
    16,
    12,
    256,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps
);
tiles!(
    plain,
    super::lanes,
    plain,
    Lanes,
    8,
    4,
    384,
    zero,
    load,
    store,
    spread,
    add,
    times,
    times_add
);

/// Asks for memory that will be written.
#[inline(always)]
#[allow(clippy::inline_always)]
fn ask_for(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which may name any address; nothing is read or written.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    let _ = place;
}

/// Eight values, of which the compiler makes whatever registers there are.
mod lanes {
    pub(super) type Lanes = [f32; 8];

    pub(super) fn zero() -> Lanes {
        [0.0; 8]
    }

    /// # Safety
    /// There must be eight values to read.
    pub(super) unsafe fn load(from: *const f32) -> Lanes {
        // SAFETY: the caller vouches for eight values; an array of them is aligned as one is.
        unsafe { from.cast::<Lanes>().read() }
    }

    /// # Safety
    /// There must be room for eight values.
    pub(super) unsafe fn store(to: *mut f32, values: Lanes) {
        // SAFETY: the caller vouches for the room; an array of eight values is aligned as one is.
        unsafe { to.cast::<Lanes>().write(values) }
    }

    pub(super) fn spread(value: f32) -> Lanes {
        [value; 8]
    }

    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|i| a[i] + b[i])
    }

    pub(super) fn times(a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|i| a[i] * b[i])
    }

    pub(super) fn times_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // One instruction here, a call of a function elsewhere.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            return std::array::from_fn(|i| a[i].mul_add(b[i], c[i]));
        }
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
}
