//! Reading keeps ahead of computing.

use std::sync::mpsc;
use std::thread;

/// Makes values in a thread of their own until there are no more, at most `ahead` before `each`, which takes them
/// here in order. Its first error ends both.
///
/// # Errors
/// That of `each`.
pub fn prefetch<T: Send, E>(
    ahead: usize,
    mut make: impl FnMut() -> Option<T> + Send,
    mut each: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let (send, made) = mpsc::sync_channel(ahead);
        scope.spawn(move || {
            while let Some(value) = make() {
                if send.send(value).is_err() {
                    break;
                }
            }
        });
        for value in made {
            each(value)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_once_and_in_order() {
        let (mut next, mut got) = (0..100, Vec::new());
        let all = prefetch(
            3,
            || next.next(),
            |i| {
                got.push(i);
                Ok::<_, ()>(())
            },
        );
        assert_eq!((all, got), (Ok(()), (0..100).collect()));
    }

    #[test]
    fn an_error_ends_the_making_too() {
        let mut made = 0;
        let make = || {
            made += 1;
            Some(made)
        };
        let result = prefetch(1, make, |i| if i == 5 { Err(i) } else { Ok(()) });
        assert_eq!(result, Err(5));
        assert!((5..=7).contains(&made), "{made} were made");
    }
}
