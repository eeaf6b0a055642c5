//! A connection that can break as connections do: with a reset, and halfway through an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Long enough for the first half of an answer to leave.
const HALF_TIME: Duration = Duration::from_millis(20);

/// Says of a connection that it ends with a reset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate(Arc<AtomicBool>);

impl Fate {
    /// Lets the connection end with a reset.
    pub(crate) fn seal(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn sealed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    fate: Fate,
}

impl Wire {
    /// Wraps `stream`, to end as `fate` says.
    pub(crate) fn new(stream: TcpStream, fate: Fate) -> Self {
        Self { stream, fate }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fate.sealed() {
            // Without a time to linger, closing sends a reset in place of the usual end.
            self.stream.set_zero_linger().expect("a socket takes its options");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.sealed() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of an answer: whole, or cut in the middle.
#[derive(Debug)]
pub(crate) struct Payload {
    rest: Bytes,
    /// What the head promises.
    length: u64,
    cut: Option<Pin<Box<Sleep>>>,
}

impl Payload {
    /// All of `body`.
    pub(crate) fn whole(body: Bytes) -> Self {
        Self { length: body.len() as u64, rest: body, cut: None }
    }

    /// The first half of `body`, and then nothing more.
    pub(crate) fn half(body: &Bytes) -> Self {
        let rest = body.slice(..body.len() / 2);
        Self { length: body.len() as u64, rest, cut: Some(Box::pin(sleep(HALF_TIME))) }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.rest.is_empty() {
            let part = std::mem::take(&mut self.rest);
            self.length -= part.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let Some(time) = &mut self.cut else { return Poll::Ready(None) };
        time.as_mut().poll(cx).map(|()| Some(Err(io::ErrorKind::ConnectionReset.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0 && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
