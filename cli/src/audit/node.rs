//! The audit of a node's chain while it runs: its export, taken in as it comes.

use std::io::{self, Read};

use chain::id::{ChainId, Height};
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{AuditError, AuditReport, Progress, Tables, replay_into};
use crate::client::{Client, ClientError};

/// Pieces of the export that may wait for the audit.
const PIECES: usize = 16;

/// Why there is no report of a node's chain.
#[derive(Debug, thiserror::Error)]
pub enum NodeAuditError {
    /// The node did not give its chain.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain is not true, or cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Audits the chain of the node that `client` talks to, up to its newest block at this moment; `expected` as in [`super::replay`], `tables`
/// as in [`replay_into`].
///
/// # Errors
/// [`NodeAuditError`]; a connection that breaks is the client's, not a failed verification.
pub async fn replay_node(
    client: &Client,
    expected: Option<ChainId>,
    mut tables: Option<Tables>,
    progress: impl FnMut(Progress) + Send + 'static,
) -> Result<(AuditReport, Option<Tables>), NodeAuditError> {
    let mut stream = client.export(Height(1)).await?;
    let (sender, receiver) = mpsc::channel(PIECES);
    let audit = tokio::task::spawn_blocking(move || {
        let source = Pieces { receiver, piece: Vec::new(), read: 0 };
        replay_into(source, expected, tables.as_mut(), progress).map(|report| (report, tables))
    });
    let mut broken = None;
    while let Some(piece) = stream.next().await {
        match piece {
            // An audit that has ended has found something, and says so below.
            Ok(piece) => {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let result = audit.await.map_err(|error| AuditError::Machine(error.to_string()))?;
    match (result, broken) {
        (Err(AuditError::Failed(failure)), Some(error)) if failure.is_cut_off() => Err(error.into()),
        (result, _) => Ok(result?),
    }
}

/// Reads pieces that another task sends.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read >= self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.read) = (piece, 0),
                None => return Ok(0),
            }
        }
        let rest = self.piece.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.read += count;
        Ok(count)
    }
}
