//! A state's history with what each version says of itself, and the search for one version in it.

use std::time::SystemTime;

use futures_util::{Stream, TryStreamExt as _, future};
use tokio::sync::Semaphore;

use super::objects::SIDE_BY_SIDE;
use super::states::{StateStore, Version};
use super::{Beginning, StateKey};

/// How many mebibytes of states are in memory at once; a single one that is larger is read alone.
const MEBIBYTES: u32 = 128;

/// Which version of a state is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// What the state is now.
    Newest,
    /// The one with this id.
    Id(String),
    /// The newest with this serial.
    Serial(u64),
    /// What the state was at this moment.
    At(SystemTime),
}

/// Returns a state's history, newest first, each version with its beginning. A deletion has none.
pub fn timeline<'a, S: StateStore>(
    store: &'a S,
    state: &'a StateKey,
) -> impl Stream<Item = Result<(Version, Option<Beginning>), S::Error>> + Send + 'a {
    let read = move |version: Version| async move {
        let beginning = store.beginning(state, &version).await?;
        Ok((version, beginning))
    };
    store.versions(state).map_ok(read).try_buffered(SIDE_BY_SIDE)
}

/// Finds a version; `None` where there is none like this, or the state was deleted then.
pub async fn find<S: StateStore>(
    store: &S,
    state: &StateKey,
    pick: &Pick,
) -> Result<Option<Version>, S::Error> {
    let versions = || Box::pin(store.versions(state));
    let found = match pick {
        Pick::Newest => versions().try_next().await?,
        Pick::Id(id) => versions().try_skip_while(|version| future::ok(version.id != *id)).try_next().await?,
        Pick::At(moment) => {
            versions().try_skip_while(|version| future::ok(version.at > *moment)).try_next().await?
        }
        Pick::Serial(serial) => {
            let is_other = |read: &(Version, Option<Beginning>)| {
                let found = read.1.as_ref().and_then(|beginning| beginning.serial);
                future::ok(found != Some(*serial))
            };
            let mut timeline = Box::pin(timeline(store, state).try_skip_while(is_other));
            timeline.try_next().await?.map(|(version, _)| version)
        }
    };
    Ok(found.filter(|version| version.size.is_some()))
}

/// Reads whole states side by side, as many as there is room for.
#[derive(Debug)]
pub struct Reading {
    room: Semaphore,
}

impl Default for Reading {
    fn default() -> Self {
        Self { room: Semaphore::new(MEBIBYTES as usize) }
    }
}

impl Reading {
    /// Reads a version and looks at it while it is in memory; `None` where it is gone, or is a deletion.
    pub async fn look<S: StateStore, T>(
        &self,
        store: &S,
        state: &StateKey,
        version: &Version,
        look: impl FnOnce(Vec<u8>) -> T,
    ) -> Result<Option<T>, S::Error> {
        let Some(size) = version.size else { return Ok(None) };
        let wanted = u32::try_from(size >> 20).unwrap_or(MEBIBYTES).clamp(1, MEBIBYTES);
        // Nobody closes the room.
        let _room = self.room.acquire_many(wanted).await.ok();
        Ok(store.read(state, Some(&version.id)).await?.map(look))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, moment};
    use super::*;

    fn state() -> StateKey {
        StateKey::new("dev/main.tfstate")
    }

    /// A state with the serials 1, 2, 2, 3, one a second from the first on, deleted in the second 5 and written in 6.
    fn history() -> Fake {
        let fake = Fake::default();
        for (second, serial) in [(1, 1), (2, 2), (3, 2), (4, 3), (6, 4)] {
            if second == 6 {
                fake.world().now = 5;
                fake.delete_object("dev/main.tfstate");
            }
            fake.world().now = second;
            fake.put_object("dev/main.tfstate", format!("{{\"version\":4,\"serial\":{serial}}}").as_bytes());
        }
        fake
    }

    #[tokio::test]
    async fn versions_are_found_by_id_serial_and_moment() {
        let fake = history();
        let store = fake.states();
        let second = async |pick: Pick| {
            find(&store, &state(), &pick)
                .await
                .unwrap()
                .map(|version| version.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };

        assert_eq!(second(Pick::Newest).await, Some(6));
        assert_eq!(second(Pick::Id("v1".to_owned())).await, Some(1));
        assert_eq!(second(Pick::Id("v9".to_owned())).await, None);
        assert_eq!(second(Pick::Serial(2)).await, Some(3));
        assert_eq!(second(Pick::Serial(9)).await, None);
        assert_eq!(second(Pick::At(moment(4))).await, Some(4));
        assert_eq!(second(Pick::At(moment(5))).await, None);
        assert_eq!(second(Pick::At(moment(0))).await, None);
    }

    #[tokio::test]
    async fn the_timeline_keeps_the_order_of_the_versions() {
        let fake = history();
        let store = fake.states();
        let state = state();

        let serials: Vec<_> = timeline(&store, &state)
            .map_ok(|(_, beginning)| beginning.and_then(|beginning| beginning.serial))
            .try_collect()
            .await
            .unwrap();

        assert_eq!(serials, [Some(4), None, Some(3), Some(2), Some(2), Some(1)]);
    }

    #[tokio::test]
    async fn a_state_larger_than_the_room_is_read_alone() {
        let fake = history();
        let store = fake.states();
        let mut version = find(&store, &state(), &Pick::Newest).await.unwrap().unwrap();
        version.size = Some(1 << 40);

        let looked = Reading::default().look(&store, &state(), &version, |bytes| bytes.len()).await.unwrap();

        assert_eq!(looked, Some(24));
    }
}
