//! Work on many items at once whose results come in the items' order, in bounded memory.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Results of one item that may wait to be taken.
const WAITING: usize = 64;

/// Runs `work` for every item on `workers` threads; each call gives any number of results, and `take` gets
/// all of them in the order of the items.
///
/// An item's worker waits when 64 of its results were not taken yet, and no more than three items a worker
/// are begun, so that memory does not grow with the list or with an item. `work` learns from `false` that
/// nobody takes results any more.
///
/// # Errors
/// The first error of `take`, which ends everything.
pub(crate) fn ordered<T, R: Send, E>(
    items: impl Iterator<Item = T> + Send,
    workers: usize,
    work: impl Fn(T, &mut dyn FnMut(R) -> bool) + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let workers = workers.max(1);
    let (begun, results) = sync_channel::<Receiver<R>>(2 * workers);
    let queue = Mutex::new((items, begun));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        // One lock for both: items stand in the queue in their order.
                        let Ok(mut guard) = queue.lock() else { return };
                        let Some(item) = guard.0.next() else { return };
                        let (give, receiver) = sync_channel(WAITING);
                        if guard.1.send(receiver).is_err() {
                            return;
                        }
                        drop(guard);
                        work(item, &mut |result| give.send(result).is_ok());
                    }
                })
            })
            .collect();
        // The queue keeps a sender: the end is when all threads are done, not when it is closed.
        let mut done = Ok(());
        loop {
            let receiver = if threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                match results.try_recv() {
                    Ok(receiver) => receiver,
                    Err(_) => break,
                }
            } else {
                match results.recv_timeout(std::time::Duration::from_millis(20)) {
                    Ok(receiver) => receiver,
                    Err(_) => continue,
                }
            };
            done = receiver.into_iter().try_for_each(&mut take);
            if done.is_err() {
                break;
            }
        }
        drop(results);
        done
    })
}
