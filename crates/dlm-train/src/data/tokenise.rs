//! From text to tokens, on one thread or several.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dlm_core::TokenId;

use crate::data::{Example, Place, Record};
use crate::error::{Error, Foreign};

/// Records that a thread takes at a time: enough that threads seldom meet, few enough that none waits
/// long for another at the end.
const PIECE: usize = 256;

/// Turns text into tokens with the caller's tokeniser, which adds no special tokens.
///
/// # Errors
/// [`Error::Tokenise`], naming the record.
///
/// # Example
/// ```
/// use dlm_train::data::{Record, tokenise};
/// let records = [Record { prompt: "ab".into(), response: "c".into() }];
/// let letters = |text: &str| Ok::<_, std::fmt::Error>(text.bytes().map(u32::from).collect());
/// assert_eq!(tokenise(&records, letters)?[0].prompt, [97, 98]);
/// # Ok::<(), dlm_train::Error>(())
/// ```
pub fn tokenise<E: Into<Foreign>>(
    records: &[Record],
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E>,
) -> Result<Vec<Example>, Error> {
    stretch(0, records, &tokeniser)
}

/// As [`tokenise`], on several threads (0 counts as 1). Neither the examples nor the error depend on how
/// many: if records fail, the first of them is named.
///
/// # Errors
/// As [`tokenise`].
pub fn tokenise_on<E: Into<Foreign>>(
    threads: usize,
    records: &[Record],
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync,
) -> Result<Vec<Example>, Error> {
    stretch_on(threads, 0, records, &tokeniser)
}

/// Tokenises a stretch of the data that begins with record `first`, on several threads.
pub(super) fn stretch_on<E: Into<Foreign>>(
    threads: usize,
    first: usize,
    records: &[Record],
    tokeniser: &(impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync),
) -> Result<Vec<Example>, Error> {
    let pieces: Vec<&[Record]> = records.chunks(PIECE).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            let Some(records) = pieces.get(piece) else { return done };
            let examples = stretch(first + piece * PIECE, records, tokeniser);
            if examples.is_err() {
                // No later piece is begun; every earlier one was, and is finished.
                next.store(pieces.len(), Ordering::Relaxed);
            }
            done.push((piece, examples));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(piece, _)| *piece);
    let mut all = Vec::with_capacity(records.len());
    for (_, examples) in done {
        all.append(&mut examples?);
    }
    Ok(all)
}

fn stretch<E: Into<Foreign>>(
    first: usize,
    records: &[Record],
    tokeniser: &impl Fn(&str) -> Result<Vec<TokenId>, E>,
) -> Result<Vec<Example>, Error> {
    let tokens = |index, field, text: &str| {
        let place = Place::Index(index);
        tokeniser(text).map_err(|error| Error::Tokenise { place, field, source: error.into() })
    };
    let example = |(record, index): (&Record, usize)| {
        Ok(Example {
            prompt: tokens(index, "prompt", &record.prompt)?,
            response: tokens(index, "response", &record.response)?,
        })
    };
    records.iter().zip(first..).map(example).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<TokenId>, std::num::ParseIntError> {
        text.split_whitespace().map(str::parse).collect()
    }

    fn records(n: usize) -> Vec<Record> {
        let record = |i: usize| Record { prompt: i.to_string(), response: format!("{} {i}", i + 1) };
        (0..n).map(record).collect()
    }

    #[test]
    fn a_tokenisers_error_names_the_record() {
        let mut records = records(2);
        records[1].prompt = "3 x".into();
        let error = tokenise(&records, numbers).expect_err("x is no number");
        assert_eq!(error.to_string(), "cannot tokenise the prompt of record 1");
    }

    #[test]
    fn threads_change_nothing() {
        for n in [0, 1, PIECE, 5 * PIECE + 1] {
            let records = records(n);
            let alone = tokenise(&records, numbers).expect("numbers");
            assert_eq!(alone.len(), n);
            for threads in [0, 1, 2, 7] {
                assert_eq!(tokenise_on(threads, &records, numbers).expect("numbers"), alone);
            }
        }
    }

    #[test]
    fn of_several_broken_records_the_first_is_named() {
        let mut records = records(8 * PIECE);
        for broken in [2 * PIECE + 3, 2 * PIECE + 4, 4 * PIECE, 8 * PIECE - 1] {
            records[broken].response = "x".into();
        }
        for _ in 0..20 {
            let error = tokenise_on(4, &records, numbers).expect_err("x is no number");
            assert!(matches!(error, Error::Tokenise { place: Place::Index(index), field: "response", .. }
                    if index == 2 * PIECE + 3));
        }
    }
}
