//! What a tree of processes has used, read from /proc: CPU in the scheduler's own nanoseconds, memory from the page
//! tables, and how busy the machine was besides.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a tick of /proc/stat lasts, microseconds: USER_HZ is 100 on every Linux.
const TICK_US: f64 = 10_000.0;

/// What a tree of processes has used since it began, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// On a core, to the nanosecond.
    pub cpu_us: f64,
    /// Ready, but another had the core.
    pub waited_us: f64,
    /// Of the CPU time, sampled by ticks: outside the kernel.
    pub user_us: f64,
    /// Of the CPU time, sampled by ticks: inside the kernel.
    pub system_us: f64,
}

/// Memory of a tree of processes, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is resident.
    pub resident_kib: f64,
    /// Without pages of files.
    pub anonymous_kib: f64,
}

/// The process and all its descendants.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.get(pid).into_iter().flatten());
        next += 1;
    }
    found
}

/// What the process and its descendants have used so far.
pub fn usage(root: u32) -> Usage {
    let mut sum = Usage::default();
    for pid in tree(root) {
        let ticks = |fields: &[String], at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
        if let Some(fields) = stat(pid) {
            sum.user_us += ticks(&fields, 11).unwrap_or(0.0) * TICK_US;
            sum.system_us += ticks(&fields, 12).unwrap_or(0.0) * TICK_US;
        }
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let mut fields = text.split_whitespace().map(|field| field.parse::<f64>().unwrap_or(0.0));
            sum.cpu_us += fields.next().unwrap_or(0.0) / 1_000.0;
            sum.waited_us += fields.next().unwrap_or(0.0) / 1_000.0;
        }
    }
    sum
}

/// CPU microseconds of this process and of its children that have ended.
pub fn own_us() -> f64 {
    let fields = stat(std::process::id()).unwrap_or_default();
    fields.iter().skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * TICK_US
}

/// CPU microseconds that all cores together were busy.
pub fn busy_us() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, irq and softirq; neither idle nor waiting for a disk
    [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum::<f64>() * TICK_US
}

/// Memory of the process and its descendants.
pub fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(root) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let kib = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
        };
        sum.resident_kib += kib("VmRSS:");
        sum.anonymous_kib += kib("RssAnon:");
    }
    sum
}

/// Most files a process of ours may have open.
pub fn files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    match line.split_whitespace().nth(1) {
        Some("unlimited") => usize::MAX,
        hard => hard.and_then(|hard| hard.parse().ok()).unwrap_or(1_024),
    }
}

/// Where a program is, if it is installed; system programs are found even if PATH leaves their folders out.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
    folders.find_map(|folder| Some(Path::new(folder).join(name)).filter(|file| file.is_file()))
}

/// The fields of /proc/PID/stat after the command's name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
