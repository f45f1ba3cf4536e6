//! Published scores to compare with.

use serde::Serialize;

/// A system and its scores in percent, as its paper reports them.
#[derive(Serialize)]
pub(super) struct System {
    name: &'static str,
    compute: &'static str,
    tokens: &'static str,
    parameters: &'static str,
    swuggy: Option<f64>,
    sblimp: Option<f64>,
    ssc: Option<f64>,
    tsc: Option<f64>,
    gen_ppl: Option<f64>,
}

const fn system(
    [name, compute, tokens, parameters]: [&'static str; 4],
    [swuggy, sblimp, ssc, tsc, gen_ppl]: [Option<f64>; 5],
) -> System {
    System { name, compute, tokens, parameters, swuggy, sblimp, ssc, tsc, gen_ppl }
}

/// Maimon, Elmakies and Adi (2025), arXiv 2502.15814, table of results. The sWUGGY scores of other systems
/// are as quoted by Align-SLM (Lin et al., 2024).
pub(super) const SYSTEMS: [System; 11] = [
    system(
        ["GSLM", "8×V100", "1 B", "100 M"],
        [Some(64.8), Some(54.2), Some(53.3), Some(66.6), None],
    ),
    system(["SyllableLM", "4×A40", "16 B", "300 M"], [None, Some(63.7), None, Some(75.4), None]),
    system(
        ["TWIST-1.3B", "32×V100", "10.8 B", "1 B"],
        [None, Some(57.0), Some(52.4), Some(70.6), Some(131.8)],
    ),
    system(
        ["TWIST-7B", "32×V100", "36 B", "7 B"],
        [Some(73.5), Some(59.0), Some(55.3), Some(74.1), Some(93.7)],
    ),
    system(
        ["Cuervo & Marxer", "", "82 B", "823 M"],
        [None, Some(61.3), Some(56.7), Some(78.0), None],
    ),
    system(
        ["SpiritLM", "64×A100", "100 B", "7 B"],
        [Some(69.0), Some(58.3), Some(61.0), Some(82.9), None],
    ),
    system(["Moshi", "?", "720 B", "7 B"], [Some(72.6), Some(58.8), Some(60.8), Some(83.0), None]),
    system(
        ["AlignSLM-7B", "64×A100", "194 B", "7 B"],
        [Some(77.9), Some(62.3), Some(61.1), Some(86.8), None],
    ),
    system(
        ["Slam without DPO", "1×A5000, 24 h", "1.4 B", "358 M"],
        [None, Some(56.45), Some(55.59), Some(78.01), Some(88.3)],
    ),
    system(
        ["Slam", "1×A5000, 24 h", "1.4 B + 5 M", "358 M"],
        [None, Some(58.86), Some(58.04), Some(82.04), Some(62.8)],
    ),
    system(
        ["Slam scaled", "2×A100, 48 h", "16.7 B + 9 M", "358 M"],
        [None, Some(61.11), Some(61.30), Some(84.18), Some(46.6)],
    ),
];
