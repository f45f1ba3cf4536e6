//! Executors: they run indices of a work list and nothing else.

pub mod process;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use slam_recipe::Event;

/// A unit of work that stayed undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its position in the work list.
    pub index: usize,
    /// Why.
    pub message: String,
}

/// How an execution ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Units that stayed undone.
    pub failures: Vec<Failure>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Runs units of a work list.
pub trait Executor {
    /// Runs the units at `indices` of the list at `list`, passing on what the workers say. Ends when every
    /// unit is done or has failed, or soon after `cancel` is set or `on_event` breaks off; finished units stay.
    fn run(
        &self,
        list: &Path,
        indices: &[usize],
        cancel: &AtomicBool,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Execution;
}

/// Worker processes on this machine: one process a unit, so that a crash costs one unit's try.
#[derive(Clone, Debug)]
pub struct Local {
    /// The worker program.
    pub worker: PathBuf,
    /// The data root.
    pub root: PathBuf,
    /// Arguments after `worker --plan …`, e.g. `--device cpu`.
    pub arguments: Vec<String>,
    /// Variables set in the workers' environment.
    pub environment: Vec<(String, OsString)>,
    /// How many processes at once.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// How often a unit whose process died is tried in all.
    pub tries: usize,
}

enum End {
    Done,
    /// The worker said why.
    Failed(String),
    /// The worker died without a word.
    Died(String),
}

impl Local {
    fn command(&self, list: &Path, index: usize) -> Command {
        let mut command = Command::new(&self.worker);
        command
            .arg("worker")
            .arg("--plan")
            .arg(list)
            .arg("--data")
            .arg(&self.root)
            .args(["--index", &index.to_string()])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .env("RAYON_NUM_THREADS", self.threads.to_string());
        command
    }

    fn run_unit(
        &self,
        list: &Path,
        index: usize,
        stop: &dyn Fn() -> bool,
        events: &mpsc::Sender<Event>,
    ) -> End {
        let mut failed = None;
        let mut done = false;
        let status = process::run_until(&mut self.command(list, index), stop, &mut |event| {
            match &event {
                Event::Done { .. } => done = true,
                Event::Failed { message, .. } => failed = Some(message.clone()),
                _ => {}
            }
            let _ = events.send(event);
        });
        match (status, failed) {
            (Err(e), _) => End::Failed(e.to_string()),
            (Ok(status), _) if status.success() && done => End::Done,
            (Ok(_), Some(message)) => End::Failed(message),
            (Ok(status), None) => End::Died(format!("the worker process died ({status})")),
        }
    }
}

impl Executor for Local {
    fn run(
        &self,
        list: &Path,
        indices: &[usize],
        cancel: &AtomicBool,
        on_event: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Execution {
        let broken_off = AtomicBool::new(false);
        let stop = || cancel.load(Ordering::Relaxed) || broken_off.load(Ordering::Relaxed);
        let queue: Mutex<VecDeque<usize>> = Mutex::new(indices.iter().copied().collect());
        let failures = Mutex::new(Vec::new());
        let (events, said) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1).min(indices.len()) {
                let events = events.clone();
                let (queue, failures, stop) = (&queue, &failures, &stop);
                scope.spawn(move || {
                    while !stop() {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                        let Some(index) = next else { break };
                        let mut message = None;
                        for _ in 0..self.tries.max(1) {
                            match self.run_unit(list, index, stop, &events) {
                                End::Done => message = None,
                                End::Died(m) if !stop() => {
                                    tracing::warn!(index, "{m}");
                                    message = Some(m);
                                    continue;
                                }
                                End::Failed(m) | End::Died(m) => message = Some(m),
                            }
                            break;
                        }
                        if let (Some(message), false) = (message, stop()) {
                            failures
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(Failure { index, message });
                        }
                    }
                });
            }
            drop(events);
            for event in said {
                if on_event(event).is_break() {
                    broken_off.store(true, Ordering::Relaxed);
                }
            }
        });
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort_by_key(|f| f.index);
        Execution { failures, interrupted: cancel.load(Ordering::Relaxed) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    /// A worker that is a shell script; `$7` is the index.
    fn local(dir: &Path, script: &str) -> Local {
        let worker = dir.join("worker.sh");
        let hello =
            serde_json::to_string(&Event::Hello { wire: slam_recipe::wire::VERSION }).unwrap();
        fs::write(&worker, format!("#!/bin/sh\necho '{hello}'\n{script}\n")).unwrap();
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
        Local {
            worker,
            root: dir.to_owned(),
            arguments: vec![],
            environment: vec![],
            jobs: 2,
            threads: 1,
            tries: 2,
        }
    }

    #[test]
    fn a_crash_costs_one_units_try_and_an_error_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = format!(
            r#"echo $7 >> {log}
case $7 in
 1) echo '{{"event":"failed","index":1,"message":"bad row"}}'; exit 1;;
 2) kill -9 $$;;
esac
echo '{{"event":"done","index":'$7',"receipt":{{"stage":"ingest","version":1,"shard":"part-00000-of-00001","key":"k","file":"f","rows":1,"bytes":1,"blake3":"b","quarantined":0,"device":"cpu","seconds":0.1}}}}'"#,
            log = log.display()
        );
        let mut done = 0;
        let report = local(dir.path(), &script).run(
            Path::new("list"),
            &[0, 1, 2, 3],
            &AtomicBool::new(false),
            &mut |e| {
                done += usize::from(matches!(e, Event::Done { .. }));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(done, 2);
        assert_eq!(report.failures.len(), 2);
        assert_eq!(report.failures[0], Failure { index: 1, message: "bad row".into() });
        assert!(report.failures[1].message.contains("died"), "{report:?}");
        let mut tried: Vec<_> =
            fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
        tried.sort();
        assert_eq!(tried, ["0", "1", "2", "2", "3"]);
    }

    #[test]
    fn cancelling_stops_the_workers_and_starts_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let local = local(dir.path(), "exec sleep 60");
        let report = thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                cancel.store(true, Ordering::Relaxed);
            });
            local.run(Path::new("list"), &[0, 1, 2, 3, 4], &cancel, &mut |_| {
                ControlFlow::Continue(())
            })
        });
        assert!(report.interrupted && report.failures.is_empty());
    }

    #[test]
    fn whoever_listens_can_break_off() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"echo '{"event":"note","text":"mostly broken"}'; exec sleep 60"#;
        let mut local = local(dir.path(), script);
        local.jobs = 1;
        let cancel = AtomicBool::new(false);
        let mut said = 0;
        let report = local.run(Path::new("list"), &[0, 1, 2], &cancel, &mut |_| {
            said += 1;
            ControlFlow::Break(())
        });
        assert_eq!((said, report), (1, Execution::default()));
    }
}
