//! The laws of a [`StateStore`], once for every implementation.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::fake::{Fake, Fault, moment};
use super::*;

type Aws = crate::aws::AwsError;

fn state(name: &str) -> StateKey {
    StateKey::new(format!("dev/{name}.tfstate"))
}

/// A state of a few bytes with this serial.
fn content(serial: u64) -> Vec<u8> {
    format!("{{\"version\":4,\"terraform_version\":\"1.11.4\",\"serial\":{serial},\"lineage\":\"l\"}}\n")
        .into_bytes()
}

async fn versions(store: &impl StateStore<Error = Aws>, state: &StateKey) -> Vec<Version> {
    store.versions(state).try_collect().await.unwrap()
}

async fn list(store: &impl StateStore<Error = Aws>, prefixes: &[&str]) -> Vec<StoredState> {
    let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let mut states = Vec::new();
    store.list(&prefixes, &mut |state| states.push(state)).await.unwrap();
    states
}

/// Runs a law for every implementation.
macro_rules! laws {
    ($($law:ident),* $(,)?) => {
        mod s3 { $(#[tokio::test(start_paused = true)] async fn $law() { let fake = super::Fake::default(); super::$law(&fake, fake.states()).await; })* }
    };
}

laws!(
    what_is_written_is_read_and_earlier_versions_stay,
    versions_come_newest_first_and_deletions_are_among_them,
    a_stream_of_versions_reads_no_further_than_it_is_read,
    nothing_is_found_where_there_is_nothing,
    every_state_is_listed_once_with_its_history,
    listing_keeps_to_the_prefixes_and_to_states,
    the_beginning_of_a_version_tells_who_wrote_it,
    a_lost_answer_to_a_write_is_no_error,
    a_denied_write_is_an_error_and_changes_nothing,
);

async fn what_is_written_is_read_and_earlier_versions_stay(fake: &Fake, store: impl StateStore<Error = Aws>) {
    fake.world().now = 7;
    let first = store.write(&state("main"), content(1)).await.unwrap();
    let second = store.write(&state("main"), content(2)).await.unwrap();

    assert_eq!(store.read(&state("main"), None).await.unwrap(), Some(content(2)));
    assert_eq!(store.read(&state("main"), Some(&first)).await.unwrap(), Some(content(1)));
    let facts = store.facts(&state("main"), None).await.unwrap().unwrap();
    assert_eq!((&facts.version, facts.at), (&second, moment(7)));
    assert_eq!(facts.size, u64::try_from(content(2).len()).unwrap());
    assert!(matches!(&facts.encryption, Encryption::Key(key) if key == fake::KEY), "{facts:?}");
    let earlier = store.facts(&state("main"), Some(&first)).await.unwrap().unwrap();
    assert_eq!(earlier.version, first);
}

async fn versions_come_newest_first_and_deletions_are_among_them(
    fake: &Fake,
    store: impl StateStore<Error = Aws>,
) {
    let mut ids = Vec::new();
    for serial in 1..=8 {
        fake.world().now = serial;
        ids.push(store.write(&state("main"), content(serial)).await.unwrap());
        store.write(&state("main2"), content(serial)).await.unwrap();
    }
    fake.world().now = 9;
    fake.delete_object("dev/main.tfstate");

    let versions = versions(&store, &state("main")).await;

    assert_eq!(versions.len(), 9);
    let (deletion, written) = versions.split_first().unwrap();
    assert_eq!((deletion.size, deletion.is_newest, deletion.at), (None, true, moment(9)));
    assert!(written.iter().map(|version| &version.id).eq(ids.iter().rev()));
    assert!(written.iter().all(|version| version.size.is_some() && !version.is_newest));
}

async fn a_stream_of_versions_reads_no_further_than_it_is_read(
    fake: &Fake,
    store: impl StateStore<Error = Aws>,
) {
    for serial in 0..30 {
        store.write(&state("main"), content(serial)).await.unwrap();
    }
    fake.world().calls.clear();

    let state = state("main");
    let newest = Box::pin(store.versions(&state).take(3)).collect::<Vec<_>>().await;

    assert_eq!(newest.len(), 3);
    assert_eq!(fake.world().calls.len(), 1);
}

async fn nothing_is_found_where_there_is_nothing(fake: &Fake, store: impl StateStore<Error = Aws>) {
    assert_eq!(store.read(&state("main"), None).await.unwrap(), None);
    assert_eq!(store.facts(&state("main"), None).await.unwrap(), None);
    assert_eq!(versions(&store, &state("main")).await, []);

    let id = store.write(&state("main"), content(1)).await.unwrap();
    fake.delete_object("dev/main.tfstate");

    assert_eq!(store.read(&state("main"), None).await.unwrap(), None);
    assert_eq!(store.read(&state("main"), Some("another")).await.unwrap(), None);
    assert_eq!(store.read(&state("main"), Some(&id)).await.unwrap(), Some(content(1)));
}

async fn every_state_is_listed_once_with_its_history(fake: &Fake, store: impl StateStore<Error = Aws>) {
    for name in ["a", "b", "c"] {
        for serial in 1..=4 {
            store.write(&state(name), content(serial)).await.unwrap();
        }
    }
    fake.delete_object("dev/b.tfstate");

    let listed = list(&store, &["dev/"]).await;

    let names: Vec<_> = listed.iter().map(|stored| stored.state.as_str()).collect();
    assert_eq!(names, ["dev/a.tfstate", "dev/b.tfstate", "dev/c.tfstate"]);
    let bytes = 4 * u64::try_from(content(1).len()).unwrap();
    assert!(
        listed.iter().all(|stored| stored.versions == 4 && stored.bytes == bytes && stored.newest.is_newest)
    );
    assert_eq!(listed.iter().map(StoredState::is_deleted).collect::<Vec<_>>(), [false, true, false]);
}

async fn listing_keeps_to_the_prefixes_and_to_states(fake: &Fake, store: impl StateStore<Error = Aws>) {
    for key in ["dev/main.tfstate", "dev/env:/w/dev/main.tfstate", "dev2/main.tfstate", "prod/a.tfstate"] {
        store.write(&StateKey::new(key), content(1)).await.unwrap();
    }
    for other in ["dev/main.tfstate.tflock", "dev/README.md", "underpin/pins/dev/main/v1.tfstate"] {
        fake.put_object(other, b"{}");
    }
    let names = |listed: Vec<StoredState>| {
        listed.into_iter().map(|stored| stored.state.to_string()).collect::<Vec<_>>()
    };

    let expected = ["dev/env:/w/dev/main.tfstate", "dev/main.tfstate", "prod/a.tfstate"];
    assert_eq!(names(list(&store, &["dev/", "prod/"]).await), expected);
    assert_eq!(names(list(&store, &[""]).await).len(), 4);
}

async fn the_beginning_of_a_version_tells_who_wrote_it(_: &Fake, store: impl StateStore<Error = Aws>) {
    for serial in 1..=2 {
        store.write(&state("main"), content(serial)).await.unwrap();
    }

    for (version, serial) in versions(&store, &state("main")).await.iter().zip([2, 1]) {
        let beginning = store.beginning(&state("main"), version).await.unwrap().unwrap();
        assert_eq!((beginning.serial, beginning.format), (Some(serial), Some(4)));
        assert_eq!(beginning.lineage.as_deref(), Some("l"));
    }
}

async fn a_lost_answer_to_a_write_is_no_error(fake: &Fake, store: impl StateStore<Error = Aws>) {
    fake.fail("PutObject", Fault::LoseAnswer);

    store.write(&state("main"), content(1)).await.unwrap();

    assert_eq!(store.read(&state("main"), None).await.unwrap(), Some(content(1)));
}

async fn a_denied_write_is_an_error_and_changes_nothing(fake: &Fake, store: impl StateStore<Error = Aws>) {
    store.write(&state("main"), content(1)).await.unwrap();
    fake.fail("PutObject", Fault::Deny);

    let error = store.write(&state("main"), content(2)).await.unwrap_err();

    assert_eq!(error.class, crate::aws::Class::AccessDenied);
    assert_eq!(store.read(&state("main"), None).await.unwrap(), Some(content(1)));
}

mod of_s3 {
    use super::*;

    #[tokio::test]
    async fn a_bucket_without_versions_is_said_and_not_taken_for_a_history() {
        let fake = Fake::default();
        fake.world().keeps_no_versions = true;

        let error = fake.states().write(&state("main"), content(1)).await.unwrap_err();

        assert!(error.to_string().contains("keeps no versions"), "{error}");
    }

    #[tokio::test]
    async fn how_an_object_is_encrypted_is_told() {
        let fake = Fake::default();
        let store = fake.states();
        for (headers, encryption) in [
            (None, Encryption::None),
            (Some(("AES256", None)), Encryption::Store),
            (Some(("aws:kms", Some("arn:k"))), Encryption::Key("arn:k".to_owned())),
        ] {
            fake.put_object("dev/main.tfstate", b"{}");
            let stored =
                headers.map(|(name, key): (&str, Option<&str>)| (name.to_owned(), key.map(str::to_owned)));
            fake.world().objects.get_mut("dev/main.tfstate").unwrap().last_mut().unwrap().encryption = stored;
            assert_eq!(store.facts(&state("main"), None).await.unwrap().unwrap().encryption, encryption);
        }
    }
}
