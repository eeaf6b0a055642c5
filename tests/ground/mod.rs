//! The ground that tests and demo stand on: an AWS that nobody here wrote, behind a proxy of ours.
//!
//! The emulator gives answers that no test of ours could have bent. The proxy gives what an emulator can't: a log of every
//! call, faults at a chosen one, and the strictness of the real thing. What lies outside this folder knows neither by name.

mod account;
mod http;
mod moto;
mod proxy;

pub(crate) use account::Account;
pub(crate) use moto::WORDS as EMULATOR_WORDS;
pub(crate) use proxy::{Call, Fault, Fired, On, Proxy, StaleReads, Unless, critical_depth, max_in_flight};

/// An empty AWS account of one's own, for as long as this lives.
pub(crate) struct Ground {
    account: Account,
    proxy: Proxy,
    /// Given back last, when nothing can call it any more.
    _server: moto::Lease,
}

impl Ground {
    /// Takes an emulator, empties it, and puts a proxy in front of it.
    pub(crate) fn take() -> Self {
        let server = moto::Lease::take();
        let proxy = Proxy::start(server.address());
        let account = Account::new(&proxy);
        Self { account, proxy, _server: server }
    }

    /// What stands between a program and the account.
    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The account, past the proxy's log and faults.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }
}
