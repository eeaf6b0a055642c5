//! A reverse proxy between a program and the emulator: it writes down every call, and makes go wrong what a test asks for.
//!
//! It has two doors. By the front come the programs under test. By the back come the tests themselves, to look and to
//! meddle: nothing is written down or refused there, but what the emulator would drop is kept all the same.

mod call;
mod fault;
mod name;
mod rounds;
mod serve;
mod stale;
mod strict;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use call::{Call, critical_depth, max_in_flight};
pub(super) use fault::error;
pub(crate) use fault::{Fault, Fired, On};
pub(super) use name::{Dialect, Name};
pub(crate) use stale::StaleReads;
pub(crate) use strict::Unless;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};

use self::fault::Rule;
use self::rounds::Rounds;
use self::serve::Door;
use self::stale::Staleness;
use self::strict::Strictness;
use super::moto::repairs::Repaired;

/// A running proxy. It ends with this value, and fails the test if a call of ours broke a rule.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    front: SocketAddr,
    back: SocketAddr,
    /// A thread of its own. `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// What all connections know.
struct Shared {
    emulator: Repaired,
    began: Instant,
    state: Mutex<State>,
}

/// What changes from call to call.
#[derive(Default)]
struct State {
    calls: Vec<Call>,
    arrived: u64,
    connections: u64,
    in_flight: usize,
    round_trip: Duration,
    rounds: Rounds,
    rules: Vec<Rule>,
    /// The process that a fault kills.
    victim: Option<u32>,
    strictness: Strictness,
    staleness: Staleness,
    /// Buckets of other accounts.
    foreign_buckets: BTreeSet<String>,
    refuse_overlapping_bucket_writes: bool,
    /// Writes under way by bucket.
    bucket_writes: BTreeMap<String, usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Starts a proxy in front of the emulator at `emulator`.
    pub(crate) fn start(emulator: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime for the proxy");
        let emulator = Repaired::new(emulator);
        let shared = Arc::new(Shared { emulator, began: Instant::now(), state: Mutex::default() });
        let open = |door| {
            let listener =
                runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
            let address = listener.local_addr().expect("a bound port");
            runtime.spawn(serve::accept(listener, Arc::clone(&shared), door));
            address
        };
        let (front, back) = (open(Door::Front), open(Door::Back));
        Self { shared, front, back, runtime: Some(runtime) }
    }

    /// Where programs under test call.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.front)
    }

    /// Where the tests call for themselves.
    pub(crate) fn back_url(&self) -> String {
        format!("http://{}", self.back)
    }

    /// The proxy's own runtime, for what a test wants to await.
    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.as_ref().expect("there until it is dropped").handle().clone()
    }

    /// The calls until now, in order of arrival.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let mut calls = self.shared.state().calls.clone();
        calls.sort_by_key(|call| call.number);
        calls
    }

    /// Empties the log.
    pub(crate) fn forget_calls(&self) {
        self.shared.state().calls.clear();
    }

    /// Makes every call take at least this long, half before and half after its effect.
    pub(crate) fn set_round_trip(&self, time: Duration) {
        self.shared.state().round_trip = time;
    }

    /// Answers in rounds: all calls that are under way at once, as soon as no further one has come for `quiet`. However late
    /// a busy machine makes one of them, no call then looks as if it had waited for another that it only came after.
    pub(crate) fn answer_in_rounds(&self, quiet: Duration) {
        self.shared.state().rounds.begin(quiet);
    }

    /// Puts `fault` in the way of the calls that `on` describes. Of several that fit, the first strikes.
    pub(crate) fn inject(&self, on: On, fault: Fault) -> Fired {
        let rule = Rule::new(on, fault);
        let fired = rule.fired();
        self.shared.state().rules.push(rule);
        fired
    }

    /// Takes every fault away.
    pub(crate) fn clear_faults(&self) {
        self.shared.state().rules.clear();
    }

    /// Says which process the killing faults are for. They wait for it, so it may be said after the process began.
    pub(crate) fn set_victim(&self, pid: u32) {
        self.shared.state().victim = Some(pid);
    }

    /// Spares a process: it has ended.
    pub(crate) fn forget_victim(&self, pid: u32) {
        let mut state = self.shared.state();
        state.victim = state.victim.filter(|victim| *victim != pid);
    }

    /// Sets for how long what is created from now on is not seen.
    pub(crate) fn set_stale_reads(&self, reads: StaleReads) {
        self.shared.state().staleness.set(reads);
    }

    /// Answers `OperationAborted` to a write to a bucket during another one. AWS does so now and then, this always.
    pub(crate) fn refuse_overlapping_bucket_writes(&self) {
        self.shared.state().refuse_overlapping_bucket_writes = true;
    }

    /// Lets another account have this bucket.
    pub(crate) fn give_bucket_away(&self, bucket: &str) {
        self.shared.state().foreign_buckets.insert(bucket.to_owned());
    }

    /// Lets a rule of ours be broken.
    pub(crate) fn permit(&self, rule: Unless) {
        self.shared.state().strictness.permit(rule);
    }

    /// The rules that calls of ours broke; forgotten by asking.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        self.shared.state().strictness.take_violations()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let violations = self.take_violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "calls of ours that must not be: {violations:#?}");
        }
    }
}
