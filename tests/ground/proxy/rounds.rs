//! Answers in rounds, so that depth can be counted on a machine that is busy with other things.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Shared;

/// How often a call looks whether its round is over.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Where the rounds are.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// For how long no call comes before a round is over; `None` where calls are answered one by one.
    quiet: Option<Duration>,
    /// When the last call came.
    last_arrival: Option<Instant>,
    /// The calls of this round that could be answered.
    ready: usize,
    /// The rounds that are over.
    over: usize,
    /// When the last of them was, since the proxy began.
    over_at: Duration,
}

impl Rounds {
    /// Answers in rounds from here on.
    pub(super) fn begin(&mut self, quiet: Duration) {
        self.quiet = Some(quiet);
    }

    /// Notes a call.
    pub(super) fn arrive(&mut self) {
        self.last_arrival = Some(Instant::now());
    }

    /// Ends the round if every call under way could be answered and no further one comes.
    fn try_end(&mut self, quiet: Duration, in_flight: usize, now: Duration) {
        let is_quiet = self.last_arrival.is_none_or(|arrival| arrival.elapsed() >= quiet);
        if self.ready == in_flight && is_quiet {
            self.ready = 0;
            self.over += 1;
            self.over_at = now;
        }
    }
}

/// Waits until a call that could be answered may be, and returns when that was, since the proxy began: one moment for all
/// calls of a round.
pub(super) async fn end_of_round(shared: &Shared) -> Duration {
    let (quiet, before) = {
        let rounds = &mut shared.state().rounds;
        let Some(quiet) = rounds.quiet else { return shared.began.elapsed() };
        rounds.ready += 1;
        (quiet, rounds.over)
    };
    loop {
        {
            let state = &mut *shared.state();
            state.rounds.try_end(quiet, state.in_flight, shared.began.elapsed());
            if state.rounds.over > before {
                return state.rounds.over_at;
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}
