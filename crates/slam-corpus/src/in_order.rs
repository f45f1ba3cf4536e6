//! Runs work on all cores and returns the results in the order of the items, with few results in memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The number of results of one item that can wait to be taken.
const RESULTS_AHEAD: usize = 2;
/// The number of items that are begun before the results of the first of them are taken.
const ITEMS_AHEAD: usize = 32;

/// Where an item sends its results. An item may have any number of them.
pub(crate) struct Results<R>(SyncSender<R>);

impl<R> Results<R> {
    /// Sends a result as soon as there is room. Returns `false` if nobody takes results any more.
    pub(crate) fn push(&self, result: R) -> bool {
        self.0.send(result).is_ok()
    }
}

/// Works on `items` with `threads` threads. `take` receives the results of the first item, then a `None`,
/// then those of the second, and so on. An error from `take` ends the work.
///
/// At most two results of each of 32 items are in memory, however many items there are and however long one
/// takes.
pub(crate) fn run<I, R, E>(
    threads: usize,
    items: impl Iterator<Item = I> + Send,
    work: impl Fn(I, &Results<R>) + Sync,
    mut take: impl FnMut(Option<R>) -> Result<(), E>,
) -> Result<(), E>
where
    I: Send,
    R: Send,
{
    let items = Mutex::new(items);
    let (begun, queue) = sync_channel::<Receiver<R>>(ITEMS_AHEAD);
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (items, work, begun) = (&items, &work, begun.clone());
            scope.spawn(move || {
                loop {
                    // Take the item under the lock, so that the receivers queue in the order of the items.
                    let mut next = items.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(item) = next.next() else { return };
                    let (results, of_item) = sync_channel(RESULTS_AHEAD);
                    if begun.send(of_item).is_err() {
                        return;
                    }
                    drop(next);
                    work(item, &Results(results));
                }
            });
        }
        drop(begun);
        // The queue is owned here. If `take` fails, the queue is dropped and the threads end: no thread
        // waits for room forever.
        let queue = queue;
        for of_item in queue {
            for result in of_item {
                take(Some(result))?;
            }
            take(None)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_come_in_order_whoever_is_fast() {
        for threads in [1, 3] {
            let mut seen = Vec::new();
            let work = |i: u64, results: &Results<u64>| {
                if i.is_multiple_of(5) {
                    thread::sleep(Duration::from_millis(2));
                }
                (0..i % 4).all(|k| results.push(10 * i + k));
            };
            run(threads, 0..100, work, |r| {
                seen.push(r);
                Ok::<_, ()>(())
            })
            .unwrap();
            let expected: Vec<_> = (0..100_u64)
                .flat_map(|i| (0..i % 4).map(move |k| Some(10 * i + k)).chain([None]))
                .collect();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn an_error_ends_the_work_and_little_is_begun_in_vain() {
        let begun = AtomicUsize::new(0);
        let work = |i: usize, results: &Results<usize>| {
            begun.fetch_add(1, Ordering::Relaxed);
            while results.push(i) {}
        };
        let result = run(2, 0..10_000, work, |r| if r.is_some() { Err("full") } else { Ok(()) });
        assert_eq!(result, Err("full"));
        assert!(begun.into_inner() <= 2 * ITEMS_AHEAD);
    }
}
