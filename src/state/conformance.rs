//! The laws of a [`LockStore`], once for every implementation.

use std::collections::BTreeMap;

use serde_json::json;

use super::fake::{BUCKET, Fake, Fault};
use super::*;

fn state(name: &str) -> StateKey {
    StateKey::new(format!("dev/{name}.tfstate"))
}

fn info(store: &impl LockStore, state: &StateKey, id: &str) -> LockInfo {
    LockInfo {
        id: id.to_owned(),
        operation: "OperationTypeApply".to_owned(),
        who: "Jürgen \"<&>\"@host".to_owned(),
        created: "2024-02-29T23:59:59.5Z".to_owned(),
        path: store.path(state),
        ..LockInfo::default()
    }
}

async fn take(store: &impl LockStore<Error = crate::aws::AwsError>, state: &StateKey, id: &str) -> Lock {
    match store.take(state, &info(store, state, id)).await.unwrap() {
        Take::Taken(lock) => lock,
        Take::Held(lock) => panic!("held: {lock:?}"),
    }
}

async fn list(
    store: &impl LockStore<Error = crate::aws::AwsError>,
    prefixes: &[&str],
) -> BTreeMap<StateKey, Lock> {
    let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let mut locks = BTreeMap::new();
    let mut found = |lock: Lock| assert!(locks.insert(lock.state.clone(), lock).is_none(), "told twice");
    store.list(Search::below(&prefixes), &mut found).await.unwrap();
    locks
}

/// Runs a law for every implementation.
macro_rules! laws {
    ($($law:ident),* $(,)?) => {
        mod s3 { $(#[tokio::test(start_paused = true)] async fn $law() { let fake = super::Fake::default(); super::$law(&fake, fake.s3()).await; })* }
        mod dynamodb { $(#[tokio::test(start_paused = true)] async fn $law() { let fake = super::Fake::default(); super::$law(&fake, fake.dynamodb()).await; })* }
        mod pair { $(#[tokio::test(start_paused = true)] async fn $law() { let fake = super::Fake::default(); super::$law(&fake, fake.pair()).await; })* }
    };
}

laws!(
    a_lock_that_is_taken_is_found_whole_and_released,
    a_held_lock_is_refused_and_its_holder_told,
    a_lost_answer_to_taking_is_a_lock_of_ours,
    a_lost_answer_to_releasing_is_no_error,
    the_lock_of_another_holder_is_never_released,
    every_lock_is_listed_once,
    listing_keeps_to_the_prefixes,
    a_digest_is_no_lock_whatever_its_state_is_called,
    a_malformed_lock_is_listed_and_released,
    a_denied_write_is_an_error_and_leaves_nothing,
);

type Aws = crate::aws::AwsError;

async fn a_lock_that_is_taken_is_found_whole_and_released(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let state = state("main");
    assert_eq!(store.find(&state).await.unwrap(), None);

    let taken = take(&store, &state, "1").await;
    let found = store.find(&state).await.unwrap().unwrap();

    assert!(found.is_same(&taken));
    assert_eq!(found.parts.iter().map(|part| part.kind).collect::<Vec<_>>(), store.kinds());
    let written = info(&store, &state, "1");
    for part in &found.parts {
        assert_eq!(part.content, written.to_json());
        assert_eq!(part.info, Ok(written.clone()));
    }
    assert_eq!(store.release(&taken).await.unwrap(), Release::Released);
    assert_eq!(store.find(&state).await.unwrap(), None);
    assert_eq!(store.release(&taken).await.unwrap(), Release::Gone);
    assert!(fake.world().items.is_empty());
}

async fn a_held_lock_is_refused_and_its_holder_told(_: &Fake, store: impl LockStore<Error = Aws>) {
    let state = state("main");
    let taken = take(&store, &state, "1").await;

    let second = store.take(&state, &info(&store, &state, "2")).await.unwrap();

    let Take::Held(holder) = second else { panic!("{second:?}") };
    assert!(holder.is_same(&taken));
    assert!(store.find(&state).await.unwrap().unwrap().is_same(&taken));
}

async fn a_lost_answer_to_taking_is_a_lock_of_ours(fake: &Fake, store: impl LockStore<Error = Aws>) {
    fake.fail("PutObject", Fault::LoseAnswer);
    fake.fail("PutItem", Fault::LoseAnswer);

    let taken = take(&store, &state("main"), "1").await;

    assert_eq!(taken.id(), Some("1"));
    assert_eq!(store.release(&taken).await.unwrap(), Release::Released);
}

async fn a_lost_answer_to_releasing_is_no_error(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let taken = take(&store, &state("main"), "1").await;
    fake.fail("DeleteObject", Fault::LoseAnswer);
    fake.fail("DeleteItem", Fault::LoseAnswer);

    let released = store.release(&taken).await.unwrap();

    assert!(matches!(released, Release::Released | Release::Gone), "{released:?}");
    assert_eq!(store.find(&state("main")).await.unwrap(), None);
}

async fn the_lock_of_another_holder_is_never_released(_: &Fake, store: impl LockStore<Error = Aws>) {
    let state = state("main");
    let read = take(&store, &state, "1").await;
    store.release(&read).await.unwrap();
    let other = take(&store, &state, "2").await;

    let Release::Changed(now) = store.release(&read).await.unwrap() else { panic!("released") };

    assert!(now.is_same(&other));
    assert!(store.find(&state).await.unwrap().unwrap().is_same(&other));
}

async fn every_lock_is_listed_once(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let names: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    for name in &names {
        fake.put_object(state(name).as_str(), b"{}");
        fake.put_item(&format!("{BUCKET}/{}-md5", state(name)), &json!({ "Digest": { "S": "0" } }));
        take(&store, &state(name), name).await;
    }

    let listed = list(&store, &["dev/"]).await;

    assert_eq!(listed.len(), names.len());
    for lock in listed.values() {
        assert!(store.find(&lock.state).await.unwrap().unwrap().is_same(lock));
        assert_eq!(lock.parts.len(), store.kinds().len());
    }
}

async fn listing_keeps_to_the_prefixes(_: &Fake, store: impl LockStore<Error = Aws>) {
    let keys = ["dev/main.tfstate", "dev2/main.tfstate", "prod/main.tfstate"].map(StateKey::new);
    for key in &keys {
        take(&store, key, "1").await;
    }

    let listed = list(&store, &["dev/", "prod/"]).await;

    assert_eq!(listed.keys().collect::<Vec<_>>(), [&keys[0], &keys[2]]);
}

async fn a_digest_is_no_lock_whatever_its_state_is_called(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let md5 = StateKey::new("dev/foo-md5");
    fake.put_item(&format!("{BUCKET}/dev/bar-md5"), &json!({ "Digest": { "S": "0" } }));
    take(&store, &md5, "1").await;

    assert_eq!(list(&store, &["dev/"]).await.keys().collect::<Vec<_>>(), [&md5]);
    assert_eq!(store.find(&StateKey::new("dev/bar-md5")).await.unwrap(), None);
}

async fn a_malformed_lock_is_listed_and_released(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let contents = ["", "{", "not json", "[]", "{\"ID\":1}", "{}"];
    for (number, content) in contents.iter().enumerate() {
        let state = state(&format!("c{number}"));
        fake.put_object(&state.lockfile(), content.as_bytes());
        fake.put_item(&format!("{BUCKET}/{state}"), &json!({ "Info": { "S": content } }));
    }

    let listed = list(&store, &["dev/"]).await;

    assert_eq!(listed.len(), contents.len());
    for lock in listed.values() {
        assert_eq!(lock.info(), None);
        assert_eq!(store.release(lock).await.unwrap(), Release::Released);
    }
    assert!(list(&store, &["dev/"]).await.is_empty());
}

async fn a_denied_write_is_an_error_and_leaves_nothing(fake: &Fake, store: impl LockStore<Error = Aws>) {
    let last = if store.kinds().contains(&Kind::DynamoDb) { "PutItem" } else { "PutObject" };
    fake.fail(last, Fault::Deny);

    let error = store.take(&state("main"), &info(&store, &state("main"), "1")).await.unwrap_err();

    assert_eq!(error.class, crate::aws::Class::AccessDenied);
    assert_eq!(store.find(&state("main")).await.unwrap(), None);
}

mod of_one_store {
    use super::*;

    #[tokio::test]
    async fn an_item_without_info_or_with_another_type_is_a_lock_and_can_be_released() {
        let fake = Fake::default();
        let store = fake.dynamodb();
        fake.put_item(&format!("{BUCKET}/dev/a"), &json!({}));
        fake.put_item(&format!("{BUCKET}/dev/b"), &json!({ "Info": { "N": "1" } }));
        fake.put_item("another-bucket/dev/c", &json!({ "Info": { "S": "{}" } }));

        let mut locks = Vec::new();
        let elsewhere =
            store.list(Search::below(&[String::new()]), &mut |lock| locks.push(lock)).await.unwrap();

        assert_eq!((locks.len(), elsewhere), (2, Elsewhere(1)));
        for lock in &locks {
            assert_eq!(lock.parts[0].info, Err(Unread::Malformed(Malformed::NoInfo)));
            assert_eq!(store.release(lock).await.unwrap(), Release::Released);
        }
        assert_eq!(fake.world().items.len(), 1);
    }

    #[tokio::test]
    async fn a_digest_that_took_the_place_of_a_lock_is_not_deleted() {
        let fake = Fake::default();
        let store = fake.dynamodb();
        let id = format!("{BUCKET}/dev/a");
        fake.put_item(&id, &json!({}));
        let lock = store.find(&StateKey::new("dev/a")).await.unwrap().unwrap();
        fake.put_item(&id, &json!({ "Digest": { "S": "0" } }));

        assert_eq!(store.release(&lock).await.unwrap(), Release::Gone);
        assert!(fake.world().items.contains_key(&id));
    }

    #[tokio::test]
    async fn a_small_table_costs_one_scan() {
        let fake = Fake::default();
        let store = fake.dynamodb();
        take(&store, &state("main"), "1").await;

        assert_eq!(list(&store, &[""]).await.len(), 1);
        assert_eq!(fake.calls("Scan"), 1);
    }

    #[tokio::test]
    async fn a_lock_that_is_denied_to_us_is_listed_all_the_same() {
        let fake = Fake::default();
        let store = fake.s3();
        take(&store, &state("main"), "1").await;
        fake.fail("GetObject", Fault::Deny);

        let listed = list(&store, &["dev/"]).await;

        let lock = listed.values().next().unwrap();
        assert!(matches!(lock.parts[0].info, Err(Unread::Denied(_))));
        assert_eq!(store.release(lock).await.unwrap(), Release::Released);
    }

    #[tokio::test]
    async fn an_object_that_is_too_long_for_a_lock_is_not_read() {
        let fake = Fake::default();
        fake.put_object(&state("main").lockfile(), &vec![b' '; 100_000]);

        let lock = fake.s3().find(&state("main")).await.unwrap().unwrap();

        assert_eq!(lock.parts[0].info, Err(Unread::Malformed(Malformed::TooLong(100_000))));
    }

    #[tokio::test]
    async fn what_did_not_change_is_not_read_again() {
        let fake = Fake::default();
        let store = fake.s3();
        let lasting = take(&store, &state("a"), "1").await;
        let passing = take(&store, &state("b"), "2").await;
        let known = list(&store, &[""]).await;
        store.release(&passing).await.unwrap();
        take(&store, &state("b"), "3").await;
        let reads = fake.calls("GetObject");

        let mut ids = Vec::new();
        let prefixes = [String::new()];
        let search = Search { known: Some(&known), ..Search::below(&prefixes) };
        store.list(search, &mut |lock| ids.push(lock.id().unwrap().to_owned())).await.unwrap();

        ids.sort();
        assert_eq!(ids, [lasting.id().unwrap(), "3"]);
        assert_eq!(fake.calls("GetObject"), reads + 1);
    }

    #[tokio::test]
    async fn our_own_folder_is_passed_over() {
        let fake = Fake::default();
        for number in 0..50 {
            fake.put_object(&format!("underpin/records/dev/{number}.tflock"), b"{}");
        }
        let keys = ["dev/main.tfstate", "underpin2/main.tfstate", "zeta/main.tfstate"].map(StateKey::new);
        for key in &keys {
            take(&fake.s3(), key, "1").await;
        }

        assert_eq!(list(&fake.s3(), &[""]).await.keys().collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
        assert!(fake.calls("ListObjectsV2") <= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_under_way_is_waited_for() {
        let fake = Fake::default();
        fake.fail("PutObject", Fault::Conflict);
        let store = fake.s3();
        let taken = take(&store, &state("main"), "1").await;
        fake.fail("DeleteObject", Fault::Conflict);

        assert_eq!(store.release(&taken).await.unwrap(), Release::Released);
    }
}

mod of_both {
    use super::*;

    #[tokio::test]
    async fn the_first_half_is_given_back_where_the_second_is_held() {
        let fake = Fake::default();
        let second = take(&fake.dynamodb(), &state("main"), "1").await;

        let taken = fake.pair().take(&state("main"), &info(&fake.pair(), &state("main"), "2")).await.unwrap();

        let Take::Held(holder) = taken else { panic!("{taken:?}") };
        assert!(holder.is_same(&second));
        assert_eq!(fake.s3().find(&state("main")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_first_half_that_can_not_be_given_back_is_told() {
        let fake = Fake::default();
        take(&fake.dynamodb(), &state("main"), "1").await;
        fake.fail("DeleteObject", Fault::Deny);

        let error =
            fake.pair().take(&state("main"), &info(&fake.pair(), &state("main"), "2")).await.unwrap_err();

        assert!(error.to_string().contains("half of our lock `2` is left"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_lock_is_looked_at_twice_and_then_released() {
        let fake = Fake::default();
        take(&fake.s3(), &state("a"), "1").await;
        take(&fake.dynamodb(), &state("b"), "2").await;

        let listed = list(&fake.pair(), &["dev/"]).await;

        assert_eq!(listed.len(), 2);
        assert_eq!((fake.calls("GetObject"), fake.calls("GetItem")), (1 + 2, 2));
        for half in listed.values() {
            assert_eq!(half.parts.len(), 1);
            assert_eq!(fake.pair().release(half).await.unwrap(), Release::Released);
        }
        assert!(list(&fake.pair(), &["dev/"]).await.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_released_where_either_half_changed_hands() {
        let fake = Fake::default();
        let read = take(&fake.pair(), &state("main"), "1").await;
        let half = fake.dynamodb().find(&state("main")).await.unwrap().unwrap();
        fake.dynamodb().release(&half).await.unwrap();
        take(&fake.dynamodb(), &state("main"), "2").await;

        assert!(matches!(fake.pair().release(&read).await.unwrap(), Release::Changed(_)));
        assert!(fake.s3().find(&state("main")).await.unwrap().is_some());
        assert!(fake.dynamodb().find(&state("main")).await.unwrap().is_some());
    }
}
