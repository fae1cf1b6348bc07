//! [`Text`]: metrics in the text format that Prometheus reads (exposition format 0.0.4).

use alloc::string::String;
use core::fmt::{self, Write as _};

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
}

/// A text that grows by one family after the other.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family: the samples that follow are of it. `name` and `help` hold no line break and no backslash.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Adds a value with its labels: `name{label="value"} 12`.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.part("", labels, value);
    }

    /// Adds a value whose name is that of the family with `suffix` behind it, as the parts of a histogram have.
    pub fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let family = self.family;
        self.write(format_args!("{family}{suffix}"));
        for (index, (label, content)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            self.write(format_args!("{open}{label}=\""));
            for char in content.chars() {
                match char {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{close} {value}\n"));
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.out
    }

    fn write(&mut self, what: fmt::Arguments<'_>) {
        self.out
            .write_fmt(what)
            .expect("writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples_are_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.family("toro_things_total", Kind::Counter, "Things.");
        text.sample(&[], 3);
        text.sample(&[("core", "0"), ("name", "a\"b\\c\nd")], 4);
        text.family("toro_wait_seconds", Kind::Histogram, "Waits.");
        text.part("_bucket", &[("le", "+Inf")], 5);
        assert_eq!(
            text.finish(),
            "# HELP toro_things_total Things.\n# TYPE toro_things_total counter\ntoro_things_total 3\n\
             toro_things_total{core=\"0\",name=\"a\\\"b\\\\c\\nd\"} 4\n\
             # HELP toro_wait_seconds Waits.\n# TYPE toro_wait_seconds histogram\n\
             toro_wait_seconds_bucket{le=\"+Inf\"} 5\n"
        );
    }
}
