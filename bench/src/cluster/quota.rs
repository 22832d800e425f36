//! A share of the machine's cores for one process: a control group of Linux (version 1 or 2), made before it and gone after it. Knows no process.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Where Linux has control groups of processors: version 1, then version 2, whose root has to hand the controller on.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"];
/// After so many microseconds whoever used up its share goes on: short, so that an answer waits little.
const PERIOD_US: u32 = 10_000;

/// The group. It has to outlive its process.
#[derive(Debug)]
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// Makes a group whose processes may use so many cores together. Needs root.
    pub fn make(name: &str, cores: f64) -> Result<Self, Failure> {
        Self::make_in(&ROOTS.map(Path::new), name, cores)
    }

    fn make_in(roots: &[&Path], name: &str, cores: f64) -> Result<Self, Failure> {
        let has = |root: &&&Path| root.join("cgroup.procs").exists();
        let root = roots
            .iter()
            .find(has)
            .ok_or("this system has no control groups")?;
        let folder = root.join(format!("thenar-bench-{}-{name}", std::process::id()));
        let failed = |e| format!("no quota for {name} in {}: {e} (it takes root)", folder.display());
        fs::create_dir(&folder).map_err(failed)?;
        let quota = Self {
            folder: folder.clone(),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cores are few and positive"
        )]
        let share_us = (cores * f64::from(PERIOD_US)).round() as u32;
        let write = |file: &str, text: String| fs::write(folder.join(file), text).map_err(failed);
        if folder.join("cpu.cfs_quota_us").exists() {
            write("cpu.cfs_period_us", PERIOD_US.to_string())?;
            write("cpu.cfs_quota_us", share_us.to_string())?;
        } else {
            write("cpu.max", format!("{share_us} {PERIOD_US}"))?;
        }
        Ok(quota)
    }

    /// What runs a command that follows it within the group, in its own place.
    pub fn within(&self) -> Vec<String> {
        let members = self.folder.join("cgroup.procs");
        let enter = "echo $$ > \"$0\" && exec \"$@\"";
        let members = members.display().to_string();
        vec!["sh".to_owned(), "-c".to_owned(), enter.to_owned(), members]
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            crate::progress(format!("{} is left behind: {error}", self.folder.display()));
        }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
