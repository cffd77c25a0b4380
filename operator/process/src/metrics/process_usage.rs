//! What a process uses of its machine, under the names that Prometheus' own libraries have for it
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>). It is read with each
//! scrape.

use std::fmt::Write;
use std::fs;

/// Names, kinds and meanings, in the order of the numbers of [`ProcessUsage`].
const METRICS: [(&str, &str, &str); 3] = [
    (
        "process_cpu_seconds_total",
        "counter",
        "Time of processors that the process has used",
    ),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Memory that the process has",
    ),
    (
        "process_open_fds",
        "gauge",
        "Files and connections that the process has open",
    ),
];

/// What the process uses now; what cannot be read is left out.
#[derive(Clone, Copy, Debug)]
pub struct ProcessUsage {
    numbers: [Option<f64>; 3],
}

impl ProcessUsage {
    /// Asks the kernel.
    #[must_use]
    pub fn read() -> Self {
        Self {
            numbers: [cpu_seconds(), resident_bytes(), open_files()],
        }
    }

    /// It, as Prometheus reads it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for ((name, kind, meaning), number) in METRICS.into_iter().zip(self.numbers) {
            if let Some(number) = number {
                // A text takes whatever is written.
                let _ = writeln!(
                    text,
                    "# HELP {name} {meaning}.\n# TYPE {name} {kind}\n{name} {number}"
                );
            }
        }
        text
    }

    /// The metrics as a table of the reference.
    #[must_use]
    pub fn reference_table() -> String {
        let row = |(name, kind, meaning): (&str, &str, &str)| format!("| `{name}` | {kind} | {meaning} |\n");
        let rows: String = METRICS.into_iter().map(row).collect();
        format!("| metric | kind | meaning |\n|---|---|---|\n{rows}")
    }
}

/// Fields 14 and 15 of `/proc/self/stat`; the name in field 2 may hold anything, and ends with the last `)`.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some((user + system) / f64::from(ticks))
}

/// The second field of `/proc/self/statm`, in pages.
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page = u32::try_from(rustix::param::page_size()).ok()?;
    Some(pages * f64::from(page))
}

fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(f64::from(u32::try_from(open).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_files_and_a_processor() {
        let before = ProcessUsage::read();
        let [cpu, memory, files] = before.numbers.map(Option::unwrap);
        assert!(cpu >= 0.0 && memory > 1_000_000.0 && files > 2.0, "{before:?}");
        let kept: Vec<_> = (0..100)
            .map(|_| fs::File::open("/proc/self/stat").unwrap())
            .collect();
        assert!(
            ProcessUsage::read().numbers[2].unwrap() >= 100.0,
            "{}",
            kept.len()
        );
        let text = before.text();
        for (name, kind, _) in METRICS {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n{name} ")), "{text}");
        }
    }
}
