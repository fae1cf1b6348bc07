//! The SVG plot of a result: one panel for each case and metric, a bar for Toro and one for the reference.
//!
//! Metrics differ in unit by orders of magnitude, so every panel has its own scale, from zero to its
//! longest bar; the whisker on the first bar is the range over the rounds.

use std::fmt::Write as _;

use super::report::Row;
use super::table::number;

const LABEL_WIDTH: f64 = 330.0;
const BAR_SPACE: f64 = 420.0;
const WIDTH: f64 = LABEL_WIDTH + BAR_SPACE + 300.0;
const PANEL_HEIGHT: f64 = 46.0;
const BAR_HEIGHT: f64 = 15.0;
const TORO_COLOUR: &str = "#c0392b";
const REFERENCE_COLOUR: &str = "#7f8c8d";

/// Renders `rows` under `title` as one SVG picture.
pub(crate) fn render(title: &str, rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|r| r.toro.or(r.reference).is_some())
        .collect();
    let height = rows.iter().fold(60.0, |height, _| height + PANEL_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        16.0,
        26.0,
        &format!("font-size=\"16\" fill=\"{}\"", "#222"),
        title,
    );
    let mut top = 46.0;
    for row in rows {
        panel(&mut svg, top, row);
        top += PANEL_HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Draws the label and the bars of `row` with the upper edge at `top`.
fn panel(svg: &mut String, top: f64, row: &Row) {
    text(
        svg,
        16.0,
        top + 13.0,
        "font-weight=\"bold\" fill=\"#222\"",
        &row.metric,
    );
    text(
        svg,
        16.0,
        top + 29.0,
        "fill=\"#666\"",
        &format!("{}, {}", row.case, row.unit),
    );
    let longest = [row.toro, row.reference, row.max]
        .into_iter()
        .flatten()
        .fold(f64::MIN_POSITIVE, f64::max);
    let scale = BAR_SPACE / longest;
    if let Some(value) = row.toro {
        bar(
            svg,
            top,
            value,
            scale,
            TORO_COLOUR,
            &format!("{} toro", number(value)),
        );
        if let (Some(min), Some(max)) = (row.min, row.max) {
            whisker(svg, top + BAR_HEIGHT / 2.0, min * scale, max * scale);
        }
    }
    if let Some(value) = row.reference {
        let name = row.reference_name.as_deref().unwrap_or("reference");
        let label = format!("{} {name}", number(value));
        bar(
            svg,
            top + BAR_HEIGHT + 3.0,
            value,
            scale,
            REFERENCE_COLOUR,
            &label,
        );
    }
}

fn bar(svg: &mut String, top: f64, value: f64, scale: f64, colour: &str, label: &str) {
    let length = (value * scale).max(1.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{LABEL_WIDTH}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{colour}\"/>"
    );
    text(
        svg,
        LABEL_WIDTH + length + 6.0,
        top + 12.0,
        "fill=\"#222\"",
        label,
    );
}

fn whisker(svg: &mut String, y: f64, from: f64, to: f64) {
    let (x1, x2) = (LABEL_WIDTH + from.max(0.0), LABEL_WIDTH + to.max(0.0));
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y:.1}\" x2=\"{x2:.1}\" y2=\"{y:.1}\" stroke=\"#222\" stroke-width=\"1.5\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, content: &str) {
    let safe = content
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{safe}</text>");
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::bench::report::Report;

    #[test]
    fn draws_a_bar_for_each_side_and_escapes_text() {
        let mut report = Report::new("x");
        report
            .series("a < b & c", "rate", "requests/s")
            .add(None, 20.0);
        report
            .series("a < b & c", "rate", "requests/s")
            .add(Some("nginx"), 10.0);
        let svg = render("title", &report.rows());
        assert_eq!(svg.matches("<rect x=").count(), 2);
        assert!(svg.contains("width=\"420.0\"") && svg.contains("width=\"210.0\""));
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn leaves_out_rows_without_a_value() {
        let mut report = Report::new("x");
        let _ = report.series("c", "m", "u");
        assert_eq!(render("t", &report.rows()).matches("<rect x=").count(), 0);
    }
}
