//! A listening socket that speaks HTTP: the API's, and the units'.
//!
//! Connections are few, in all and for each client: one too many is closed at once, so that those that stand go on and files can still be opened. One that
//! sends no whole head in time, at its beginning or after an answer, is closed, as is one that takes nothing of its answer for long. What streams or waits
//! inside a request is no concern of these clocks.
//!
//! The HTTP library answers a request head that it cannot read (no HTTP, too long an address, too many header fields) by itself and without a body, before any
//! route is asked; here that answer gets the body that every other refusal has. Nothing else of what passes is looked at. Called by `lib.rs`.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, Sleep},
};
use tower::Service as _;

use super::{
    pace::Client,
    problem::ApiProblem,
    seats::{Full, Seats},
};
use crate::config::ApiConfig;

/// How long a whole request head may take to arrive, from the beginning of the connection or the end of the last answer.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer that is ready for it. The system says that something was taken when a third of its own buffer of up to 4 MiB is
/// free again, so that a client is also cut off which takes less than some 5 kB/s all the while.
pub const TAKE_TIMEOUT: Duration = Duration::from_secs(300);

/// The most that is kept of a request head, or of an answer that is not taken, in bytes.
const BUFFER_BYTES: usize = 128 << 10;

/// How often refused connections are logged, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How long to wait where the system gives no more connections.
const RETRY: Duration = Duration::from_secs(1);

/// How long, and for how many bytes, what a client still sends is read after the last answer: a connection that is closed over unread bytes is reset, and the
/// answer with it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// What a door bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections in all.
    pub connections: u32,
    /// Connections of one client.
    pub per_client: u32,
    /// How long a request head may take, and a connection between requests.
    pub head: Duration,
}

impl Bounds {
    /// Of the units' door: one unit needs one connection, now and then.
    pub const UNITS: Self = Self { connections: 256, per_client: 128, head: HEAD_TIMEOUT };

    /// Of the API, as an operator set it.
    #[must_use]
    pub const fn of(settings: &ApiConfig) -> Self {
        Self { connections: settings.connections, per_client: settings.connections_per_client, head: HEAD_TIMEOUT }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Door {
    name: &'static str,
    listener: TcpListener,
    seats: Arc<Seats>,
    head: Duration,
    refused: Counter,
}

impl Door {
    /// Over a socket that listens; `name` is for the log.
    #[must_use]
    pub fn new(name: &'static str, listener: TcpListener, bounds: Bounds) -> Self {
        let seats = Seats::new(bounds.connections, bounds.per_client);
        Self { name, listener, seats, head: bounds.head, refused: Counter::default() }
    }

    /// The same with another counter of the connections that it refuses.
    #[must_use]
    pub fn counted_by(mut self, refused: Counter) -> Self {
        self.refused = refused;
        self
    }

    /// Counts the connections that it refuses.
    #[must_use]
    pub fn refused(&self) -> Counter {
        self.refused.clone()
    }

    /// Answers until it is dropped; connections that stand then finish what they answer.
    pub async fn serve(self, router: Router) {
        let (_open, closed) = watch::channel(());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.head).max_buf_size(BUFFER_BYTES);
        let mut told: Option<Instant> = None;
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // Of a connection that ended before it was accepted.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => continue,
                Err(error) => {
                    tracing::error!(door = self.name, %error, "the system gives no more connections");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let seat = match self.seats.take(Client::at(address.ip())) {
                Ok(seat) => seat,
                Err(full) => {
                    drop(stream);
                    self.refused.inc();
                    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        // Whose they are, the system can tell its operator (`ss -tn`): an address stands for a person.
                        let whose = match full {
                            Full::All => "of all",
                            Full::Own => "of one client",
                        };
                        tracing::warn!(
                            door = self.name,
                            whose,
                            refused = self.refused.get(),
                            "too many connections: further ones are closed at once"
                        );
                    }
                    continue;
                }
            };
            let router = router.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(Asker(address)));
                router.clone().call(request)
            });
            let connection = http.serve_connection(TokioIo::new(Guest::new(stream)), answer);
            let mut closed = closed.clone();
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                // How it ended is the client's affair.
                tokio::select! {
                    _ended = connection.as_mut() => {}
                    // Nothing is ever sent: the sender is gone.
                    _closed = closed.changed() => {
                        connection.as_mut().graceful_shutdown();
                        let _ended = connection.await;
                    }
                }
                drop(seat);
            });
        }
    }
}

/// From where a request comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker(pub SocketAddr);

/// A connection.
#[derive(Debug)]
pub struct Guest {
    stream: TcpStream,
    /// A refusal with its body, on its way out in place of the one without, and how much of it was sent.
    refusal: Vec<u8>,
    sent: usize,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
    /// Until when something must be taken of what is ready for the client, while nothing is.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guest {
    const fn new(stream: TcpStream) -> Self {
        Self { stream, refusal: Vec::new(), sent: 0, lingering: None, stalled: None }
    }

    /// What came of sending, or that the client has taken nothing for too long.
    fn sent(&mut self, context: &mut Context<'_>, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if sent.is_ready() {
            self.stalled = None;
            return sent;
        }
        let until = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(TAKE_TIMEOUT)));
        until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
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
                None => {
                    let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
                    return self.sent(context, sent);
                }
            }
        }
        let this = &mut *self;
        while let Some(rest) = this.refusal.get(this.sent..).filter(|rest| !rest.is_empty()) {
            let sent = Pin::new(&mut this.stream).poll_write(context, rest);
            let sent = ready!(this.sent(context, sent))?;
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
            _ => {
                let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
                self.sent(context, sent)
            }
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
