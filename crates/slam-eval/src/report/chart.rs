//! Line charts as SVG. The page's style sets their colours, so that they are readable in light and dark
//! mode.

use std::fmt::Write;

use serde::Serialize;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// Points joined by a line.
pub(super) struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    pub(super) fn new(label: &str, points: Vec<(f64, f64)>) -> Self {
        let finite = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        Self { label: label.to_owned(), points: finite }
    }
}

/// A chart.
#[derive(Clone, Serialize)]
pub(super) struct Chart {
    title: String,
    unit: String,
    /// Labels of the lines, in the order of their colours.
    labels: Vec<String>,
    svg: String,
}

impl Chart {
    /// Draws a chart of the lines that have points, or returns `None` if no line has two.
    pub(super) fn new(title: &str, unit: &str, x_unit: &str, lines: Vec<Line>) -> Option<Self> {
        let lines: Vec<Line> = lines.into_iter().filter(|l| !l.points.is_empty()).collect();
        if lines.iter().all(|l| l.points.len() < 2) {
            return None;
        }
        let bounds = |pick: fn(&(f64, f64)) -> f64| {
            let values = || lines.iter().flat_map(|l| &l.points).map(pick);
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let x = Axis::new(bounds(|p| p.0), LEFT, WIDTH - RIGHT);
        let y = Axis::new(bounds(|p| p.1), HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title} over {x_unit}">"#
        );
        for tick in y.ticks() {
            let at = y.at(tick);
            let _ = write!(
                svg,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        for tick in x.ticks() {
            let _ = write!(
                svg,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x.at(tick),
                HEIGHT - BOTTOM + 18.0,
                number(tick)
            );
        }
        for (i, line) in lines.iter().enumerate() {
            let points: Vec<String> =
                line.points.iter().map(|p| format!("{:.1},{:.1}", x.at(p.0), y.at(p.1))).collect();
            let _ = write!(svg, r#"<polyline class="line{i}" points="{}"/>"#, points.join(" "));
            if line.points.len() < 2 {
                let (px, py) = line.points[0];
                let _ = write!(
                    svg,
                    r#"<circle class="line{i}" cx="{:.1}" cy="{:.1}" r="3"/>"#,
                    x.at(px),
                    y.at(py)
                );
            }
        }
        svg.push_str("</svg>");
        let labels = lines.into_iter().map(|l| l.label).collect();
        Some(Self { title: title.to_owned(), unit: unit.to_owned(), labels, svg })
    }
}

/// A linear axis with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new((low, high): (f64, f64), from: f64, to: f64) -> Self {
        // A flat line gets room above and below.
        let span = if high > low { high - low } else { low.abs().max(1.0) };
        let rough = span / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|s| *s >= rough)
            .unwrap_or(rough);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low, high: if high > low { high } else { low + step }, step, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count.min(20)).map(|i| self.low + i as f64 * self.step)
    }
}

/// Returns a short number: `1.5M`, `20k`, `0.25`, `1e-4`.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    let (scaled, suffix) = match magnitude {
        m if m >= 1e9 => (value / 1e9, "G"),
        m if m >= 1e6 => (value / 1e6, "M"),
        m if m >= 1e4 => (value / 1e3, "k"),
        m if m != 0.0 && m < 1e-2 => return format!("{value:.0e}"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_point_lies_inside_the_chart() {
        let points = (0..50).map(|i| (f64::from(i) * 1000.0, 5.0 / f64::from(i + 1))).collect();
        let chart = Chart::new("Loss", "", "tokens", vec![Line::new("training", points)]).unwrap();
        let list = chart.svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        for point in list.split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x.parse().unwrap()), "{point}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&y.parse().unwrap()), "{point}");
        }
    }

    #[test]
    fn broken_and_flat_values_draw_or_are_left_out() {
        let line = |points| vec![Line::new("x", points)];
        assert!(Chart::new("a", "", "t", line(vec![(0.0, f64::NAN), (1.0, f64::NAN)])).is_none());
        let flat = Chart::new("a", "", "t", line(vec![(0.0, 2.0), (1.0, 2.0)])).unwrap();
        assert!(!flat.svg.contains("NaN") && !flat.svg.contains("inf"));
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1.5e6, 20_000.0, 2000.0, 0.25, 1e-4, 0.0].map(number);
        assert_eq!(shown, ["1.5M", "20k", "2000", "0.25", "1e-4", "0"]);
    }
}
