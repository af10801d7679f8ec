//! The stream of committed events, kept alive: server-sent events with reconnection from the last id.

use std::{fmt, pin::Pin, str::FromStr, time::Duration};

use chain::{
    api::StreamedEvent,
    id::{Address, Height, SessionId},
};
use futures::{Stream, StreamExt};
use reqwest::Method;

use super::{Client, ClientError, parameter};

/// The longest silence of a stream that is alive, with room for a late one: the node pings every 15 s.
const SILENCE: Duration = Duration::from_secs(50);

/// The pauses between attempts to connect again; after the last the stream ends with the error.
const PAUSES_MS: [u64; 8] = [0, 100, 250, 500, 1_000, 2_000, 4_000, 8_000];

/// The longest line of a stream, and the most data of one event, in bytes.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// What to hear of; everything where nothing is named.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventFilter {
    /// Only what concerns this account.
    pub account: Option<Address>,
    /// Only what concerns this session.
    pub session: Option<SessionId>,
}

/// An event's place in the chain: `HEIGHT-INDEX-N`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EventId {
    /// The block.
    pub height: Height,
    /// The receipt's place in it.
    pub index: u32,
    /// The event's place in the receipt.
    pub event: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.height, self.index, self.event)
    }
}

/// A text that is no event's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected block, receipt and event such as 17-0-2")]
pub struct BadEventId;

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(BadEventId);
        let (height, index, event) = (part()?, part()?, part()?);
        Ok(Self { height: Height(number(height)?), index: number(index)?, event: number(event)? })
    }
}

/// Digits as they are written and nothing else: one event has one name.
fn number<T: FromStr + ToString>(digits: &str) -> Result<T, BadEventId> {
    digits.parse().ok().filter(|number: &T| number.to_string() == digits).ok_or(BadEventId)
}

/// An event of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEvent {
    /// Its place; what to go on from.
    pub id: EventId,
    /// What happened, and when.
    pub streamed: StreamedEvent,
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Vec<u8>, ClientError>> + Send>>;

/// Committed events in order, each once; it connects again from the last one by itself.
pub struct EventStream {
    client: Client,
    filter: EventFilter,
    last: Option<EventId>,
    pieces: Option<Pieces>,
    parser: FrameParser,
    failures: usize,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("filter", &self.filter).field("last", &self.last).finish_non_exhaustive()
    }
}

impl EventStream {
    pub(super) fn new(client: Client, filter: EventFilter, last: Option<EventId>) -> Self {
        Self { client, filter, last, pieces: None, parser: FrameParser::default(), failures: 0 }
    }

    /// The newest event that was given out.
    #[must_use]
    pub const fn last(&self) -> Option<EventId> {
        self.last
    }

    /// Connects, so that everything committed after this returns is heard of; [`EventStream::next`] does it by itself.
    ///
    /// # Errors
    /// [`ClientError`] of this one attempt.
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        if self.pieces.is_some() {
            return Ok(());
        }
        let mut path = "/events".to_owned();
        parameter(&mut path, "account", self.filter.account);
        parameter(&mut path, "session", self.filter.session);
        let mut request = self.client.request(Method::GET, &path).header(reqwest::header::ACCEPT, "text/event-stream");
        if let Some(last) = self.last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = self.client.send(request).await?;
        let url = self.client.base.clone();
        let pieces = response
            .bytes_stream()
            .map(move |piece| piece.map(|bytes| bytes.to_vec()).map_err(|error| ClientError::unreachable(&url, &error)));
        self.parser = FrameParser::default();
        self.pieces = Some(Box::pin(pieces));
        Ok(())
    }

    /// The next event. It waits as long as nothing happens; a lost connection is made again, eight times in a row at most.
    ///
    /// # Errors
    /// [`ClientError`] when the node stays away or refuses the stream; asking again tries again.
    pub async fn next(&mut self) -> Result<NodeEvent, ClientError> {
        loop {
            if let Some(frame) = self.parser.take() {
                if let Some(event) = self.read(&frame)? {
                    return Ok(event);
                }
                continue;
            }
            let outcome = match self.connect().await {
                Ok(()) => self.fill().await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                self.pieces = None;
                let pause = PAUSES_MS.get(self.failures).copied().filter(|_| error.is_transient());
                let Some(pause_ms) = pause else {
                    self.failures = 0;
                    return Err(error);
                };
                self.failures = self.failures.saturating_add(1);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }

    /// Reads one piece; an end or a long silence is a lost connection.
    async fn fill(&mut self) -> Result<(), ClientError> {
        let lost = |reason: &str| ClientError::Unreachable { url: self.client.url().to_owned(), reason: reason.to_owned() };
        let Some(pieces) = self.pieces.as_mut() else {
            return Err(lost("not connected"));
        };
        match tokio::time::timeout(SILENCE, pieces.next()).await {
            Err(_) => Err(lost("the event stream fell silent")),
            Ok(None) => Err(lost("the event stream ended")),
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(bytes))) => {
                if !self.parser.push(&bytes) {
                    return Err(ClientError::Answer {
                        path: "/events".to_owned(),
                        reason: format!("a line or an event exceeds {MAX_EVENT_BYTES} bytes"),
                    });
                }
                // Only a stream that brings something counts as back: one that opens and breaks at once would be tried for ever.
                self.failures = 0;
                Ok(())
            }
        }
    }

    fn read(&mut self, frame: &Frame) -> Result<Option<NodeEvent>, ClientError> {
        // What has no place in the chain says why the node ends the stream: that the token has run out. Connecting again signs in again.
        if frame.id.is_empty() {
            return Ok(None);
        }
        let bad = |reason: String| ClientError::Answer { path: "/events".to_owned(), reason };
        let id: EventId = frame.id.parse().map_err(|error| bad(format!("event id {:?}: {error}", frame.id)))?;
        // A node that resumes one event too early must not make us tell it twice.
        if self.last.is_some_and(|last| id <= last) {
            return Ok(None);
        }
        let streamed = serde_json::from_str(&frame.data).map_err(|error| bad(error.to_string()))?;
        self.last = Some(id);
        Ok(Some(NodeEvent { id, streamed }))
    }
}

/// One event as it was sent.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Its name.
    pub id: String,
    /// Its lines of data, a line end between two.
    pub data: String,
}

/// Splits the stream's bytes into frames, as the HTML standard says (fields `id` and `data`; comments and others are passed over). Neither a line nor a frame grows
/// beyond a bound, whatever the other side sends.
#[derive(Clone, Default, Debug)]
pub struct FrameParser {
    bytes: Vec<u8>,
    frame: Frame,
    ready: std::collections::VecDeque<Frame>,
}

impl FrameParser {
    /// Takes bytes in; false where a line or a frame is too long, and the stream is to be given up.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let mut taken = std::mem::take(&mut self.bytes);
        // What was there before has no line's end.
        let mut looked = taken.len();
        taken.extend_from_slice(bytes);
        let (mut begin, mut fits) = (0, true);
        while let Some(length) = taken[looked..].iter().position(|byte| *byte == b'\n') {
            let end = looked + length;
            fits &= self.line(String::from_utf8_lossy(&taken[begin..end]).trim_end_matches('\r'));
            begin = end + 1;
            looked = begin;
        }
        taken.drain(..begin);
        self.bytes = taken;
        fits && self.bytes.len() <= MAX_EVENT_BYTES
    }

    fn line(&mut self, line: &str) -> bool {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            if !frame.data.is_empty() {
                self.ready.push_back(frame);
            }
            return true;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut self.frame.id),
            "data" => {
                if self.frame.data.len().saturating_add(value.len()) >= MAX_EVENT_BYTES {
                    return false;
                }
                if !self.frame.data.is_empty() {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            _ => {}
        }
        true
    }

    /// The next whole frame.
    pub fn take(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_of_the_bytes() {
        let text = ": ping\n\nid: 3-0-1\nevent: transferred\ndata: {\"a\":\r\ndata: 1}\r\n\r\nid: 4-1-0\ndata:x\n\n";
        for cut in 0..text.len() {
            let mut parser = FrameParser::default();
            assert!(parser.push(&text.as_bytes()[..cut]));
            assert!(parser.push(&text.as_bytes()[cut..]));
            assert_eq!(parser.take(), Some(Frame { id: "3-0-1".to_owned(), data: "{\"a\":\n1}".to_owned() }), "cut at {cut}");
            assert_eq!(parser.take(), Some(Frame { id: "4-1-0".to_owned(), data: "x".to_owned() }), "cut at {cut}");
            assert_eq!(parser.take(), None);
        }
    }

    /// A frame of many lines, none of them long, had no bound: a node that sent data without ever ending an event filled the client's memory.
    #[test]
    fn an_event_that_never_ends_is_given_up() {
        let mut parser = FrameParser::default();
        let line = format!("data: {}\n", "x".repeat(1_000));
        let taken = (0..10_000).take_while(|_| parser.push(line.as_bytes())).count();
        assert_eq!(taken, MAX_EVENT_BYTES / 1_001);
        assert!(parser.frame.data.len() <= MAX_EVENT_BYTES);
    }

    #[test]
    fn ids_are_ordered_as_the_chain_is() {
        let id = |text: &str| text.parse::<EventId>().unwrap();
        assert!(id("9-2-0") < id("10-0-0"));
        assert!(id("10-0-9") < id("10-0-10"));
        for wrong in ["10-0", "+10-0-1", "10-00-1", "10-0-1-2"] {
            assert_eq!(wrong.parse::<EventId>(), Err(BadEventId), "{wrong}");
        }
        assert_eq!(id("10-3-2").to_string(), "10-3-2");
    }
}
