//! Which part of a block is wrong, once it is known that one is: the auditor's answer in words.
//!
//! A certificate fixes the header and the header fixes the rest, so the part that was changed is the one whose honest value makes everything fit again.
//! Called only where an audit has failed.

use chain::{
    block::{Block, Header, transactions_root},
    certificate::CommitCertificate,
    id::{Height, TxId},
    receipt::{Cause, Event, Receipt},
    state::MemoryState,
    tree::Tree,
};
use contracts::execute::{BlockError, HeaderField, InvalidBlock, Parent, VerifiedTransaction, build};

use super::{AuditFailure, difference};

/// A block that cannot even be looked at as a whole.
#[derive(Clone, Debug)]
pub enum BadBlock {
    /// Its bytes are no block.
    Undecodable(String),
    /// One of its transactions is none, or its signature does not match.
    Transaction {
        /// Which.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// What is known to be true when a block is looked at.
#[derive(Debug)]
pub struct Known<'a> {
    pub parent: &'a Parent,
    pub state: &'a MemoryState,
    pub tree: &'a Tree,
    pub height: Height,
    pub offset: u64,
}

impl Known<'_> {
    fn failure(&self, field: impl Into<String>, transaction: Option<(usize, Option<TxId>)>, problem: impl Into<String>) -> AuditFailure {
        AuditFailure { height: Some(self.height), offset: self.offset, field: field.into(), transaction, problem: problem.into() }
    }

    /// The id that the receipts of the block give to a transaction: its bytes may have lost theirs.
    pub fn explain_bad_block(&self, bad: BadBlock, receipts: &[Receipt]) -> AuditFailure {
        match bad {
            BadBlock::Undecodable(problem) => self.failure("block encoding (counts and lengths)", None, problem),
            BadBlock::Transaction { index, problem } => {
                let id = receipts.get(index).and_then(transaction_of);
                self.failure("bytes", Some((index, id)), problem)
            }
        }
    }

    /// Why the header is not the certified one: the field whose honest value gives the certified hash, or the certificate itself.
    pub fn explain_header(
        &self,
        block: &Block,
        transactions: &[VerifiedTransaction],
        certificate: &CommitCertificate,
        certificate_offset: u64,
    ) -> AuditFailure {
        let in_certificate = |field: &str, problem: String| AuditFailure {
            offset: certificate_offset,
            ..self.failure(format!("certificate, {field}"), None, problem)
        };
        if block.header.hash() == certificate.block && block.header.height == certificate.height {
            let problem = format!("expected the block of height {}, found a certified one of height {}", self.height, certificate.height);
            return self.failure("header, height", None, problem);
        }
        if certificate.height != self.height {
            return in_certificate("height", format!("expected {}, found {}", self.height, certificate.height));
        }
        for (field, honest) in self.honest_headers(block, transactions) {
            if honest.hash() == certificate.block {
                let difference = difference::between(&honest, &block.header);
                return self.failure(
                    format!("header, {field}"),
                    None,
                    format!("expected {}, found {}", difference.expected, difference.found),
                );
            }
        }
        // Everything that can be computed is as it must be: then either the time was changed, or the certificate names another block.
        let mut time = block.header;
        for byte in 0..8_u32 {
            for value in 0..=255_u64 {
                let shift = byte.saturating_mul(8);
                let cleared = block.header.timestamp.ms() & !(0xff_u64 << shift);
                time.timestamp = chain::time::Timestamp::from_ms(cleared | (value << shift));
                if time.hash() == certificate.block {
                    return self.failure(
                        "header, timestamp",
                        None,
                        format!("expected {}, found {}", time.timestamp, block.header.timestamp),
                    );
                }
            }
        }
        in_certificate("block", format!("it certifies {}, the block is {}", certificate.block, block.header.hash()))
    }

    /// The header with one field at a time replaced by its only true value.
    fn honest_headers(&self, block: &Block, transactions: &[VerifiedTransaction]) -> Vec<(String, Header)> {
        let found = block.header;
        let mut honest = vec![
            (HeaderField::Version, Header { version: chain::block::HEADER_VERSION, ..found }),
            (HeaderField::ChainId, Header { chain_id: self.parent.chain_id, ..found }),
            (HeaderField::Height, Header { height: self.height, ..found }),
            (HeaderField::Parent, Header { parent: self.parent.hash, ..found }),
            (HeaderField::HistoryRoot, Header { history_root: self.parent.history.root(), ..found }),
            (HeaderField::TransactionsRoot, Header { transactions_root: transactions_root(&block.transactions), ..found }),
        ];
        if let Ok(built) = build(self.state, self.tree, self.parent, found.timestamp, found.proposer, transactions) {
            let header = built.block.header;
            honest.push((HeaderField::ReceiptsRoot, Header { receipts_root: header.receipts_root, ..found }));
            honest.push((HeaderField::StateRoot, Header { state_root: header.state_root, ..found }));
            honest.push((HeaderField::NextValidators, Header { next_validators: header.next_validators, ..found }));
        }
        let mut named: Vec<_> = honest.into_iter().map(|(field, header)| (field.to_string(), header)).collect();
        for member in self.parent.validators.members() {
            named.push(("proposer".to_owned(), Header { proposer: member.address, ..found }));
        }
        named.retain(|(_, header)| *header != found);
        named
    }

    /// Why a certified header's block does not execute to what the header names.
    pub fn explain_execution(&self, error: &BlockError, block: &Block, receipts: &[Receipt]) -> AuditFailure {
        let id_at = |index: usize| receipts.get(index).and_then(transaction_of);
        match error {
            BlockError::Fault(fault) => self.failure("execution", None, fault.to_string()),
            BlockError::Invalid(invalid) => match invalid {
                InvalidBlock::Transaction { index, rejection } => {
                    self.failure("call", Some((*index, id_at(*index))), rejection.to_string())
                }
                InvalidBlock::OtherTransaction(index) => self.failure("bytes", Some((*index, id_at(*index))), invalid.to_string()),
                InvalidBlock::Field { field: HeaderField::TransactionsRoot, .. } => {
                    // Every transaction is well signed, so the list itself was changed: by order, by number, or by one that is good elsewhere.
                    let odd = block.transactions.iter().enumerate().find(|(index, bytes)| {
                        let found = contracts::call::Transaction::decode(bytes).ok().map(|transaction| transaction.id());
                        found != id_at(*index)
                    });
                    let transaction = odd.map(|(index, _)| (index, id_at(index)));
                    self.failure("transactions root", transaction, invalid.to_string())
                }
                InvalidBlock::Field { field, .. } | InvalidBlock::Number { field, .. } => {
                    self.failure(format!("header, {field}"), None, invalid.to_string())
                }
                InvalidBlock::Proposer(_) => self.failure("header, proposer", None, invalid.to_string()),
                InvalidBlock::TooLarge { .. } => self.failure("block size", None, invalid.to_string()),
            },
        }
    }
}

/// The first receipt that is not as executed.
pub fn first_difference(found: &[Receipt], executed: &[Receipt]) -> Option<(usize, String)> {
    if let Some(index) = found.iter().zip(executed).position(|(found, executed)| found != executed) {
        let difference = executed.get(index).zip(found.get(index)).map(|(executed, found)| difference::between(executed, found));
        return Some((index, difference.map(|difference| difference.to_string()).unwrap_or_default()));
    }
    (found.len() != executed.len())
        .then(|| (found.len().min(executed.len()), format!("expected {} receipts, found {}", executed.len(), found.len())))
}

/// The transaction that a receipt is of.
pub fn transaction_of(receipt: &Receipt) -> Option<TxId> {
    match receipt.cause {
        Cause::Transaction(id) => Some(id),
        Cause::Due(_) => None,
    }
}

/// How many accounts a block's receipts registered.
pub fn registrations(receipts: &[Receipt]) -> usize {
    receipts.iter().flat_map(|receipt| &receipt.events).filter(|event| matches!(event, Event::AccountRegistered { .. })).count()
}

/// A key of the state in words.
pub fn key_text(key: &[u8]) -> String {
    let table = match key.first() {
        Some(1) => "account",
        Some(2) => "signer",
        Some(3) => "condominium",
        Some(4) => "role",
        Some(5) => "group",
        Some(6) => "connector",
        Some(7) => "tariff head",
        Some(8) => "tariff version",
        Some(9) => "session",
        Some(10) => "queue",
        Some(11) => "due",
        Some(12) => "redemption",
        Some(13) => "position",
        Some(14) => "invite",
        Some(15) => "parameters",
        Some(16) => "validators",
        Some(17) => "pending position",
        Some(18) => "session times",
        Some(19) => "roaming",
        Some(20) => "clearing head",
        Some(21) => "clearing",
        Some(22) => "payment",
        _ => "unknown table",
    };
    format!("state, {table} {}", hex::encode(key.get(1..).unwrap_or_default()))
}
