//! The text table of a result: one line a row, columns as wide as they need to be.

use super::report::Row;

const HEAD: [&str; 8] = [
    "case",
    "metric",
    "unit",
    "toro",
    "range",
    "reference",
    "ratio",
    "reference is",
];

/// Renders `rows` as an aligned table with a head line.
pub(crate) fn render(rows: &[Row]) -> String {
    let lines: Vec<[String; 8]> = rows.iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = join(&HEAD.map(str::to_owned), &widths);
    out.push_str(&join(&widths.map(|width| "-".repeat(width)), &widths));
    for line in &lines {
        out.push_str(&join(line, &widths));
    }
    out
}

fn cells(row: &Row) -> [String; 8] {
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    let range = match (row.min, row.max) {
        (Some(min), Some(max)) if row.runs > 1 => format!("{}..{}", number(min), number(max)),
        _ => "-".to_owned(),
    };
    [
        row.case.clone(),
        row.metric.clone(),
        row.unit.clone(),
        optional(row.toro),
        range,
        optional(row.reference),
        row.ratio
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
        row.reference_name.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn join(cells: &[String; 8], widths: &[usize; 8]) -> String {
    let mut line = String::new();
    for (index, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        // Numbers stand to the right, words to the left.
        let padded = match index {
            3..=6 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        };
        line.push_str(&padded);
        line.push_str("  ");
    }
    format!("{}\n", line.trim_end())
}

/// A number with about four digits that count, and commas between thousands.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        a if a >= 1000.0 || a == a.trunc() => 0,
        a if a >= 100.0 => 1,
        a if a >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{value:.decimals$}");
    let (sign, digits) = plain
        .strip_prefix('-')
        .map_or(("", plain.as_str()), |rest| ("-", rest));
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::{number, render};
    use crate::bench::report::Report;

    #[test]
    fn writes_numbers_to_be_read() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.0, "0");
        check(0.25, "0.250");
        check(12.345, "12.35");
        check(123.45, "123.5");
        check(1_234_567.8, "1,234,568");
        check(-1234.0, "-1,234");
    }

    #[test]
    fn aligns_columns_and_marks_what_is_missing() {
        let mut report = Report::new("x");
        report
            .series("10 connections", "rate", "requests/s")
            .add(None, 3140.0);
        let text = render(&report.rows());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].find("metric"), lines[2].find("rate"));
        assert!(lines[2].contains("3,140"));
        assert!(lines[2].ends_with('-'));
    }
}
