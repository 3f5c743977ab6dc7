//! How much memory processes have that were started here.

use std::fs;

/// Resident memory of a process and of all that it has started, in bytes; pages
/// that several share are counted in each. `None` where the system does not say.
#[must_use]
pub fn of_tree(process: u32) -> Option<u64> {
    Some(resident(process)? + of_descendants(process).unwrap_or(0))
}

/// The same without the process itself.
#[must_use]
pub fn of_descendants(process: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    Some(children.iter().filter_map(|child| of_tree(*child)).sum())
}

fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
