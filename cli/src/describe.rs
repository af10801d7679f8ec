//! A transaction in words: what the owner of a key reads before it signs.
//!
//! The words are made from the decoded bytes that will be signed, never from what was typed; a kind of call that this program does not know does not decode
//! and so cannot be signed. Every field that has a value is said. Called by the confirm screen and by `watt chain tx`.

use chain::{
    api::QueueTicket,
    id::{Address, CondominiumId},
    quantity::{Amount, Currents, Watts},
    receipt::{Event, PauseReason, SkipReason},
    record::{Control, EndReason, Fault, MandateTerms, PlugSignal, Role, Service},
    tariff::{DayOfWeek, Tariff, TariffDimension, TariffElement, TariffRestrictions},
};
use contracts::{
    call::{
        Body, Call, Contradiction, OpenSessionByMandate, PaymentAnswer, Priority, ProveEquivocation, Reading, RedeemAnswer, contradiction,
    },
    pattern::HIGHEST,
};

use crate::quantity::{amperes, clock, count, duration, kwh, time, tokens};

/// One line of a description: what, and its value.
pub type Line = (&'static str, String);

/// The body in words, the title first.
#[must_use]
pub fn body(body: &Body, currency: &str) -> (String, Vec<Line>) {
    let (title, mut lines) = call(&body.call, currency);
    lines.push(("as account", body.account.to_string()));
    if body.signer != body.account {
        lines.push(("signed by key", body.signer.to_string()));
    }
    lines.push(("transaction number", body.nonce.to_string()));
    lines.push(("good until", time(body.valid_until)));
    lines.push(("on chain", body.chain_id.to_string()));
    (title, lines)
}

/// The call in words, the title first.
#[must_use]
pub fn call(call: &Call, currency: &str) -> (String, Vec<Line>) {
    let money = |amount: Amount| tokens(amount, currency);
    match call {
        Call::RegisterAccount(call) => {
            let mut lines = vec![("account", call.account.to_string()), ("home condominium", call.condominium.to_string())];
            if let Some(invite) = &call.invite {
                lines.push(("by the invite of", invite.issuer.to_string()));
                lines.push(("invite number", invite.serial.to_string()));
                lines.push(("invite good until", time(invite.expires)));
            }
            ("Register an account".to_owned(), lines)
        }
        Call::SellTokens(call) => (
            format!("Sell {} in charging tokens", money(call.amount)),
            vec![
                ("to", call.account.to_string()),
                ("condominium", call.condominium.to_string()),
                ("sale number", call.sale.to_string()),
                ("payment commitment", call.payment.to_string()),
            ],
        ),
        Call::RequestRedeem(call) => {
            (format!("Lock {} to be paid out", money(call.amount)), vec![("payee commitment", call.payee.to_string())])
        }
        Call::ConfirmRedeem(call) => match call.answer {
            RedeemAnswer::Paid { payment } => (
                "Confirm that a redemption was paid: its tokens are gone".to_owned(),
                vec![("redemption", call.redemption.to_string()), ("payment commitment", payment.to_string())],
            ),
            RedeemAnswer::Refused => {
                ("Refuse a redemption: its tokens go back".to_owned(), vec![("redemption", call.redemption.to_string())])
            }
        },
        Call::Transfer(call) => (format!("Send {}", money(call.amount)), vec![("to", call.to.to_string())]),
        Call::GrantRole(call) => {
            let mut lines = role_lines(call.role, &call.account, call.condominium.to_string());
            lines.push(("from height", call.from.to_string()));
            if let Some(until) = call.until {
                lines.push(("before height", until.to_string()));
            }
            ("Grant a role".to_owned(), lines)
        }
        Call::RevokeRole(call) => {
            let mut lines = role_lines(call.role, &call.account, call.condominium.to_string());
            lines.push(("over at height", call.until.to_string()));
            ("Revoke a role".to_owned(), lines)
        }
        Call::PutGroup(call) => {
            let mut lines = vec![("group", call.group.to_string()), ("limit per phase", amperes(call.limit))];
            lines.push(("inside group", call.parent.map_or_else(|| "none: it is a root".to_owned(), |parent| parent.to_string())));
            ("Put a group".to_owned(), lines)
        }
        Call::PutConnector(call) => (
            "Put a connector; a fault on it is cleared".to_owned(),
            vec![
                ("connector", call.connector.to_string()),
                ("in group", call.group.to_string()),
                ("control", control(call.control).to_owned()),
                ("plug", plug(call.plug_signal).to_owned()),
                ("rated per phase", amperes(call.rated)),
                ("tariff", call.tariff.to_string()),
                ("service", service(call.service).to_owned()),
            ],
        ),
        Call::PutTariff(call) => {
            let mut lines =
                vec![("tariff", call.tariff.to_string()), ("version", call.version.to_string()), ("in force from", time(call.valid_from))];
            lines.extend(tariff(&call.document, currency));
            ("Put a tariff's version".to_owned(), lines)
        }
        Call::OpenSession(call) => {
            let mut lines = vec![
                ("connector", call.connector.to_string()),
                ("tariff version", call.tariff_version.to_string()),
                ("longest duration", duration(call.max_duration)),
            ];
            if let Some(energy) = call.energy_target {
                lines.push(("energy needed", kwh(energy)));
            }
            if let Some(percent) = call.state_of_charge {
                lines.push(("state of charge", format!("{percent} %")));
            }
            if let Some(at) = call.depart_by {
                lines.push(("departure", time(at)));
            }
            if let Some(window) = call.window {
                lines.push(("window", format!("{} to {}", time(window.from), time(window.until))));
            }
            match call.priority {
                Priority::None => {}
                Priority::Surcharge { basis_points } => lines.push(("priority surcharge", percent(basis_points))),
            }
            (format!("Start a charge and lock {} for it; what is not used comes back", money(call.max_spend)), lines)
        }
        Call::TopUpSession(call) => (format!("Lock {} more for a charge", money(call.amount)), vec![("session", call.session.to_string())]),
        Call::CancelSession(call) => ("Cancel a charge that waits".to_owned(), vec![("session", call.session.to_string())]),
        Call::StopSession(call) => ("Stop a charge".to_owned(), vec![("session", call.session.to_string())]),
        Call::GrantCharge(call) => {
            let mut lines = session_current(&call.session.to_string(), call.current);
            for skipped in &call.skipped {
                lines.push(("passing over", format!("{}: {}", skipped.session, skip_reason(skipped.reason))));
            }
            ("Grant current to a charge".to_owned(), lines)
        }
        Call::PauseCharge(call) => {
            ("Pause a charge".to_owned(), vec![("session", call.session.to_string()), ("reason", pause_reason(call.reason).to_owned())])
        }
        Call::ResumeCharge(call) => ("Resume a charge".to_owned(), session_current(&call.session.to_string(), call.current)),
        Call::Attest(call) => {
            let lines = call.readings.iter().map(|reading| {
                let text = format!(
                    "{} number {} at {}: register {}, {} W, flags {}, {} samples under {}",
                    reading.session,
                    reading.sequence,
                    time(reading.at),
                    kwh(reading.register_wh),
                    reading.power_w.get(),
                    reading.flags.0,
                    reading.sample_count,
                    reading.samples_root
                );
                ("reading", text)
            });
            (format!("Attest {}", count(call.readings.len() as u64, "reading")), lines.collect())
        }
        Call::ReportFault(call) => {
            let mut lines = vec![("connector", call.connector.to_string()), ("fault", fault(call.fault).to_owned()), ("at", time(call.at))];
            if let Some(session) = call.session {
                lines.push(("session", session.to_string()));
            }
            ("Report a fault".to_owned(), lines)
        }
        Call::SettleSession(call) => ("Settle a charge".to_owned(), vec![("session", call.session.to_string())]),
        Call::ClearPositions(call) => (
            "End the period of charging away from home: what condominiums owe one another is netted and becomes payments".to_owned(),
            vec![("for condominium", call.condominium.to_string())],
        ),
        Call::ReportPayment(call) => (
            "Say that the money of a payment was sent".to_owned(),
            payment_lines(call.clearing, call.debtor, call.creditor, ("payment commitment", call.payment.to_string())),
        ),
        Call::AnswerPayment(call) => {
            let (title, found) = match call.answer {
                PaymentAnswer::Received => ("Confirm that the money of a payment has arrived: nothing is owed for it any more", "arrived"),
                PaymentAnswer::Missing => ("Say that the money of a payment has not arrived: it is owed as before", "missing"),
            };
            (title.to_owned(), payment_lines(call.clearing, call.debtor, call.creditor, ("the money", found.to_owned())))
        }
        Call::SetPositionLimit(call) => {
            (format!("Let any other condominium owe at most {}", money(call.limit)), vec![("to condominium", call.condominium.to_string())])
        }
        Call::GrantMandate(call) => {
            let mut lines = vec![("condominium", call.condominium.to_string())];
            lines.extend(mandate(&call.terms, currency));
            ("Let your cards start charges in your name".to_owned(), lines)
        }
        Call::RevokeMandate(call) => {
            ("Let your cards start no more charges in your name".to_owned(), vec![("condominium", call.condominium.to_string())])
        }
        Call::BindCard(call) => {
            let mut lines = vec![("condominium", call.condominium.to_string()), ("card", call.card.to_string())];
            lines.extend(call.account.map(|account| ("card's owner", account.to_string())));
            (if call.account.is_some() { "Bind a card to an account" } else { "Release a card" }.to_owned(), lines)
        }
        Call::OpenSessionByMandate(call) => {
            (format!("Start a charge for a card and lock {} of its owner for it", money(call.max_spend)), start_lines(call))
        }
        Call::AskStart(call) => {
            let title = format!("Have a card's owner confirm a charge that would lock {} of his", money(call.start.max_spend));
            (title, start_lines(&call.start))
        }
        Call::ConfirmStart(call) => (
            format!("Start the charge that your card has asked for and lock {} for it", money(call.start.max_spend)),
            start_lines(&call.start),
        ),
        Call::AttestUnassigned(call) => (
            "Record what flowed at a connector without a session: nobody's to pay".to_owned(),
            vec![("connector", call.connector.to_string()), ("at", time(call.at)), ("register", kwh(call.register_wh))],
        ),
        Call::ReplaceMeter(call) => (
            "Say that a connector's meter was exchanged; it takes effect once gateway and manager have said the same".to_owned(),
            vec![
                ("connector", call.connector.to_string()),
                ("the old meter's last register", kwh(call.last)),
                ("the new meter's first register", kwh(call.first)),
            ],
        ),
        Call::ProveEquivocation(call) => {
            let mut lines = vec![("condominium", call.condominium.to_string())];
            lines.extend(statements(call));
            ("Show that a gateway's key has contradicted itself: it is suspended".to_owned(), lines)
        }
        Call::LiftSuspension(call) => (
            "Trust a gateway's key again that has contradicted itself".to_owned(),
            vec![("condominium", call.condominium.to_string()), ("account", call.account.to_string())],
        ),
    }
}

/// What two statements say that cannot both be true.
fn statements(call: &ProveEquivocation) -> Vec<Line> {
    let found = call.statements().and_then(|[first, second]| contradiction(&first, &second));
    let Ok(Contradiction { account, one, other }) = found else {
        return vec![("statements", "they do not contradict each other: the chain will refuse them".to_owned())];
    };
    let says = |reading: &Reading| format!("register {} at {}", kwh(reading.register_wh), time(reading.at));
    vec![
        ("account", account.to_string()),
        ("session", one.session.to_string()),
        ("reading", one.sequence.to_string()),
        ("says", says(&one)),
        ("and also", says(&other)),
    ]
}

fn start_lines(start: &OpenSessionByMandate) -> Vec<Line> {
    let mut lines = vec![
        ("card", start.card.to_string()),
        ("connector", start.connector.to_string()),
        ("tariff version", start.tariff_version.to_string()),
        ("longest duration", duration(start.max_duration)),
    ];
    lines.extend(start.energy_target.map(|energy| ("energy likely needed", kwh(energy))));
    lines
}

fn payment_lines(clearing: u32, debtor: CondominiumId, creditor: CondominiumId, last: Line) -> Vec<Line> {
    vec![("clearing", clearing.to_string()), ("from condominium", debtor.to_string()), ("to condominium", creditor.to_string()), last]
}

/// Which starts need a confirmation, in words.
#[must_use]
pub fn confirm_from(score: u16) -> String {
    match score {
        0 => "every start".to_owned(),
        1..=HIGHEST => format!("starts that score {score} of {HIGHEST} or more"),
        _ => "never by your own wish".to_owned(),
    }
}

/// What a mandate allows, in words.
#[must_use]
pub fn mandate(terms: &MandateTerms, currency: &str) -> Vec<Line> {
    let connectors: Vec<String> = terms.connectors.iter().map(u32::to_string).collect();
    vec![
        ("at most a session", tokens(terms.max_per_session, currency)),
        ("at most a day (UTC)", tokens(terms.max_per_day, currency)),
        ("at most per kWh", tokens(terms.max_price_per_kwh, currency)),
        ("at most per hour", tokens(terms.max_price_per_hour, currency)),
        ("until", time(terms.expires)),
        ("connectors", if connectors.is_empty() { "all".to_owned() } else { connectors.join(", ") }),
        ("needs your confirmation", confirm_from(terms.confirm_from)),
    ]
}

/// A tariff's document in words, one line for each element and limit.
#[must_use]
pub fn tariff(tariff: &Tariff, currency: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = tariff.elements.iter().map(|element| ("price", tariff_element(element, currency))).collect();
    lines.push(("local time", tariff.time_zone.clone()));
    if let Some(least) = tariff.min_price {
        lines.push(("least per session", tokens(least, currency)));
    }
    if let Some(most) = tariff.max_price {
        lines.push(("most per session", tokens(most, currency)));
    }
    if tariff.vat_basis_points > 0 {
        lines.push(("tax contained", percent(tariff.vat_basis_points)));
    }
    if !tariff.parking_grace.is_zero() {
        lines.push(("parking grace", duration(tariff.parking_grace)));
    }
    lines
}

fn tariff_element(element: &TariffElement, currency: &str) -> String {
    let prices: Vec<String> = element
        .price_components
        .iter()
        .map(|component| {
            let unit = match component.dimension {
                TariffDimension::Energy => "per kWh",
                TariffDimension::Time => "per hour of charging",
                TariffDimension::ParkingTime => "per hour parked full",
                TariffDimension::Flat => "per session",
            };
            format!("{} {unit}", tokens(component.price, currency))
        })
        .collect();
    let limits = conditions(&element.restrictions);
    if limits.is_empty() { prices.join(" + ") } else { format!("{} ({})", prices.join(" + "), limits.join("; ")) }
}

/// When an element holds, in words, one text for each condition; none where it always does.
#[must_use]
pub fn conditions(when: &TariffRestrictions) -> Vec<String> {
    let mut limits = Vec::new();
    if when.start_time.is_some() || when.end_time.is_some() {
        limits.push(format!("{} to {}", clock(when.start_time.unwrap_or(0)), clock(when.end_time.unwrap_or(1440))));
    }
    if !when.day_of_week.is_empty() {
        limits.push(when.day_of_week.iter().map(|day| day_name(*day)).collect::<Vec<_>>().join(", "));
    }
    let watts = |power: Watts| format!("{} W", power.get());
    let bounds = [
        ("from", when.min_energy.map(kwh)),
        ("below", when.max_energy.map(kwh)),
        ("from", when.min_power.map(watts)),
        ("below", when.max_power.map(watts)),
        ("after the first", when.min_duration.map(duration)),
        ("in the first", when.max_duration.map(duration)),
    ];
    limits.extend(bounds.into_iter().filter_map(|(word, bound)| bound.map(|bound| format!("{word} {bound}"))));
    limits
}

const fn day_name(day: DayOfWeek) -> &'static str {
    match day {
        DayOfWeek::Monday => "Monday",
        DayOfWeek::Tuesday => "Tuesday",
        DayOfWeek::Wednesday => "Wednesday",
        DayOfWeek::Thursday => "Thursday",
        DayOfWeek::Friday => "Friday",
        DayOfWeek::Saturday => "Saturday",
        DayOfWeek::Sunday => "Sunday",
    }
}

fn role_lines(held: Role, account: &Address, condominium: String) -> Vec<Line> {
    vec![("role", role(held).to_owned()), ("account", account.to_string()), ("condominium", condominium)]
}

fn session_current(session: &str, current: Currents) -> Vec<Line> {
    vec![("session", session.to_owned()), ("current per phase", amperes(current))]
}

/// Basis points as percent: `23 %`, `2.5 %`.
pub(crate) fn percent(basis_points: u32) -> String {
    match basis_points % 100 {
        0 => format!("{} %", basis_points / 100),
        rest => format!("{}.{} %", basis_points / 100, format!("{rest:02}").trim_end_matches('0')),
    }
}

/// A role's name.
#[must_use]
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Manager => "manager",
        Role::Treasurer => "treasurer",
        Role::Gateway => "gateway",
        Role::Scheduler => "scheduler",
        Role::Auditor => "auditor",
    }
}

/// What a connector can do.
#[must_use]
pub const fn control(control: Control) -> &'static str {
    match control {
        Control::Switched => "switched",
        Control::MeterOnly => "meter only",
    }
}

/// Whether a plug is seen.
#[must_use]
pub const fn plug(plug: PlugSignal) -> &'static str {
    match plug {
        PlugSignal::None => "not reported",
        PlugSignal::Reported => "reported",
    }
}

/// Whether a connector may be used.
#[must_use]
pub const fn service(service: Service) -> &'static str {
    match service {
        Service::InService => "in service",
        Service::OutOfService => "out of service",
    }
}

/// A fault in words.
#[must_use]
pub const fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::OverCurrent => "over-current",
        Fault::OverTemperature => "over-temperature",
        Fault::OverTime => "charging too long",
        Fault::MeterFault => "meter fault",
        Fault::WeldedRelay => "welded relay",
        Fault::UnitLost => "unit not heard of",
    }
}

/// Why a session ended, in words.
#[must_use]
pub fn end_reason(reason: EndReason) -> String {
    match reason {
        EndReason::Money => "the locked money is spent".to_owned(),
        EndReason::Time => "the longest duration has passed".to_owned(),
        EndReason::VehicleRemoved => "the vehicle left".to_owned(),
        EndReason::VehicleFull => "the vehicle is full".to_owned(),
        EndReason::StoppedByResident => "its owner stopped it".to_owned(),
        EndReason::StoppedByManager => "a manager stopped it".to_owned(),
        EndReason::Anomaly(found) => format!("the gateway found a fault: {}", fault(found)),
        EndReason::GatewayLost => "the gateway did not settle it in time".to_owned(),
        EndReason::NeverStarted => "no current came before the queue's deadline".to_owned(),
        EndReason::Cancelled => "cancelled while it waited".to_owned(),
    }
}

/// Why somebody was passed over, in words.
#[must_use]
pub const fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NotEnoughCurrent => "too little current is free",
        SkipReason::LaterDeparture => "another leaves earlier",
        SkipReason::LowerPriority => "another has paid for priority",
        SkipReason::UnitLost => "its unit does not answer",
    }
}

/// Why a charge waits, in words; the time that the node's text ends with is left out where the ticket has it, to be said in the reader's own zone.
#[must_use]
pub fn waiting(ticket: &QueueTicket) -> &str {
    let text = ticket.reason.as_str();
    ticket.expected_at.and_then(|_| text.rsplit_once(", about ")).map_or(text, |(why, _)| why)
}

/// Why a charge pauses, in words.
#[must_use]
pub const fn pause_reason(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::GroupLimit => "the group's limit was lowered",
        PauseReason::LaterDeparture => "another is more urgent",
        PauseReason::CheaperLater => "energy is cheaper later",
        PauseReason::Manual => "a manager's wish",
    }
}

/// A committed event in words.
#[must_use]
pub fn event(event: &Event, currency: &str) -> String {
    let money = |amount: Amount| tokens(amount, currency);
    match event {
        Event::AccountRegistered { account, home } => format!("account {account} registered in condominium {home}"),
        Event::TokensSold { condominium, account, amount, to_debt, sale } => {
            let debt = if to_debt.is_zero() { String::new() } else { format!(", {} of it to debt", money(*to_debt)) };
            format!("condominium {condominium} sold {} to {account}{debt} (sale {sale})", money(*amount))
        }
        Event::RedemptionRequested { redemption, account, amount } => {
            format!("{account} locked {} to be paid out (redemption {redemption})", money(*amount))
        }
        Event::RedemptionPaid { redemption, account, amount } => {
            format!("{} of {account} were paid out (redemption {redemption})", money(*amount))
        }
        Event::RedemptionRefused { redemption, account, amount } => {
            format!("{} went back to {account}: the payout was refused (redemption {redemption})", money(*amount))
        }
        Event::Transferred { from, to, amount } => format!("{} from {from} to {to}", money(*amount)),
        Event::RoleGranted { condominium, role: given, account, from, until } => {
            let end = until.map(|until| format!(", before height {until}")).unwrap_or_default();
            format!("{account} is {} of condominium {condominium} from height {from}{end}", role(*given))
        }
        Event::RoleRevoked { condominium, role: taken, account, until } => {
            format!("{account} is no {} of condominium {condominium} from height {until}", role(*taken))
        }
        Event::GroupPut { group, limit } => format!("group {group}: limit {} per phase", amperes(*limit)),
        Event::ConnectorPut { connector } => format!("connector {connector} put"),
        Event::TariffPut { tariff, version, valid_from } => {
            format!("tariff {tariff} version {version} in force from {}", time(*valid_from))
        }
        Event::SessionOpened { session, account, connector, escrow } => {
            format!("session {session} of {account} opened at {connector}, {} locked", money(*escrow))
        }
        Event::SessionToppedUp { session, amount, escrow } => {
            format!("session {session}: {} more locked, {} in all", money(*amount), money(*escrow))
        }
        Event::SessionGranted { session, current } => format!("session {session} may draw {} per phase", amperes(*current)),
        Event::SessionSkipped { session, reason } => format!("session {session} was passed over: {}", skip_reason(*reason)),
        Event::SessionPaused { session, reason } => format!("session {session} pauses: {}", pause_reason(*reason)),
        Event::ReadingHandled { session, sequence, refused } => match refused {
            None => format!("session {session}: reading {sequence} taken"),
            Some(code) => format!("session {session}: reading {sequence} refused: {}", code.text()),
        },
        Event::EnergyUnassigned { connector, energy } => format!("{} flowed at {connector} while no session was open", kwh(*energy)),
        Event::FaultReported { connector, fault: found, at } => format!("fault at {connector}: {} ({})", fault(*found), time(*at)),
        Event::SessionIdle { session, since } => format!("session {session} is full and stays plugged in since {}", time(*since)),
        Event::SessionStopping { session, reason, settle_by } => {
            format!("session {session} ends: {}; settled by {} at the latest", end_reason(*reason), time(*settle_by))
        }
        Event::SessionSettled(bill) => format!(
            "session {} settled: {} for {}, {} back; {}",
            bill.session,
            money(bill.paid),
            kwh(bill.energy),
            money(bill.refund),
            end_reason(bill.reason)
        ),
        Event::MandateGranted { account, condominium, expires } => {
            format!("{account} lets cards start charges in condominium {condominium} until {}", time(*expires))
        }
        Event::MandateRevoked { account, condominium } => {
            format!("{account} lets cards start no more charges in condominium {condominium}")
        }
        Event::CardBound { condominium, card, account } => format!("card {card} of {account} bound in condominium {condominium}"),
        Event::CardReleased { condominium, card, account } => format!("card {card} of {account} released in condominium {condominium}"),
        Event::SessionMandated { session, card } => format!("session {session} was started by card {card}"),
        Event::StartAsked { account, connector, card, until } => {
            format!("card {card} at connector {connector} waits for a confirmation by {account} until {}", time(*until))
        }
        Event::StartConfirmed { session, card } => format!("session {session} was started by card {card} and confirmed"),
        Event::MeterProposed { connector, account, role: side, last, first, until } => format!(
            "{account}, {} there, says that the meter of connector {connector} was exchanged: the old one ended at {}, the new one began at {}; the other side \
             can agree until {}",
            role(*side),
            kwh(*last),
            kwh(*first),
            time(*until)
        ),
        Event::MeterReplaced { connector, exchanges, last, first, register } => format!(
            "exchange {exchanges} of the meter of connector {connector}: the old one ended at {}, the new one began at {}, the register goes on from {}",
            kwh(*last),
            kwh(*first),
            kwh(*register)
        ),
        Event::RoleSuspended { condominium, account, session, sequence } => {
            format!(
                "gateway {account} is suspended in condominium {condominium}: it contradicted itself in reading {sequence} of session {session}"
            )
        }
        Event::SuspensionLifted { condominium, account } => {
            format!("gateway {account} is trusted again in condominium {condominium}")
        }
        Event::PositionPosted { debtor, creditor, amount } => {
            format!("condominium {debtor} owes condominium {creditor} {} more", money(*amount))
        }
        Event::PositionsCleared { clearing, condominium, from, until } => {
            let from = from.map_or_else(|| "the beginning".to_owned(), time);
            format!("clearing {clearing}, asked for by condominium {condominium}: from {from} to {}", time(*until))
        }
        Event::RoamingClosed { clearing, home, host, roaming } => format!(
            "clearing {clearing}: residents of condominium {home} charged {} in condominium {host} ({}, {}) and sent {} there",
            money(roaming.charged),
            count(roaming.sessions, "session"),
            kwh(roaming.energy),
            money(roaming.transferred)
        ),
        Event::PaymentDue { clearing, debtor, creditor, amount } => {
            format!("clearing {clearing}: condominium {debtor} has to pay {} to condominium {creditor}", money(*amount))
        }
        Event::PaymentReported { clearing, debtor, creditor, amount } => {
            format!("clearing {clearing}: condominium {debtor} says that it sent {} to condominium {creditor}", money(*amount))
        }
        Event::PaymentReceived { clearing, debtor, creditor, amount } => {
            format!("clearing {clearing}: condominium {creditor} has {} from condominium {debtor}", money(*amount))
        }
        Event::PaymentMissing { clearing, debtor, creditor, amount } => {
            format!("clearing {clearing}: condominium {creditor} does not have {} from condominium {debtor}", money(*amount))
        }
        Event::PositionLimitSet { condominium, limit } => {
            format!("any other condominium may owe condominium {condominium} at most {}", money(*limit))
        }
    }
}
