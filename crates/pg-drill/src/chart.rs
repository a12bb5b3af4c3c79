//! A chart of past drills, as SVG. Pure.

use crate::proof::Proof;
use std::fmt::Write;
use toban_core::config::Span;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;
const FOOT: f64 = 18.0;

/// Recovery times as bars, those of failed drills marked; the objective as a line.
pub(crate) fn draw_svg(drills: &[Proof]) -> String {
    let seconds = |p: &Proof| p.recovery_seconds.unwrap_or(0.0);
    let objective = drills.last().and_then(|p| p.rto_seconds);
    let highest = drills.iter().map(seconds).chain(objective).fold(1e-3, f64::max);
    let height = |s: f64| (HEIGHT - FOOT - 12.0) * s / highest;
    let step = WIDTH / drills.len().max(1) as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" aria-label=\"Recovery times of past drills\">\n"
    );
    for (i, drill) in drills.iter().enumerate() {
        let class = if drill.passed { "good" } else { "bad" };
        let (x, h) = (step * i as f64 + step * 0.15, height(seconds(drill)).max(2.0));
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{h:.1}\"><title>{}: {}, {}</title></rect>",
            HEIGHT - FOOT - h,
            (step * 0.7).min(60.0),
            drill.started.strftime("%Y-%m-%d %H:%M UTC"),
            if drill.passed { "passed" } else { "failed" },
            drill.recovery_seconds.map_or("no recovery".into(), format_seconds),
        );
    }
    let date = |p: Option<&Proof>| p.map(|p| p.started.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let base = HEIGHT - 4.0;
    let _ = writeln!(svg, "<text x=\"0\" y=\"{base}\">{}</text>", date(drills.first()));
    if drills.len() > 1 {
        let _ = writeln!(
            svg,
            "<text x=\"{WIDTH}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
            date(drills.last())
        );
    }
    if let Some(objective) = objective {
        let y = HEIGHT - FOOT - height(objective);
        let _ = writeln!(svg, "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    }
    svg + "</svg>\n"
}

/// Seconds for people: `850ms`, `12s`, `1h 3m`.
pub(crate) fn format_seconds(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    let rounded = if seconds < 10.0 { (seconds * 1000.0).round() / 1000.0 } else { seconds.round() };
    Span(std::time::Duration::from_millis((rounded * 1000.0) as u64)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_drill() {
        let drill = |passed, seconds| Proof { passed, recovery_seconds: Some(seconds), ..Proof::default() };
        let mut drills = vec![drill(true, 60.0), drill(false, 120.0)];
        drills[1].rto_seconds = Some(90.0);
        let svg = draw_svg(&drills);
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"bad\"").count()), (2, 1));
        assert!(svg.contains("<line") && !svg.contains("NaN"), "{svg}");
        assert!(draw_svg(&[]).contains("</svg>"));
    }

    #[test]
    fn times_for_people() {
        assert_eq!(
            [format_seconds(0.85), format_seconds(12.34), format_seconds(3780.2)],
            ["850ms", "12s", "1h 3m"]
        );
    }
}
