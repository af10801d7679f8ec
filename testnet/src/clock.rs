//! The virtual clock's end of the wire: moves one node's time and hears when nothing is left to do in the present instant.
//!
//! A Unix socket on which the node calls; one JSON object a line. Time is stepped, not scaled: the next instant comes when the node has committed and answered
//! everything of this one, and stands still while it is down. It knows no processes and no world. Called by [`crate::federation`].

use std::{io, path::Path, time::Duration};

use chain::id::{ChainId, Height};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The longest line, in bytes.
const MAX_LINE_BYTES: u64 = 4_096;

/// How long a node may take to become quiet, real time: far more than any instant needs.
pub const QUIET_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a node's time cannot be moved.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The connection is gone, most likely with the node.
    #[error("the node has left the clock: {0}")]
    Gone(#[from] io::Error),
    /// A line that is not understood.
    #[error("the node's clock says {line:?}: {message}")]
    Malformed { line: String, message: String },
    /// It never came to rest.
    #[error("the node did not become quiet within {} s", QUIET_TIMEOUT.as_secs())]
    Restless,
}

/// What a node says when nothing is left to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Quiet {
    /// Its time, ms.
    pub now: u64,
    /// The earliest time that anybody in it waits for, ms.
    pub next_timer: Option<u64>,
    /// The newest block.
    pub height: Height,
}

/// Where nodes call.
#[derive(Debug)]
pub struct ClockSocket(UnixListener);

impl ClockSocket {
    /// Listens at a path that does not exist yet.
    ///
    /// # Errors
    /// The socket's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        UnixListener::bind(path).map(Self)
    }

    /// The next node that calls, and its chain.
    ///
    /// # Errors
    /// [`ClockError`].
    pub async fn accept(&self) -> Result<(ClockLine, ChainId), ClockError> {
        let (stream, _) = self.0.accept().await?;
        let mut line = ClockLine::new(stream);
        let Greeting::Hello { chain_id } = line.read().await?;
        Ok((line, chain_id))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Greeting {
    Hello { chain_id: ChainId },
}

#[derive(Serialize)]
struct Order {
    advance_to: u64,
    hold: bool,
}

/// Whether the node may make blocks once it has become quiet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// It may.
    Free,
    /// Not before it is moved again: what is sent to it until then shares a block.
    Held,
}

/// The connection with one node.
#[derive(Debug)]
pub struct ClockLine {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    /// Orders whose answers nobody waited for; each order is answered once, in turn.
    unanswered: u32,
    partial: Vec<u8>,
}

impl ClockLine {
    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer, unanswered: 0, partial: Vec::new() }
    }

    /// Moves the node to an instant, or asks again about the present one, and waits until nothing is left to do in it. Whoever gives up waiting leaves the
    /// answer to the next order.
    ///
    /// # Errors
    /// [`ClockError`].
    pub async fn advance(&mut self, to_ms: u64, blocks: Blocks) -> Result<Quiet, ClockError> {
        self.order(to_ms, blocks).await?;
        tokio::time::timeout(QUIET_TIMEOUT, self.last_answer()).await.map_err(|_| ClockError::Restless)?
    }

    /// Gives an order and does not wait for its answer.
    ///
    /// # Errors
    /// [`ClockError::Gone`].
    pub async fn order(&mut self, to_ms: u64, blocks: Blocks) -> Result<(), ClockError> {
        let mut line = serde_json::to_vec(&Order { advance_to: to_ms, hold: blocks == Blocks::Held }).map_err(io::Error::from)?;
        line.push(b'\n');
        self.writer.write_all(&line).await?;
        self.unanswered += 1;
        Ok(())
    }

    async fn last_answer(&mut self) -> Result<Quiet, ClockError> {
        loop {
            let quiet = self.read().await?;
            self.unanswered = self.unanswered.saturating_sub(1);
            if self.unanswered == 0 {
                return Ok(quiet);
            }
        }
    }

    async fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, ClockError> {
        // What a wait that was given up has read of a line stays for the next one.
        loop {
            let room = MAX_LINE_BYTES.saturating_sub(self.partial.len() as u64);
            let read = (&mut self.reader).take(room).read_until(b'\n', &mut self.partial).await?;
            if self.partial.ends_with(b"\n") || (read == 0 && room == 0) {
                break;
            }
            if read == 0 {
                return Err(ClockError::Gone(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned();
        serde_json::from_str(&line).map_err(|error| ClockError::Malformed { line, message: error.to_string() })
    }
}
