//! The emulator: a few servers in a private virtual environment, each lent to one test at a time.

pub(super) mod repairs;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

/// What emulators are called. No file outside this folder may know.
pub(crate) const WORDS: &[&str] = &["moto", "localstack", "fakecloud", "winterbaume", "minio"];

/// Servers at most. Each takes 150 MB and, at work, most of a core.
const MOST_SERVERS: usize = 3;

/// Servers that nobody uses, and how many there are in all.
static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), started: 0 });

/// Woken when a server comes back.
static RETURNED: Condvar = Condvar::new();

struct Pool {
    idle: Vec<Server>,
    started: usize,
}

/// A server that runs until its standard input closes. That happens with the end of this process, however it comes.
struct Server {
    address: SocketAddr,
    _alive: ChildStdin,
    _child: Child,
}

/// A server that one test has to itself, without anything in it.
pub(crate) struct Lease {
    server: Option<Server>,
}

impl Lease {
    /// Takes an idle server, starts one, or waits until one comes back.
    pub(crate) fn take() -> Self {
        let mut lease = Self { server: idle() };
        lease.server.get_or_insert_with(Server::start).reset();
        lease
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("a lease has a server until it is dropped").address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        match self.server.take() {
            Some(server) => pool.idle.push(server),
            None => pool.started -= 1, // It did not start; the next one may try.
        }
        RETURNED.notify_one();
    }
}

/// Returns an idle server, or `None` where one more may be started.
fn idle() -> Option<Server> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(server) = pool.idle.pop() {
            return Some(server);
        }
        if pool.started < MOST_SERVERS {
            pool.started += 1;
            return None;
        }
        pool = RETURNED.wait(pool).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Server {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/venv/bin/python");
        assert!(
            python.exists(),
            "no virtual environment at `target/venv`: `make venv` makes it, `make test` does too"
        );
        let mut child = Command::new(python)
            .arg("-I")
            .arg(root.join("tests/ground/moto/server.py"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator's interpreter starts");
        let alive = child.stdin.take().expect("standard input is a pipe");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port).expect("the emulator prints its port");
        let port: u16 = port.trim().parse().expect("the emulator prints its port");
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), _alive: alive, _child: child }
    }

    /// Empties the server.
    fn reset(&self) {
        let mut stream = TcpStream::connect(self.address).expect("the emulator listens");
        let request = "POST /moto-api/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("the emulator reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the emulator answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "the emulator can't be emptied: {answer}");
    }
}
