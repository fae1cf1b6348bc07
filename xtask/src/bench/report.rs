//! The result of a bench verb: series of measurements, and the three files they are written to.
//!
//! A [`Report`] is filled sample by sample while the rounds run; each [`Series`] holds one metric of one
//! case for Toro and for the reference. At the end [`Report::write`] leaves `NAME.txt`, `NAME.svg` and
//! `NAME.json` in the folder of results and prints the table.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::stats::{Summary, paired_ratio};
use super::{plot, table};

/// One metric of one case, sample by sample, on both sides.
#[derive(Debug, Default)]
pub(crate) struct Series {
    case: String,
    metric: String,
    unit: String,
    reference_name: Option<String>,
    /// Samples of the Toro image, one for each round.
    pub(crate) toro: Vec<f64>,
    /// Samples of the reference, in the same rounds.
    pub(crate) reference: Vec<f64>,
}

/// One line of the result, as it stands in the JSON file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was done: the machine, the load.
    pub(crate) case: String,
    /// What was measured.
    pub(crate) metric: String,
    /// Unit of `toro`, `reference`, `min` and `max`.
    pub(crate) unit: String,
    /// Median of the image; missing if only the reference was measured.
    pub(crate) toro: Option<f64>,
    /// Median of the reference; missing if there is none.
    pub(crate) reference: Option<f64>,
    /// What the reference is.
    pub(crate) reference_name: Option<String>,
    /// Median of `toro / reference` over the rounds.
    pub(crate) ratio: Option<f64>,
    /// Smallest sample of the image, or of the reference if it stands alone.
    pub(crate) min: Option<f64>,
    /// Largest sample of the image, or of the reference if it stands alone.
    pub(crate) max: Option<f64>,
    /// How many samples there are.
    pub(crate) runs: usize,
}

/// Everything that one bench verb found.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    series: Vec<Series>,
    notes: Vec<String>,
    load_at_start: String,
    failures: usize,
}

impl Report {
    /// Starts the report of the verb `name`.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            series: Vec::new(),
            notes: Vec::new(),
            load_at_start: load_average(),
            failures: 0,
        }
    }

    /// The series for `metric` of `case`, made when it is first asked for.
    pub(crate) fn series(&mut self, case: &str, metric: &str, unit: &str) -> &mut Series {
        let found = self
            .series
            .iter()
            .position(|s| s.case == case && s.metric == metric);
        let index = found.unwrap_or_else(|| {
            self.series.push(Series {
                case: case.to_owned(),
                metric: metric.to_owned(),
                unit: unit.to_owned(),
                ..Series::default()
            });
            self.series.len() - 1
        });
        &mut self.series[index]
    }

    /// Adds a line of prose below the table: how it was measured, what went wrong.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a line about something that did not work; [`write`](Self::write) will end in an error.
    pub(crate) fn fail(&mut self, text: impl std::fmt::Display) {
        self.failures += 1;
        self.note(format!("FAILED: {text}"));
    }

    /// The lines of the result that have a value: case by case, in the order in which they were first measured.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let first = |case: &str| self.series.iter().position(|series| series.case == case);
        let mut rows: Vec<Row> = self.series.iter().map(Series::row).collect();
        rows.retain(|row| row.runs > 0);
        rows.sort_by_key(|row| first(&row.case));
        rows
    }

    /// Writes the table, the plot and the JSON file into `folder`, and prints the table; nothing if nothing was measured.
    ///
    /// # Errors
    /// Also fails, once all is written, if something that was measured did not work.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let rows = self.rows();
        if rows.is_empty() {
            return Ok(());
        }
        let mut text = table::render(&rows);
        for note in &self.notes {
            text.push_str(&format!("\n{note}"));
        }
        let (before, after) = (&self.load_at_start, load_average());
        text.push_str(&format!(
            "\nLoad average of the host: {before} before, {after} after."
        ));
        text.push('\n');
        let mut json = serde_json::to_string_pretty(&rows)?;
        json.push('\n');
        let svg = plot::render(&format!("cargo xtask bench {}", self.name), &rows);
        fs::create_dir_all(folder)?;
        for (ending, content) in [("txt", &text), ("svg", &svg), ("json", &json)] {
            let path = folder.join(format!("{}.{ending}", self.name));
            fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        println!(
            "\n{text}\nwritten: {}/{}.{{txt,svg,json}}",
            folder.display(),
            self.name
        );
        ensure!(
            self.failures == 0,
            "{} things did not work, see above",
            self.failures
        );
        Ok(())
    }
}

/// How busy the host has been in the last minute: above its number of cores, times and rates mean little.
fn load_average() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split(' ').next().unwrap_or_default().to_owned()
}

impl Series {
    /// Adds a sample of Toro (`reference` is `None`) or of the reference of that name.
    pub(crate) fn add(&mut self, reference: Option<&str>, sample: f64) {
        match reference {
            None => self.toro.push(sample),
            Some(name) => {
                self.reference_name = Some(name.to_owned());
                self.reference.push(sample);
            }
        }
    }

    fn row(&self) -> Row {
        let toro = Summary::of(&self.toro);
        let reference = Summary::of(&self.reference);
        let range = toro.or(reference);
        Row {
            case: self.case.clone(),
            metric: self.metric.clone(),
            unit: self.unit.clone(),
            toro: toro.map(|s| s.median),
            reference: reference.map(|s| s.median),
            reference_name: self.reference_name.clone(),
            ratio: paired_ratio(&self.toro, &self.reference),
            min: range.map(|s| s.min),
            max: range.map(|s| s.max),
            runs: if toro.is_some() {
                self.toro.len()
            } else {
                self.reference.len()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn joins_both_sides_in_one_row() {
        let mut report = Report::new("x");
        for (toro, linux) in [(10.0, 5.0), (30.0, 10.0), (20.0, 10.0)] {
            report.series("c", "m", "u").add(None, toro);
            report.series("c", "m", "u").add(Some("linux"), linux);
        }
        let rows = report.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].toro, rows[0].reference), (Some(20.0), Some(10.0)));
        assert_eq!((rows[0].ratio, rows[0].runs), (Some(2.0), 3));
        assert_eq!((rows[0].min, rows[0].max), (Some(10.0), Some(30.0)));
        assert_eq!(rows[0].reference_name.as_deref(), Some("linux"));
    }

    #[test]
    fn a_reference_alone_keeps_its_range_and_json_has_every_field() {
        let mut report = Report::new("x");
        report.series("c", "m", "u").add(Some("linux"), 4.0);
        let json = serde_json::to_value(report.rows()).expect("rows are plain data");
        assert_eq!(json[0]["toro"], serde_json::Value::Null);
        assert_eq!(json[0]["min"], 4.0);
        let fields = json[0].as_object().expect("a row is an object").len();
        assert_eq!(fields, 10);
    }
}
