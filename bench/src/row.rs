//! One measured figure, and what it is held against.

use serde::Serialize;

/// A row of the table and of `results.jsonl`. Values are medians of `n` repetitions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) n: usize,
    pub(crate) min: f64,
    pub(crate) max: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline_value: Option<f64>,
    /// `value` by `baseline_value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
}

impl Row {
    /// The median of repetitions, and their spread.
    pub(crate) fn from_samples(name: &'static str, unit: &'static str, samples: &[f64]) -> Self {
        let sorted = sorted(samples);
        Self {
            name,
            value: quantile(&sorted, 0.5),
            unit,
            n: sorted.len(),
            min: sorted.first().copied().unwrap_or(f64::NAN),
            max: sorted.last().copied().unwrap_or(f64::NAN),
            baseline: None,
            baseline_value: None,
            ratio: None,
        }
    }

    /// With what was measured beside it in the same run, in the same unit.
    pub(crate) fn against(mut self, baseline: &'static str, samples: &[f64]) -> Self {
        let value = quantile(&sorted(samples), 0.5);
        self.baseline = Some(baseline);
        self.baseline_value = Some(value);
        self.ratio = Some(self.value / value);
        self
    }

    /// The row as a line for people.
    pub(crate) fn line(&self) -> String {
        let baseline = match (self.baseline, self.baseline_value, self.ratio) {
            (Some(name), Some(value), Some(ratio)) => {
                format!("{ratio:>8.2} × {} ({name})", figure(value))
            }
            _ => String::new(),
        };
        format!(
            "{:<28} {:>10} {:<8} n={:<5} {:>10} … {:<10} {baseline}",
            self.name,
            figure(self.value),
            self.unit,
            self.n,
            figure(self.min),
            figure(self.max),
        )
    }
}

/// Three significant figures.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The nearest-rank quantile of sorted samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank is a small whole number"
)]
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank_and_the_ratio_is_by_the_baseline() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        assert!((quantile(&sorted(&samples), 0.5) - 2.0).abs() < f64::EPSILON);
        assert!((quantile(&sorted(&samples), 0.99) - 4.0).abs() < f64::EPSILON);
        let row = Row::from_samples("x", "ms", &samples).against("y", &[1.0, 1.0, 4.0]);
        assert!((row.ratio.unwrap_or(0.0) - 2.0).abs() < f64::EPSILON);
        assert_eq!(row.n, 4);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
