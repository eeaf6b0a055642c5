//! Working under a lock of our own, which is given back however the work ends.

use std::future::Future;

use super::{Lock, LockInfo, LockStore, Release, StateKey, Take};

/// Why nothing was done under a lock, or why the lock is in doubt.
#[derive(Debug, thiserror::Error)]
pub enum HoldError<E: std::error::Error + 'static, W> {
    /// The lock could not be asked for.
    #[error("failed to take the lock on `{state}`")]
    Take {
        /// The state.
        state: StateKey,
        /// What the store answered.
        source: E,
    },
    /// Someone else holds it.
    #[error("the lock on `{}` is held", .0.state)]
    Held(Box<Lock>),
    /// The work failed; the lock is given back.
    #[error("the work under the lock failed")]
    Work(W),
    /// The lock could not be given back.
    #[error("failed to release our lock `{id}` on `{state}`")]
    Release {
        /// The state.
        state: StateKey,
        /// The lock's id.
        id: String,
        /// What the store answered.
        source: E,
        /// What came of the work, where it failed as well.
        work: Option<W>,
    },
    /// The lock was taken from us while we worked.
    #[error("our lock on `{}` was taken from us meanwhile", .0.state)]
    Lost(Box<Lock>),
}

/// Takes the lock on `state`, does `work`, and gives the lock back whether the work succeeds or fails.
///
/// The work has to end by itself where the program is asked to end: what is dropped halfway gives nothing back.
pub async fn hold<S: LockStore, T, W>(
    store: &S,
    state: &StateKey,
    info: &LockInfo,
    work: impl Future<Output = Result<T, W>>,
) -> Result<T, HoldError<S::Error, W>> {
    let taken =
        store.take(state, info).await.map_err(|source| HoldError::Take { state: state.clone(), source })?;
    let lock = match taken {
        Take::Taken(lock) => lock,
        Take::Held(lock) => return Err(HoldError::Held(Box::new(lock))),
    };
    let done = work.await;
    match (store.release(&lock).await, done) {
        (Ok(Release::Released | Release::Gone), Ok(done)) => Ok(done),
        (Ok(Release::Changed(other)), Ok(_)) => Err(HoldError::Lost(Box::new(other))),
        (Ok(_), Err(error)) => Err(HoldError::Work(error)),
        (Err(source), done) => {
            Err(HoldError::Release { state: state.clone(), id: info.id.clone(), source, work: done.err() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Fault};
    use super::*;

    fn info(id: &str) -> LockInfo {
        LockInfo { id: id.to_owned(), ..LockInfo::default() }
    }

    fn state() -> StateKey {
        StateKey::new("dev/main.tfstate")
    }

    #[tokio::test]
    async fn the_lock_is_held_while_there_is_work_and_given_back_however_it_ends() {
        let fake = Fake::default();
        let store = fake.pair();
        for outcome in [Ok(()), Err("failed")] {
            let work = async {
                assert_eq!(store.find(&state()).await.unwrap().unwrap().id(), Some("1"));
                outcome
            };

            let held = Box::pin(hold(&store, &state(), &info("1"), work)).await;

            assert_eq!(held.is_ok(), outcome.is_ok());
            assert_eq!(store.find(&state()).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn no_work_is_done_without_the_lock() {
        let fake = Fake::default();
        let store = fake.s3();
        store.take(&state(), &info("1")).await.unwrap();

        let mut worked = false;
        let work = async {
            worked = true;
            Ok::<(), ()>(())
        };

        let held = hold(&store, &state(), &info("2"), work).await;

        let Err(HoldError::Held(holder)) = held else { panic!("{held:?}") };
        assert_eq!((holder.id(), worked), (Some("1"), false));
    }

    #[tokio::test]
    async fn a_lock_that_stays_is_told_with_its_id() {
        let fake = Fake::default();
        fake.fail("DeleteItem", Fault::Deny);

        let held = hold(&fake.dynamodb(), &state(), &info("1"), async { Ok::<(), ()>(()) }).await;

        assert_eq!(held.unwrap_err().to_string(), "failed to release our lock `1` on `dev/main.tfstate`");
    }
}
