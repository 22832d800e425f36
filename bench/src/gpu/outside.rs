//! Programs that a GPU run starts: the driver's tool, the library's tests, PyTorch. Measures nothing in this process.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Plan, Report, Tests};
use crate::{Failure, progress};

/// Tests that need a GPU, by the path of their modules.
const TESTS: &str = "engine::gpu";

/// What NVIDIA's tool says of each GPU.
pub(super) fn devices() -> Option<Vec<String>> {
    let output = Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,driver_version,memory.total,pci.bus_id,clocks.max.sm,clocks.max.memory",
            "--format=csv,noheader",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().map(str::to_owned).collect())
}

/// Runs the GPU tests of the library's test program; what they print goes on to standard error.
pub(super) fn tests(program: &Path) -> Result<Tests, Failure> {
    progress("running the GPU tests");
    let output = Command::new(program)
        .args([TESTS, "--test-threads", "2"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    progress(&text);
    let summary = text
        .lines()
        .rfind(|line| line.starts_with("test result"))
        .unwrap_or("no result")
        .to_owned();
    Ok(Tests {
        // A filter that selects nothing passes too, and says nothing.
        passed: output.status.success() && !summary.contains(" 0 passed"),
        summary,
    })
}

/// Runs PyTorch's program over the same sizes and keeps each line it says.
pub(super) fn torch(plan: &Plan, program: &Path, report: &mut Report) {
    progress("running PyTorch");
    let list = |numbers: &[usize]| {
        numbers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let output = Command::new(&plan.python)
        .arg(program)
        .args([
            "--rows",
            &list(&plan.rows),
            "--dims",
            &list(&plan.dims),
            "--batches",
            &list(&plan.batches),
        ])
        .args(["--budget-ms", &plan.budget_ms.to_string()])
        .stderr(Stdio::inherit())
        .output();
    match output {
        Err(error) => report.skip("PyTorch", format!("{}: {error}", plan.python.display())),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            report.torch = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            if !output.status.success() {
                report.skip("PyTorch", format!("its program ended with {}", output.status));
            }
        }
    }
}
