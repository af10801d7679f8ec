//! What must be true when the storm is over: of the nodes, of the money, of every session.
//!
//! It compares three tales: the chain's blocks as a node shows them, the receipts that residents were told, and what the cars drew. Called by `chaos`.

use std::collections::{BTreeMap, HashMap};

use chain::{
    api::CondominiumView,
    id::{Address, Height, SessionId},
    receipt::{Event, SessionReceipt},
};
use cli::client::Client;

use super::life::Stay;
use crate::{
    report::{Audit, Findings},
    resident::{AskError, Lines},
};

/// What the chain says of sessions and positions, block by block.
#[derive(Debug, Default)]
pub struct Tale {
    /// How often each session was opened, and every bill of it.
    sessions: HashMap<SessionId, (u32, Vec<SessionReceipt>)>,
}

impl Tale {
    /// Reads all blocks.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn read(lines: &mut Lines, to: Height) -> Result<Self, AskError> {
        let mut tale = Self::default();
        let mut height = Height(0);
        while height < to {
            height = height.next();
            let block = lines.ask(0, "the receipts of a block", async |client: &Client| client.block_receipts(height).await).await?;
            for event in block.receipts.iter().flat_map(|receipt| &receipt.events) {
                if let Event::SessionOpened { session, .. } = event {
                    tale.sessions.entry(*session).or_default().0 += 1;
                } else if let Event::SessionSettled(receipt) = event {
                    tale.sessions.entry(receipt.session).or_default().1.push(*receipt);
                }
            }
        }
        Ok(tale)
    }

    /// Sessions that were opened and have no bill, and sessions with more than one.
    #[must_use]
    pub fn lost_and_twice(&self) -> (usize, usize) {
        let lost = self.sessions.values().filter(|(_, bills)| bills.is_empty()).count();
        let twice = self.sessions.values().filter(|(opened, bills)| bills.len() > 1 || *opened != 1).count();
        (lost, twice)
    }
}

/// Somebody's money at the end.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Whose.
    pub address: Address,
    /// What he bought, micro-tokens.
    pub bought: u64,
    /// What he has, and what is still locked, micro-tokens.
    pub balance: u64,
    pub held: u64,
}

/// Everything that is judged.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What residents came home with.
    pub stays: &'a [Stay],
    /// What the chain says.
    pub tale: &'a Tale,
    /// Roots, totals, audit.
    pub findings: &'a Findings,
    /// Everyone, by his number.
    pub holders: &'a [Holder],
}

impl Evidence<'_> {
    /// What is not true, in words; empty where all is.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, rule: String| {
            if !holds {
                faults.push(rule);
            }
        };
        let Findings { totals, audit: Audit { ok, failure, .. }, nodes } = self.findings;
        require(nodes.iter().all(|node| Some(node) == nodes.first()), format!("the nodes end in different blocks or states: {nodes:?}"));
        require(*ok, format!("the audit failed: {}", failure.as_deref().unwrap_or("unknown")));
        let sum = |of: fn(&CondominiumView) -> u64| totals.iter().map(of).sum::<u64>();
        let (balance, held, sold) =
            (sum(|view| view.balance.micro()), sum(|view| view.held.micro()), sum(|view| view.condominium.minted.micro()));
        require(totals.iter().all(|view| view.conserved) && balance + held == sold, "tokens appeared or vanished".to_owned());
        require(held == 0, format!("{held} micro-tokens are still held"));
        require(self.positions_agree(), "the positions are not what the bills of sessions away from home add up to".to_owned());

        let (lost, twice) = self.tale.lost_and_twice();
        require(lost == 0, format!("{lost} sessions were opened and never settled"));
        require(twice == 0, format!("{twice} sessions were opened or settled more than once"));
        let unknown = self.tale.sessions.len() - self.stays.iter().filter(|stay| self.tale.sessions.contains_key(&stay.session)).count();
        require(unknown == 0, format!("{unknown} sessions of the chain are nobody's"));
        require(!self.stays.is_empty(), "no session was settled".to_owned());
        for stay in self.stays {
            let session = stay.session;
            match self.tale.sessions.get(&session).and_then(|(_, bills)| bills.first()) {
                None => require(false, format!("session {session} was settled for its owner and is not on the chain")),
                Some(bill) => {
                    let billed = bill.energy.get();
                    require(
                        billed == stay.drawn_wh,
                        format!("session {session}: the car drew {} Wh, the bill says {billed}", stay.drawn_wh),
                    );
                    let whole = bill.paid.micro() + bill.refund.micro() == stay.escrow.micro();
                    require(
                        whole && bill.escrow == stay.escrow,
                        format!("session {session}: paid and refund are not the escrow of {}", stay.escrow),
                    );
                    require(*bill == stay.receipt, format!("session {session}: its owner was told another bill"));
                }
            }
        }
        for (number, holder) in self.holders.iter().enumerate() {
            let paid: u64 = self.stays.iter().filter(|stay| stay.person == number).map(|stay| stay.receipt.paid.micro()).sum();
            let right = holder.held == 0 && holder.balance + paid == holder.bought;
            require(
                right,
                format!("{} bought {}, paid {paid}, and has {} and {} held", holder.address, holder.bought, holder.balance, holder.held),
            );
        }
        faults
    }

    /// Net positions by condominium: from the bills, and from the totals.
    fn positions_agree(&self) -> bool {
        let mut by_bills: BTreeMap<usize, i128> = BTreeMap::new();
        for stay in self.stays {
            let paid = i128::from(stay.receipt.paid.micro());
            *by_bills.entry(stay.site).or_default() += paid;
            *by_bills.entry(stay.home).or_default() -= paid;
        }
        let net = |view: &CondominiumView| i128::from(view.owed_to.micro()) - i128::from(view.owed_by.micro());
        self.findings.totals.iter().enumerate().all(|(site, view)| net(view) == by_bills.get(&site).copied().unwrap_or_default())
    }
}
