//! The way of a call through the proxy.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::call::Call;
use super::fault::{Fault, error};
use super::name::{Dialect, Name};
use super::rounds::end_of_round;
use super::strict::is_ours;
use super::wire::{Fate, Payload, Wire};
use super::{Shared, State};
use crate::ground::account::ACCOUNT_ID;
use crate::ground::http::{Answer, Request};

/// How often a killing fault looks whether it knows its victim.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// By which door a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Written down, judged, struck by faults.
    Front,
    /// Passed on, with what the emulator drops.
    Back,
}

/// The end of a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

/// What a client gets.
enum Reply {
    Whole(Answer),
    Half(Answer),
    None,
}

/// Takes connections for as long as the runtime lives.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>, door: Door) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).expect("a socket takes its options");
        let connection = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections
        };
        let fate = Fate::default();
        let wire = TokioIo::new(Wire::new(stream, fate.clone()));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(Arc::clone(&shared), door, connection, &fate, request));
            // A connection may end in any way: clients are killed and answers cut on purpose.
            drop(http1::Builder::new().serve_connection(wire, answer).await);
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    door: Door,
    connection: u64,
    fate: &Fate,
    request: hyper::Request<Incoming>,
) -> Result<Response<Payload>, Cut> {
    let request = Request::read(request).await.map_err(|_| Cut)?;
    let head = request.method == Method::HEAD;
    // A call that has arrived goes its way to the end, as at AWS, even where its client dies meanwhile.
    let call = tokio::spawn(async move {
        match door {
            Door::Front => recorded(&shared, connection, request).await,
            Door::Back => Reply::Whole(shared.emulator.answer(&Name::of(&request), &request).await),
        }
    });
    let reply = call.await.map_err(|_| Cut)?;
    let (answer, payload) = match reply {
        Reply::Whole(answer) => {
            let body = if head { Bytes::new() } else { answer.body.clone() };
            (answer, Payload::whole(body))
        }
        Reply::Half(answer) if !head && !answer.body.is_empty() => {
            fate.seal();
            let payload = Payload::half(&answer.body);
            (answer, payload)
        }
        Reply::Half(_) | Reply::None => {
            fate.seal();
            return Err(Cut);
        }
    };
    let mut response = Response::new(payload);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    if !head {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(response)
}

/// Sees a call through, and writes it down before its answer leaves.
async fn recorded(shared: &Shared, connection: u64, request: Request) -> Reply {
    let name = Name::of(&request);
    let started = shared.began.elapsed();
    let (arrival, fault) = shared.state().arrive(&name);
    sleep(arrival.round_trip / 2).await;
    let reply = performed(shared, &name, &request, fault.as_ref(), arrival.overlaps).await;
    sleep(arrival.round_trip / 2).await;
    let ended = end_of_round(shared).await;

    let (status, error_code, answer_headers, answer_body) = match &reply {
        Reply::Whole(answer) => {
            let headers = answer.headers.clone();
            (Some(answer.status.as_u16()), error_code(&name, answer), headers, answer.body.clone())
        }
        Reply::Half(_) | Reply::None => (None, None, HeaderMap::new(), Bytes::new()),
    };
    let mut state = shared.state();
    state.leave(&name);
    state.calls.push(Call {
        name,
        request,
        number: arrival.number,
        connection,
        started,
        ended,
        in_flight: arrival.in_flight,
        status,
        error_code,
        answer_headers,
        answer_body,
        faulted: fault.is_some(),
    });
    drop(state);
    reply
}

/// What is known of a call when it arrives.
struct Arrival {
    number: u64,
    in_flight: usize,
    round_trip: Duration,
    /// Whether another write to the same bucket is under way, and that is to be refused.
    overlaps: bool,
}

impl State {
    /// Notes a call, and finds the fault that strikes it.
    fn arrive(&mut self, name: &Name) -> (Arrival, Option<Fault>) {
        self.arrived += 1;
        self.in_flight += 1;
        self.rounds.arrive();
        let mut overlaps = false;
        if let Some(bucket) = name.written_bucket() {
            let writes = self.bucket_writes.entry(bucket.to_owned()).or_default();
            *writes += 1;
            overlaps = *writes > 1 && self.refuse_overlapping_bucket_writes;
        }
        // Every rule counts the call, whichever of them strikes.
        let strikes: Vec<Fault> = self.rules.iter_mut().filter_map(|rule| rule.strike(name)).collect();
        let arrival = Arrival {
            number: self.arrived,
            in_flight: self.in_flight,
            round_trip: self.round_trip,
            overlaps,
        };
        (arrival, strikes.into_iter().next())
    }

    /// Notes the end of a call.
    fn leave(&mut self, name: &Name) {
        self.in_flight -= 1;
        if let Some(writes) = name.written_bucket().and_then(|bucket| self.bucket_writes.get_mut(bucket)) {
            *writes -= 1;
        }
    }
}

/// Lets a call happen, or what its fault makes of it.
async fn performed(
    shared: &Shared,
    name: &Name,
    request: &Request,
    fault: Option<&Fault>,
    overlaps: bool,
) -> Reply {
    let refused = is_ours(request).then(|| shared.state().strictness.refuse(name, request)).flatten();
    if let Some(answer) = refused.or_else(|| fault.and_then(|fault| fault.answer(name))) {
        return Reply::Whole(answer);
    }
    match fault {
        Some(Fault::Reset) => return Reply::None,
        Some(Fault::KillBefore) => {
            kill(shared).await;
            return Reply::None;
        }
        _ if overlaps => {
            let answer = Fault::OperationAborted.answer(name).expect("it has an answer");
            return Reply::Whole(answer);
        }
        _ => {}
    }
    let answer = effect(shared, name, request).await;
    match fault {
        Some(Fault::AnswerLost) => Reply::None,
        Some(Fault::ResetMidBody) => Reply::Half(answer),
        Some(Fault::KillAfter) => {
            kill(shared).await;
            Reply::None
        }
        Some(Fault::Late(time)) => {
            sleep(*time).await;
            Reply::Whole(answer)
        }
        _ => Reply::Whole(answer),
    }
}

/// The answer of an AWS that is not always up to date, and knows whose a bucket is.
async fn effect(shared: &Shared, name: &Name, request: &Request) -> Answer {
    let early = {
        let state = shared.state();
        owner_mismatch(&state, name, request).or_else(|| state.staleness.answer(name))
    };
    if let Some(answer) = early.or_else(|| shared.emulator.wrong_region(name)) {
        return answer;
    }
    let mut answer = shared.emulator.answer(name, request).await;
    shared.state().staleness.revise(name, request, &mut answer);
    answer
}

/// Refuses what is another account's, and what the caller believes to be another account's.
fn owner_mismatch(state: &State, name: &Name, request: &Request) -> Option<Answer> {
    let bucket = name.bucket()?;
    let foreign = state.foreign_buckets.contains(bucket);
    if foreign && name.operation == "s3:CreateBucket" {
        let message = "The requested bucket name is not available. The bucket namespace is shared by all users of the \
                       system. Please select a different name and try again.";
        return Some(error(Dialect::S3, 409, "BucketAlreadyExists", message));
    }
    let expected = request.header("x-amz-expected-bucket-owner");
    let mismatch = expected.is_some_and(|owner| owner != ACCOUNT_ID);
    (foreign || mismatch).then(|| error(Dialect::S3, 403, "AccessDenied", "Access Denied"))
}

/// Kills the victim, once it is known.
async fn kill(shared: &Shared) {
    let pid = loop {
        if let Some(pid) = shared.state().victim {
            break pid;
        }
        sleep(LOOK_AGAIN).await;
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let killed = kill_process(pid, Signal::KILL);
    assert!(matches!(killed, Ok(()) | Err(Errno::SRCH)), "the victim can't be killed: {killed:?}");
}

/// The code in an error's answer.
fn error_code(name: &Name, answer: &Answer) -> Option<String> {
    let text = answer.text();
    if name.dialect == Dialect::Json {
        let body: Value = serde_json::from_str(&text).ok()?;
        return body["__type"].as_str()?.rsplit('#').next().map(str::to_owned);
    }
    let (_, rest) = text.split_once("<Code>").filter(|_| text.contains("<Error>"))?;
    rest.split_once("</Code>").map(|(code, _)| code.to_owned())
}
