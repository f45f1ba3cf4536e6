//! Independent pieces of work side by side, each on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pools of one thread, as many as the machine's own pool has threads; empty where they can't be started.
fn lanes() -> &'static [ThreadPool] {
    static LANES: OnceLock<Vec<ThreadPool>> = OnceLock::new();
    LANES.get_or_init(|| {
        let lane = |i| {
            let name = move |_| format!("lane-{i}");
            ThreadPoolBuilder::new().num_threads(1).thread_name(name).build()
        };
        let threads = rayon::current_num_threads();
        (0..threads).map(lane).collect::<Result<_, _>>().unwrap_or_default()
    })
}

/// The results of `work` on each item, in order.
///
/// A lane takes one item after the other, the largest (by `size`) first, and what runs in it uses one thread: no
/// thread waits for another inside an item. An item that is more than a lane's share of all is done before by all
/// threads together. Within a lane, or on one thread, this is a loop. `work` must give the same result on any
/// number of threads.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    size: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if items.len() < 2 || rayon::current_num_threads() == 1 || lanes().len() < 2 {
        return items.iter().map(work).collect();
    }
    let lanes = lanes();
    let sizes: Vec<usize> = items.iter().map(size).collect();
    let share = sizes.iter().sum::<usize>() / lanes.len();
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sizes[i]));
    let large = order.iter().take_while(|&&i| sizes[i] > share.max(1)).count();
    let mut done: Vec<(usize, R)> = order[..large].iter().map(|&i| (i, work(&items[i]))).collect();
    let rest = &order[large..];
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(rest.len()));
    std::thread::scope(|scope| {
        for lane in lanes.iter().take(rest.len()) {
            let (next, results, work) = (&next, &results, &work);
            scope.spawn(move || {
                lane.install(|| {
                    while let Some(&i) = rest.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = work(&items[i]);
                        results.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
                    }
                });
            });
        }
    });
    done.extend(results.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.par_sort_unstable_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 2, 3, 50] {
            let items: Vec<usize> = (0..count).map(|i| i * 7 % 50).collect();
            let results = map(&items, |i| *i, |i| (*i, rayon::current_num_threads()));
            assert_eq!(results.iter().map(|r| r.0).collect::<Vec<_>>(), items);
        }
    }

    #[test]
    fn an_item_within_an_item_stays_on_its_thread() {
        let items: Vec<usize> = (0..20).collect();
        let sums = map(&items, |_| 1, |&i| map(&items, |_| 1, |j| i * j).iter().sum::<usize>());
        assert_eq!(sums, items.iter().map(|i| i * 190).collect::<Vec<_>>());
    }
}
