//! The stepped clock's wire: whoever runs a test federation moves this node's time and learns when it has nothing left to do.
//!
//! One connection to a Unix socket that the other side listens on; a JSON object a line in both directions.
//! ```text
//! node → {"hello": {"chain_id": "…", "height": "0"}}
//! them → {"advance_to": 1767614400000}          ms since the epoch; the same instant again asks only whether the node is quiet
//! node → {"quiet": true, "now": 1767614400000, "next_timer": 1767614460000 | null, "height": "17"}      once nothing is left to do
//! ```
//! An order with `"hold": true` is answered like any other, but from then on no block begins before the next order: whatever is sent in between, by however many
//! residents and units, shares a block, and blocks per instant do not grow with them.
//!
//! A node with this clock starts with the first `advance_to`. When the connection ends the node stops: nobody would ever move its time again.
//! Only for chains whose genesis says `test`. Called by `lib.rs`.

use std::{io, path::Path, time::Instant};

use chain::{
    id::{ChainId, Height},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tracing::warn;

use crate::{
    app::AppHandle,
    clock::{Clock, ClockError},
};

/// The longest line, in bytes.
const MAX_LINE_BYTES: u64 = 4_096;

/// How long quietness is awaited before it is looked at again without a sign; only a guard against a missed one.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);

/// After how long a node that is not quiet says what it waits for, and how often: an instant's work takes milliseconds.
const RESTLESS: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Greeting {
    Hello { chain_id: ChainId, height: Height },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    advance_to: u64,
    #[serde(default)]
    hold: bool,
}

#[derive(Serialize)]
struct Quiet {
    quiet: bool,
    now: u64,
    next_timer: Option<u64>,
    height: Height,
}

/// Why the clock is no longer moved.
#[derive(Debug, thiserror::Error)]
pub enum SteppedError {
    /// The socket failed.
    #[error("the clock's socket: {0}")]
    Io(#[from] io::Error),
    /// A line that is no order.
    #[error("the clock's socket sent {line:?}: {message}")]
    Malformed {
        /// The line.
        line: String,
        /// What is wrong.
        message: String,
    },
    /// An order that the clock refuses.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The other side is gone.
    #[error("whoever moves the clock has closed the connection")]
    Closed,
}

/// The connection, before the node runs.
#[derive(Debug)]
pub struct SteppedClock {
    clock: Clock,
    /// Whether the first order wants blocks held back.
    hold_first: bool,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl SteppedClock {
    /// Connects, says who is there and waits for the first time.
    ///
    /// # Errors
    /// [`SteppedError`].
    pub async fn connect(socket: &Path, chain_id: ChainId, height: Height) -> Result<Self, SteppedError> {
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        let mut connection =
            Self { clock: Clock::stepped(Timestamp::default()), hold_first: false, reader: BufReader::new(reader), writer };
        connection.send(&Greeting::Hello { chain_id, height }).await?;
        let first = connection.order().await?;
        connection.clock = Clock::stepped(Timestamp::from_ms(first.advance_to));
        connection.hold_first = first.hold;
        Ok(connection)
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Answers the first order and obeys the following ones until the connection ends.
    ///
    /// # Errors
    /// [`SteppedError`]; [`SteppedError::Closed`] is how it usually ends.
    pub async fn serve(mut self, app: AppHandle) -> Result<(), SteppedError> {
        let mut hold = self.hold_first;
        loop {
            self.until_quiet(&app).await;
            let held = if hold { self.clock.hold_blocks() } else { None };
            let height = app.tip().height;
            let next_timer = self.clock.next_timer().map(Timestamp::ms);
            self.send(&Quiet { quiet: true, now: self.clock.now().ms(), next_timer, height }).await?;
            let order = self.order().await?;
            hold = order.hold;
            self.clock.set(Timestamp::from_ms(order.advance_to))?;
            drop(held);
        }
    }

    async fn until_quiet(&self, app: &AppHandle) {
        let mut said = Instant::now();
        while !(self.clock.is_quiet() && app.is_quiet()) {
            // A sign that came before this wait is kept by the clock, so none is missed.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.clock.changed()).await;
            if said.elapsed() >= RESTLESS {
                said = Instant::now();
                let (now, agenda, left) = (self.clock.now(), self.clock.left(), app.left());
                warn!(%now, at_work = agenda.at_work, next_timer = ?agenda.next_timer, ?left, "something keeps this instant from ending");
            }
        }
    }

    async fn order(&mut self) -> Result<Order, SteppedError> {
        let mut line = String::new();
        let read = (&mut self.reader).take(MAX_LINE_BYTES).read_line(&mut line).await?;
        if read == 0 {
            return Err(SteppedError::Closed);
        }
        serde_json::from_str(&line).map_err(|error| SteppedError::Malformed { line, message: error.to_string() })
    }

    async fn send(&mut self, message: &impl Serialize) -> Result<(), SteppedError> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::from)?;
        line.push(b'\n');
        self.writer.write_all(&line).await?;
        Ok(())
    }
}
