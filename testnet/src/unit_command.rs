//! `watt-testnet unit`: a charging unit with a car at its plug, for whoever tries a node without hardware.
//!
//! It is [`crate::unit::SimUnit`] on the machine's clock: it takes the key that `wattd unit add` has written, shows a card once, charges until the car has
//! enough or the session ends, pulls the plug, and says on the screen what happens. What a board keeps in its EEPROM it keeps in a file, so that a unit may be
//! switched on again. It knows no chain and no bill, and starts no node. Called by `watt-testnet`.

mod mounted;
mod screen;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chain::id::ConnectorId;
use firmware_core::{CardOutcome, Cause};

use self::{
    mounted::{MemoryFile, mounting, uid},
    screen::Screen,
};
use crate::{
    car::Rate,
    rows::SourceSession,
    unit::{self, SimUnit, UnitError},
};

/// How often it does what a board does once a second.
const BEAT: Duration = Duration::from_secs(1);

/// For how long the gateway may not know the unit yet, when it is switched on: one that runs reads a new unit within seconds.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// For how long it may be away then.
const AWAY_PATIENCE: Duration = Duration::from_secs(5);

/// How long a car waits for power to come back before its driver leaves: a place in the queue may be lent to others for moments, and an ended session looks the same.
const PAUSE_PATIENCE: Duration = Duration::from_secs(30);

/// How long it tells the gateway of the pulled plug.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// After this a person is told what a gateway that still asks may wait for.
const ASKS_LONG: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug)]
pub struct Options {
    /// The folder with `units.json`: a node's data directory, or one with a copy of the unit's entry.
    pub data: PathBuf,
    /// The connector that the unit serves.
    pub connector: ConnectorId,
    /// The gateway's URL.
    pub gateway: String,
    /// Where the number of a card is to be read from; without one somebody has to start the charge.
    pub uid_file: Option<PathBuf>,
    /// What the car wants, Wh.
    pub energy_wh: u64,
    /// How it draws.
    pub rate: Rate,
    /// After this the plug is pulled.
    pub within: Duration,
    /// Set once Ctrl-C pulls the plug in place of ending the program.
    pub stays: Arc<AtomicBool>,
}

/// Why there was no charge; the first word is for programs and never changes.
#[derive(Debug, thiserror::Error)]
pub enum UnitCommandError {
    /// No such unit in the file.
    #[error("unit_unknown: {path} has no unit of connector {connector}; `wattd unit add --connector {connector} --data DIR` adds one")]
    NotMounted { path: PathBuf, connector: ConnectorId },
    /// The gateway has no such unit, or another key.
    #[error("unit_unknown: the gateway at {gateway} {has}: is --data the folder of the node there, and was the unit added to it?")]
    Unknown { gateway: String, has: &'static str },
    /// Nobody serves.
    #[error("gateway_away: {what} at {gateway}: does the node run, and is --gateway what gateway.listen in its config.toml says?")]
    Away { gateway: String, what: String },
    /// Somebody else speaks as this unit.
    #[error(
        "unit_elsewhere: the gateway has heard this unit under a later number: it runs elsewhere too, or {memory} is not from its last run"
    )]
    Elsewhere { memory: PathBuf },
    /// The gateway starts nothing.
    #[error(
        "card_refused: this card starts nothing here: it is not bound, or its owner's mandate does not allow it, or the connector is taken; the node's log says which"
    )]
    CardRefused,
    /// The gateway asked for a minute.
    #[error(
        "not_confirmed: the gateway asked for a minute and started nothing: where the start is unusual for the card's owner, he confirms it with `watt charge confirm` meanwhile"
    )]
    NotConfirmed,
    /// No lease came.
    #[error("no_power: no power came in time: nobody started a charge here, or others have the power")]
    NoPower,
    /// What was drawn could not be told.
    #[error("not_told: the gateway could not be told of the pulled plug; it ends the session by itself")]
    NotTold,
    /// A file that cannot be used.
    #[error("bad_file: {path}: {reason}")]
    File { path: PathBuf, reason: String },
    /// The exchange went wrong.
    #[error("refused: {0}")]
    Exchange(#[from] UnitError),
    /// The screen.
    #[error(transparent)]
    Screen(#[from] std::io::Error),
}

/// Switches the unit on, has its car charge, and switches it off; gives nothing that is wrong, because all that may be is an error.
///
/// # Errors
/// [`UnitCommandError`].
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let uid = options.uid_file.as_deref().map(uid).transpose()?;
    let mut stand = Stand::switch_on(options)?;
    options.stays.store(true, Ordering::Relaxed);
    stand.introduce().await?;
    let charged = stand.charge(uid.as_deref()).await;
    // Whatever went wrong, the car does not stay.
    let left = stand.leave().await;
    charged?;
    left?;
    Ok(Vec::new())
}

/// A unit at its place, and whoever watches it.
struct Stand<'a> {
    options: &'a Options,
    unit: SimUnit,
    memory: MemoryFile,
    screen: Screen,
    began: Instant,
    began_ms: u64,
    /// The gateway did not answer the last time.
    is_away: bool,
    /// Ctrl-C was pressed.
    is_interrupted: bool,
    /// The screen says that the relay is closed.
    is_told_closed: bool,
}

impl<'a> Stand<'a> {
    fn switch_on(options: &'a Options) -> Result<Self, UnitCommandError> {
        let mounting = mounting(&options.data, options.connector)?;
        let memory = MemoryFile::switch_on(&options.data, mounting.device)?;
        let unit = SimUnit::switched_on(&mounting, memory.kept(), unit::shared_http(), options.gateway.trim_end_matches('/').to_owned())?;
        let began_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        let mut screen = Screen::new();
        screen.say(&format!("unit {} of connector {} is switched on and asks {}", mounting.device, options.connector, options.gateway))?;
        Ok(Self {
            options,
            unit,
            memory,
            screen,
            began: Instant::now(),
            began_ms,
            is_away: false,
            is_interrupted: false,
            is_told_closed: false,
        })
    }

    /// Ms since the epoch; a clock of the machine that is set meanwhile does not matter.
    fn now_ms(&self) -> u64 {
        self.began_ms.saturating_add(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Asks for the configuration until the gateway gives it.
    async fn introduce(&mut self) -> Result<(), UnitCommandError> {
        loop {
            let Err(error) = self.unit.configure(self.now_ms()).await else { break };
            // A gateway that has just started, or reads the new unit in a moment.
            let patience = match &error {
                UnitError::Refused { status: 404, .. } => START_PATIENCE,
                error if error.is_transient() => AWAY_PATIENCE,
                UnitError::NoAnswer(_) | UnitError::Refused { .. } | UnitError::Protocol { .. } => Duration::ZERO,
            };
            if self.began.elapsed() > patience || self.is_interrupted {
                return Err(self.coded(error));
            }
            self.pause().await;
        }
        if let Some(config) = self.unit.config() {
            let told = format!("the gateway knows it: {} A on {} phases", config.rated_ma / 1_000, config.phases);
            self.screen.say(&told)?;
        }
        Ok(())
    }

    /// The car comes, the card is shown, and power flows until the car has enough or nothing comes any more.
    async fn charge(&mut self, uid: Option<&[u8]>) -> Result<(), UnitCommandError> {
        let now_ms = self.now_ms();
        let within_ms = u64::try_from(self.options.within.as_millis()).unwrap_or(u64::MAX);
        let visit = SourceSession {
            site: String::new(),
            user: String::new(),
            session_id: String::new(),
            plug_in_ms: now_ms,
            plug_out_ms: now_ms.saturating_add(within_ms),
            energy_wh: self.options.energy_wh,
        };
        self.unit.plug_in_at(&visit, self.options.rate, now_ms)?;
        self.screen.say(&format!(
            "a car is plugged in: it wants {} Wh, at up to {} W",
            self.options.energy_wh,
            self.options.rate.power_w()
        ))?;
        self.exchange().await?;
        if let Some(uid) = uid {
            self.unit.present_card(uid, self.now_ms())?;
            self.screen.say("the card is held to the reader")?;
            self.exchange().await?;
        } else {
            self.screen.say("no card: it waits for `watt charge start`")?;
        }
        self.wait_for_power(uid.is_some()).await?;
        self.draw().await
    }

    async fn wait_for_power(&mut self, has_card: bool) -> Result<(), UnitCommandError> {
        let shown = Instant::now();
        let mut told = CardOutcome::None;
        let mut is_hinted = false;
        loop {
            let now = self.unit.card_outcome();
            if now != told {
                match now {
                    CardOutcome::None => {}
                    CardOutcome::Pending => self.screen.say("the gateway asks the chain")?,
                    CardOutcome::Accepted => self.screen.say("the card is accepted")?,
                    // One that was only asked about, until the minute of a card was over.
                    CardOutcome::Refused if is_hinted => return Err(UnitCommandError::NotConfirmed),
                    CardOutcome::Refused => return Err(UnitCommandError::CardRefused),
                }
                if now != CardOutcome::None {
                    told = now;
                }
            }
            if self.unit.is_closed() {
                return Ok(());
            }
            if told == CardOutcome::Pending && !is_hinted && shown.elapsed() > ASKS_LONG {
                is_hinted = true;
                self.screen.say("it still asks: a start that is unusual for the card's owner waits for his `watt charge confirm`")?;
            }
            // The unit forgets a card that had no answer.
            if told == CardOutcome::Pending && now == CardOutcome::None {
                return Err(UnitCommandError::NotConfirmed);
            }
            if self.is_interrupted {
                return Ok(());
            }
            if self.is_over() {
                let asks = has_card && told == CardOutcome::Pending;
                return Err(if asks { UnitCommandError::NotConfirmed } else { UnitCommandError::NoPower });
            }
            self.beat().await?;
        }
    }

    /// Power flows, and stops.
    async fn draw(&mut self) -> Result<(), UnitCommandError> {
        let mut opened = Instant::now();
        loop {
            let now_ms = self.now_ms();
            let drawn_wh = self.unit.drawn_wh(now_ms);
            if drawn_wh >= self.options.energy_wh {
                self.screen.charge(self.unit.power_w(now_ms), drawn_wh, self.options.energy_wh, true)?;
                return Ok(self.screen.say("the car has what it wanted")?);
            }
            if self.tell_relay()? {
                opened = Instant::now();
            }
            if self.unit.is_closed() {
                self.screen.charge(self.unit.power_w(now_ms), drawn_wh, self.options.energy_wh, false)?;
            } else if opened.elapsed() > PAUSE_PATIENCE {
                return Ok(self.screen.say("no power comes any more: the driver leaves")?);
            }
            if self.is_interrupted {
                return Ok(());
            }
            if self.is_over() {
                return Ok(self.screen.say("the time is up: the driver leaves")?);
            }
            self.beat().await?;
        }
    }

    /// The plug is pulled, and the gateway hears of it.
    async fn leave(&mut self) -> Result<(), UnitCommandError> {
        let drawn_wh = self.unit.plug_out(self.now_ms())?;
        self.screen.say(&format!("the plug is pulled: the car has drawn {drawn_wh} Wh"))?;
        let pulled = Instant::now();
        // An answer may grant a lease once more until the chain has heard.
        while !self.unit.is_stored() || self.unit.is_closed() {
            if pulled.elapsed() > LEAVE_PATIENCE {
                break;
            }
            self.beat().await?;
        }
        if !self.unit.is_stored() {
            return Err(UnitCommandError::NotTold);
        }
        self.tell_relay()?;
        if drawn_wh > 0 {
            self.screen.say("done: `watt session list` shows the bill")?;
        }
        Ok(())
    }

    /// Says where the relay is, if it was elsewhere when that was last said; whether it was.
    fn tell_relay(&mut self) -> Result<bool, UnitCommandError> {
        let is_closed = self.unit.is_closed();
        if std::mem::replace(&mut self.is_told_closed, is_closed) == is_closed {
            return Ok(false);
        }
        let told = match self.unit.open_because() {
            None => {
                let amperes = self.unit.allowed_ma().map(|ma| format!("{}.{}", ma / 1_000, ma % 1_000 / 100)).join(", ");
                format!("the relay closed: at most {amperes} A")
            }
            Some(cause) => format!("the relay opened: {}", because(cause)),
        };
        self.screen.say(&told)?;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.options.within
    }

    /// A second, and what a board does in it.
    async fn beat(&mut self) -> Result<(), UnitCommandError> {
        self.pause().await;
        self.exchange().await
    }

    /// A second, or less if Ctrl-C ends it.
    async fn pause(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            pressed = tokio::signal::ctrl_c() => self.is_interrupted |= pressed.is_ok(),
        }
    }

    async fn exchange(&mut self) -> Result<(), UnitCommandError> {
        let now_ms = self.now_ms();
        self.unit.advance(now_ms)?;
        // Before anybody hears of it, so that the register never falls.
        self.memory.keep(self.unit.memory(now_ms))?;
        match self.unit.post(now_ms).await {
            Ok(_) => self.is_away = false,
            Err(error) if error.is_transient() => {
                if !self.is_away {
                    self.screen.say("the gateway does not answer: what the lease allows flows on until it ends")?;
                }
                self.is_away = true;
            }
            Err(error) => return Err(self.coded(error)),
        }
        Ok(())
    }

    fn coded(&self, error: UnitError) -> UnitCommandError {
        let gateway = self.options.gateway.clone();
        match error {
            UnitError::NoAnswer(_) => UnitCommandError::Away { gateway, what: "nobody answers".to_owned() },
            UnitError::Refused { status: status @ (429 | 503), .. } => UnitCommandError::Away { gateway, what: format!("HTTP {status}") },
            UnitError::Refused { status: 401, .. } => UnitCommandError::Unknown { gateway, has: "has another key for this unit" },
            UnitError::Refused { status: 404, .. } => UnitCommandError::Unknown { gateway, has: "has no such unit" },
            UnitError::Refused { status: 409, .. } => UnitCommandError::Elsewhere { memory: self.memory.path().to_owned() },
            UnitError::Refused { .. } | UnitError::Protocol { .. } => UnitCommandError::Exchange(error),
        }
    }
}

/// A cause in words.
const fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::Started => "it has no lease yet",
        Cause::NoLease => "the gateway grants nothing any more",
        Cause::Expired => "its lease is over, and no new one came",
        Cause::UsedUp => "all that its lease allowed has flowed",
        Cause::OverCurrent => "a phase was above its limit",
        Cause::BadAnswer => "an answer was not the gateway's",
        Cause::Refused => "the gateway does not know the unit",
        Cause::Blocked => "the unit reported a fault",
    }
}
