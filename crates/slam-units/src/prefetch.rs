//! Reading keeps ahead of computing.

use std::sync::mpsc;
use std::thread;

/// How many results may wait; bounds memory.
const AHEAD: usize = 4;

/// Makes values in a thread of their own, in order and a few ahead of `each`, which takes them here.
pub fn prefetch<T: Send, F: FnOnce() -> T + Send>(
    makers: impl Iterator<Item = F> + Send,
    mut each: impl FnMut(T),
) {
    thread::scope(|scope| {
        let (send, made) = mpsc::sync_channel(AHEAD);
        scope.spawn(move || {
            for make in makers {
                if send.send(make()).is_err() {
                    break;
                }
            }
        });
        for value in made {
            each(value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_once_and_in_order() {
        let mut got = Vec::new();
        prefetch((0..100).map(|i| move || i), |i| got.push(i));
        assert_eq!(got, (0..100).collect::<Vec<_>>());
    }
}
