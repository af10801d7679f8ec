//! The listening socket of the API: connections that are closed politely, and refusals that carry their problem.
//!
//! The HTTP library answers a request head that it cannot read (no HTTP, too long an address, too many header fields) by itself and without a body, before any
//! route is asked; here that answer gets the body that every other refusal has. Nothing else of what passes is looked at. Called by `lib.rs`.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    http::StatusCode,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};

use super::problem::ApiProblem;

/// How long, and for how many bytes, what a client still sends is read after the last answer: a connection that is closed over unread bytes is reset, and the
/// answer with it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// A listening socket.
#[derive(Debug)]
pub struct Door(TcpListener);

impl Door {
    /// Over a socket that listens.
    #[must_use]
    pub const fn new(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Guest { stream, refusal: Vec::new(), sent: 0, lingering: None }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// From where a request comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker(pub SocketAddr);

impl Connected<IncomingStream<'_, Door>> for Asker {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection.
#[derive(Debug)]
pub struct Guest {
    stream: TcpStream,
    /// A refusal with its body, on its way out in place of the one without, and how much of it was sent.
    refusal: Vec<u8>,
    sent: usize,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl AsyncRead for Guest {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.refusal.is_empty() {
            match with_problem(bytes) {
                Some(refusal) => self.refusal = refusal,
                None => return Pin::new(&mut self.stream).poll_write(context, bytes),
            }
        }
        let this = &mut *self;
        while let Some(rest) = this.refusal.get(this.sent..).filter(|rest| !rest.is_empty()) {
            let sent = ready!(Pin::new(&mut this.stream).poll_write(context, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.sent = this.sent.saturating_add(sent);
        }
        this.refusal.clear();
        this.sent = 0;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // A refusal without a body is one slice.
        let mut whole = slices.iter().filter(|slice| !slice.is_empty());
        match (whole.next(), whole.next()) {
            (Some(only), None) => self.poll_write(context, only),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let (until, read) = this.lingering.get_or_insert_with(|| (Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)), 0));
        let mut bytes = [0; 8 << 10];
        while *read < LINGER_BYTES && until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *read = read.saturating_add(buffer.filled().len()),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The answer with a body, where `bytes` are exactly a refusal that the HTTP library made without one.
fn with_problem(bytes: &[u8]) -> Option<Vec<u8>> {
    const NO_BODY: &str = "\r\ncontent-length: 0\r\n";
    let head = std::str::from_utf8(bytes).ok()?;
    let status: u16 = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    if !head.ends_with("\r\n\r\n") || !head.contains(NO_BODY) || head.contains("content-type") {
        return None;
    }
    let body = ApiProblem::unreadable_head(StatusCode::from_u16(status).ok()?)?;
    let fields = format!(
        "\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ncontent-length: {}\r\n",
        body.len()
    );
    Some([head.replacen(NO_BODY, &fields, 1).into_bytes(), body].concat())
}
