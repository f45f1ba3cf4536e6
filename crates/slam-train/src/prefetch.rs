//! Threads that make steps ahead of the device. Which thread makes which step is fixed, and a step is a
//! function of its number, so their count changes nothing but the waiting.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use crate::error::TrainError;
use crate::objective::Steps;

/// Steps that each thread holds ready; with the step's size it bounds the memory.
const AHEAD: usize = 2;

/// Hands out steps in order.
pub(crate) enum Prefetch<'a, M> {
    /// Makes each step when it is asked for.
    Inline { maker: Steps<'a, M>, next: u64 },
    /// Thread `n` of `N` makes the steps `first + n`, `first + n + N`, ….
    Threads { queues: Vec<Receiver<Vec<M>>>, turn: usize },
}

impl<'a, M: Send + 'static> Prefetch<'a, M> {
    /// Starts a thread for each maker but, where there is one alone and `threads` is 0, none.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'a>,
        threads: usize,
        maker: impl Fn() -> Steps<'a, M>,
        first: u64,
    ) -> Self
    where
        'a: 'scope,
    {
        if threads == 0 {
            return Self::Inline { maker: maker(), next: first };
        }
        let queues = (0..threads)
            .map(|n| {
                let (ready, queue) = sync_channel(AHEAD);
                let mut make = maker();
                scope.spawn(move || {
                    let mut step = first + n as u64;
                    // Ends when the run ends and drops its side of the queue.
                    while ready.send(make(step)).is_ok() {
                        step += threads as u64;
                    }
                });
                queue
            })
            .collect();
        Self::Threads { queues, turn: 0 }
    }

    /// The parts of the next step.
    pub(crate) fn next(&mut self) -> Result<Vec<M>, TrainError> {
        match self {
            Self::Inline { maker, next } => {
                let step = *next;
                *next += 1;
                Ok(maker(step))
            }
            Self::Threads { queues, turn } => {
                let queue = &queues[*turn];
                *turn = (*turn + 1) % queues.len();
                queue.recv().map_err(|_| TrainError::DataThread)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_number_of_threads_gives_the_same_steps() {
        for threads in 0..4 {
            std::thread::scope(|scope| {
                let maker = || -> Steps<'_, u64> { Box::new(|step| vec![step, step * step]) };
                let mut prefetch = Prefetch::start(scope, threads, maker, 5);
                for step in 5..40 {
                    assert_eq!(prefetch.next().unwrap(), [step, step * step], "{threads} threads");
                }
            });
        }
    }
}
