//! Who grants, meters and settles under load: a scheduler's and a gateway's key in each lane, told by one follower of the chain's events.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use chain::{
    id::{ConnectorId, SessionId},
    quantity::{Currents, WattHours, Watts},
    receipt::Event,
    time::Timestamp,
};
use cli::{
    client::{Client, EventFilter},
    wallet::Wallet,
};
use contracts::call::{Attest, Call, GrantCharge, Reading, ReadingFlags, SettleSession};
use tokio::sync::{mpsc, oneshot};

use super::{ENERGY, GRANT_MA, LANES, Waiter, machine_ms, valid_until};

/// Sessions of one attestation: two readings each, and a call takes 256.
const SESSIONS_PER_ATTEST: usize = 128;

/// A session and where it is.
pub(super) type Located = (SessionId, ConnectorId);

/// Where a lane hears of its sessions.
#[derive(Debug)]
pub(super) struct LanePosts {
    pub opened: mpsc::Sender<Located>,
    pub granted: mpsc::Sender<Located>,
}

/// The lane of a connector, and its group: a group's queue is granted in order, which only one key at a time can keep.
pub(super) const fn lane_of(connector: ConnectorId) -> usize {
    connector.number as usize % LANES
}

/// Follows the chain's events as one node tells them, and tells those lanes and clients that speak to it.
pub(super) async fn follow(client: Client, lanes: Vec<Option<LanePosts>>, mut waiters: mpsc::Receiver<Waiter>) -> anyhow::Result<()> {
    let mut events = client.events(EventFilter::default(), None);
    let mut waiting: HashMap<SessionId, oneshot::Sender<()>> = HashMap::new();
    let mut connectors: HashMap<SessionId, ConnectorId> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            Some((session, waiter)) = waiters.recv() => {
                waiting.insert(session, waiter);
            }
            event = events.next() => {
                let event = event.context("following the chain")?.streamed.event;
                if let Event::SessionOpened { session, connector, .. } = event {
                    connectors.insert(session, connector);
                    if let Some(lane) = &lanes[lane_of(connector)] {
                        lane.opened.send((session, connector)).await?;
                    }
                } else if let Event::SessionGranted { session, .. } = event {
                    let connector = connectors.remove(&session).context("a session was granted that was never opened")?;
                    if let Some(lane) = &lanes[lane_of(connector)] {
                        lane.granted.send((session, connector)).await?;
                    }
                } else if let Event::SessionSettled(receipt) = event
                    && let Some(waiter) = waiting.remove(&receipt.session)
                {
                    // A client that has given up needs no word.
                    let _ = waiter.send(());
                }
            }
        }
    }
}

/// A scheduler's key: grants whatever is opened, in order.
pub(super) async fn grant_all(
    client: Client,
    wallet: Wallet,
    mut opened: mpsc::Receiver<Located>,
    counted: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    while let Some((session, _)) = opened.recv().await {
        let call = Call::GrantCharge(GrantCharge { session, current: Currents::from_ma([GRANT_MA, 0, 0]), skipped: Vec::new() });
        send(&client, &wallet, call, &counted).await?;
    }
    Ok(())
}

/// A gateway's key: attests what is granted, many sessions at once, and settles each.
pub(super) async fn settle_all(
    client: Client,
    wallet: Wallet,
    mut granted: mpsc::Receiver<Located>,
    counted: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    let mut registers: HashMap<ConnectorId, WattHours> = HashMap::new();
    loop {
        sessions.clear();
        if granted.recv_many(&mut sessions, SESSIONS_PER_ATTEST).await == 0 {
            return Ok(());
        }
        let at = Timestamp::from_ms(machine_ms());
        let mut both = Vec::new();
        for (session, connector) in &sessions {
            let register = registers.entry(*connector).or_insert(WattHours::ZERO);
            let start = *register;
            *register = start.checked_add(ENERGY).context("a register has run over")?;
            both.extend(readings(*session, at, start, *register));
        }
        send(&client, &wallet, Call::Attest(Attest { readings: both }), &counted).await?;
        for (session, _) in &sessions {
            send(&client, &wallet, Call::SettleSession(SettleSession { session: *session }), &counted).await?;
        }
    }
}

/// The first and the last reading of a session.
fn readings(session: SessionId, at: Timestamp, start: WattHours, end: WattHours) -> [Reading; 2] {
    let first = Reading {
        session,
        sequence: 1,
        at,
        register_wh: start,
        power_w: Watts::new(1_380),
        flags: ReadingFlags::NONE,
        samples_root: chain::merkle::root(&[]),
        sample_count: 0,
    };
    [first, Reading { sequence: 2, register_wh: end, power_w: Watts::new(0), flags: ReadingFlags::VEHICLE_FULL, ..first }]
}

async fn send(client: &Client, wallet: &Wallet, call: Call, counted: &AtomicU64) -> anyhow::Result<()> {
    wallet.submit(client, call, valid_until()).await?;
    counted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
