//! Waiting for AWS: the one poller, and the one way to try a write again that AWS was not ready for.
//!
//! The SDK retries what the service calls retryable (throttling, 5xx, broken connections). What is here is for answers
//! that the SDK takes for final and that are known to pass: a table still CREATING, a key that DynamoDB does not know
//! yet, two writes to one bucket.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The first pause of a poll. Doubled each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two looks: what a wait costs at most beyond the thing waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a table may stay CREATING, UPDATING or without its key: AWS says "several minutes" at worst.
pub(crate) const TABLE_READY: Duration = Duration::from_mins(5);
/// How long point-in-time recovery may be unavailable after a table became ACTIVE.
pub(crate) const BACKUPS_READY: Duration = Duration::from_mins(2);
/// How long another write to the same bucket may be under way (`OperationAborted`).
pub(crate) const BUCKET_FREE: Duration = Duration::from_mins(1);
/// How long IAM may take to know a new policy or principal everywhere: two minutes by AWS's own providers.
pub(crate) const IAM_PROPAGATION: Duration = Duration::from_mins(2);
/// How long DynamoDB or S3 may not know a new key.
pub(crate) const KEY_KNOWN: Duration = Duration::from_mins(1);
/// How long KMS may not list a key that it has just made, after an answer was lost: KMS is eventually consistent.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/accessing-kms.html#programming-eventual-consistency>
pub(crate) const KEY_LISTED: Duration = Duration::from_secs(10);
/// How long a read may show what was there before a write.
pub(crate) const SETTLED: Duration = Duration::from_secs(30);

/// The pauses of one wait: doubling, up to a limit in all.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    end: Instant,
}

impl Pauses {
    /// Begins a wait that ends after `limit`.
    pub(crate) fn until(limit: Duration) -> Self {
        Self { next: FIRST_PAUSE, end: Instant::now() + limit }
    }

    /// Sleeps, and returns whether there is time left for another look.
    pub(crate) async fn pause(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.end {
            return false;
        }
        sleep(self.next.min(self.end - now)).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}

/// Runs `call`, again while `goes_by` says of its error that it will go by, for `limit` at most.
pub(crate) async fn retry_while<T, E, Call>(
    limit: Duration,
    goes_by: impl Fn(&E) -> bool,
    mut call: impl FnMut() -> Call,
) -> Result<T, E>
where
    Call: Future<Output = Result<T, E>>,
{
    let mut pauses = Pauses::until(limit);
    loop {
        match call().await {
            Err(error) if goes_by(&error) => {
                if !pauses.pause().await {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_what_does_not_is_not() {
        let calls = Cell::new(0);
        let result: Result<(), &str> = retry_while(
            BUCKET_FREE,
            |error| *error == "busy",
            || {
                calls.set(calls.get() + 1);
                let answer = if calls.get() < 3 { "busy" } else { "broken" };
                async move { Err(answer) }
            },
        )
        .await;

        assert_eq!(result, Err("broken"));
        assert_eq!(calls.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_limit_with_the_last_error() {
        let begun = Instant::now();
        let result: Result<(), &str> = retry_while(BUCKET_FREE, |_| true, || async { Err("busy") }).await;

        assert_eq!(result, Err("busy"));
        assert_eq!(begun.elapsed(), BUCKET_FREE);
    }

    #[tokio::test(start_paused = true)]
    async fn no_pause_is_longer_than_a_second() {
        let mut pauses = Pauses::until(TABLE_READY);
        for _ in 0..20 {
            let begun = Instant::now();
            assert!(pauses.pause().await);
            assert!(begun.elapsed() <= LONGEST_PAUSE);
        }
    }
}
