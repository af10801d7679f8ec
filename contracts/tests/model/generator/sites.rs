//! Groups, connectors and tariffs: what managers might send.

use chain::{
    id::{Address, CondominiumId, ConnectorId, GroupId, TariffId},
    quantity::{Amount, Currents, WattHours, Watts},
    record::{Control, PlugSignal, Role, Service},
    tariff::{DayOfWeek, PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::call::{Call, PutConnector, PutGroup, PutTariff};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{FAR_TARIFF, Generator, HOUR, TOKEN};
use crate::{
    ledger::{self, Model},
    prices,
};

impl Generator {
    pub(super) fn group(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let numbers: Vec<u32> = model.groups.keys().filter(|(condominium, _)| *condominium == site).map(|(_, number)| *number).collect();
        let number = self.rng.random_range(1..=14);
        let parent = match self.rng.random_range(0..12) {
            0 => Some(99),
            1 => Some(number),
            2 => None,
            // Downwards, to where the tree is deepest.
            3..6 => numbers.iter().copied().max_by_key(|number| model.path(site, Some(*number)).len()),
            6..9 => model.groups.get(&(site, number)).and_then(|group| group.parent),
            _ => numbers.choose(&mut self.rng).copied(),
        };
        let amperes = self.pick(&[10, 20, 40, 64, 100, 160, 160, 200]);
        let limit = if self.one_in(6) { [amperes, amperes / 2, amperes] } else { [amperes; 3] };
        let mut limit = Currents::from_ma(limit.map(|amperes| amperes * 1_000));
        // Now and then a little less than is granted, so that the newest alone is paused.
        if model.groups.contains_key(&(site, number)) && self.one_in(3) {
            let used = ledger::plus(model.granted((site, number)), model.reserved((site, number)));
            limit = ledger::currents(used.map(|ma| ma.saturating_sub(self.rng.random_range(0..3_000))));
        }
        (sender, Call::PutGroup(PutGroup { group: GroupId::new(CondominiumId(site), number), parent, limit }))
    }

    pub(super) fn connector(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let number = self.rng.random_range(1..=8);
        let numbers: Vec<u32> = model.groups.keys().filter(|(condominium, _)| *condominium == site).map(|(_, number)| *number).collect();
        let unknown = self.one_in(15);
        let group = numbers.choose(&mut self.rng).copied().filter(|_| !unknown).unwrap_or(99);
        let rated = match self.rng.random_range(0..14) {
            0 => [0; 3],
            1 => [5_999, 16_000, 0],
            2 => [1_000_001, 0, 0],
            3..5 => [16_000, 0, 0],
            5..7 => [16_000, 32_000, 0],
            _ => [32_000; 3],
        };
        let mut call = PutConnector {
            connector: ConnectorId::new(CondominiumId(site), number),
            group,
            control: if self.one_in(4) { Control::MeterOnly } else { Control::Switched },
            plug_signal: if self.one_in(4) { PlugSignal::None } else { PlugSignal::Reported },
            rated: Currents::from_ma(rated),
            tariff: if self.one_in(20) { 77 } else { self.rng.random_range(1..=FAR_TARIFF) },
            service: if self.one_in(6) { Service::OutOfService } else { Service::InService },
        };
        // Often the same place put again as it is: back into service, its fault cleared.
        if let Some(point) = model.points.get(&(site, number))
            && self.one_in(2)
        {
            let rated = ledger::currents(point.rated);
            call = PutConnector { group: point.group, control: point.control, plug_signal: point.plug_signal, rated, ..call };
            call.tariff = point.tariff;
        }
        (sender, Call::PutConnector(call))
    }

    pub(super) fn tariff(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let number = self.rng.random_range(1..=FAR_TARIFF);
        let versions = model.tariffs.get(&(site, number));
        let next = versions.map_or(1, |versions| u32::try_from(versions.len()).expect("few") + 1);
        let latest = versions.and_then(|versions| versions.last()).map_or(0, |(from, _)| *from);
        let version = if self.one_in(4) { next + 1 - self.rng.random_range(0..3).min(next) } else { next };
        let valid_from = match self.rng.random_range(0..10) {
            0 => model.now - 1,
            1 => latest.saturating_sub(1),
            2..6 => model.now.max(latest),
            _ => model.now.max(latest) + self.rng.random_range(0..HOUR),
        };
        let mut document = self.document();
        if self.one_in(3) {
            self.spoil(&mut document);
        }
        let tariff = TariffId::new(CondominiumId(site), number);
        (sender, Call::PutTariff(PutTariff { tariff, version, valid_from: Timestamp::from_ms(valid_from), document }))
    }

    /// A tariff that could be meant.
    pub fn document(&mut self) -> Tariff {
        let elements = (0..self.rng.random_range(1..6)).map(|_| self.element()).collect();
        let time_zone = if self.one_in(3) { self.pick(&prices::ZONES) } else { prices::OSLO }.to_owned();
        let (mut min_price, mut max_price) = (None, None);
        if self.one_in(3) {
            min_price = Some(self.amount(TOKEN));
        }
        if self.one_in(3) {
            max_price = Some(Amount::from_micro(min_price.map_or(0, Amount::micro) + self.rng.random_range(0..3 * TOKEN)));
        }
        let parking_grace = Duration::from_ms(self.pick(&[0, 0, 1, 600_000, 3_600_000]));
        Tariff { time_zone, elements, min_price, max_price, vat_basis_points: 2_500, parking_grace }
    }

    fn element(&mut self) -> TariffElement {
        let energy = PriceComponent { dimension: TariffDimension::Energy, price: self.amount(TOKEN) };
        let energy = match self.rng.random_range(0..10) {
            0 => PriceComponent { price: Amount::ZERO, ..energy },
            // A watt-hour costs less than a micro-token, so that a bill can end anywhere within one.
            1 | 2 => PriceComponent { price: self.amount(900), ..energy },
            // Round prices, so that a bill can be exactly the escrow.
            3..6 => PriceComponent { price: Amount::from_micro(self.pick(&[500, 100_000, 250_000])), ..energy },
            _ => energy,
        };
        let flat = PriceComponent { dimension: TariffDimension::Flat, price: self.amount(TOKEN / 2) };
        let time = PriceComponent { dimension: TariffDimension::Time, price: self.amount(2 * TOKEN) };
        let parking = PriceComponent { dimension: TariffDimension::ParkingTime, price: self.amount(5 * TOKEN) };
        let price_components = match self.rng.random_range(0..10) {
            0 | 1 => vec![flat],
            2 | 3 => vec![flat, energy],
            4 => vec![time],
            5 => vec![time, energy],
            6 => vec![energy, parking],
            7 => vec![parking, time],
            _ => vec![energy],
        };
        let mut restrictions = TariffRestrictions::default();
        if !self.one_in(4) {
            let minute = |rng: &mut StdRng| if rng.random() { rng.random_range(0..24) * 60 } else { rng.random_range(0..1440) };
            restrictions.start_time = self.rng.random::<bool>().then(|| minute(&mut self.rng));
            restrictions.end_time = self.rng.random::<bool>().then(|| minute(&mut self.rng));
            if self.one_in(12) {
                restrictions.end_time = restrictions.start_time;
            }
            if self.one_in(3) {
                restrictions.day_of_week = WEEK.into_iter().filter(|_| self.rng.random()).collect();
            }
        }
        if self.one_in(3) {
            let once = price_components.iter().any(|component| component.dimension == TariffDimension::Flat);
            self.bound(&mut restrictions, once);
        }
        TariffElement { price_components, restrictions }
    }

    /// Bounds of energy, duration or power; those that a price per session cannot have are left out.
    fn bound(&mut self, restrictions: &mut TariffRestrictions, once: bool) {
        let rng = &mut self.rng;
        let [low, high] = [rng.random_range(0..3_000), rng.random_range(3_000..12_000)];
        let (least, most) = (rng.random::<bool>() && !once, rng.random::<bool>() || once);
        match rng.random_range(0..3) {
            0 => {
                restrictions.min_energy = least.then(|| WattHours::new(low));
                restrictions.max_energy = most.then(|| WattHours::new(high));
            }
            // Whole tens of seconds.
            1 => {
                restrictions.min_duration = least.then(|| Duration::from_secs(low * 10));
                restrictions.max_duration = most.then(|| Duration::from_secs(high * 10));
            }
            _ if once => {}
            _ => {
                restrictions.min_power = least.then(|| Watts::new(u32::try_from(low).expect("small")));
                restrictions.max_power = most.then(|| Watts::new(u32::try_from(high).expect("small")));
            }
        }
    }

    /// Breaks one rule of a document.
    fn spoil(&mut self, tariff: &mut Tariff) {
        let last = tariff.elements.len() - 1;
        let element = &mut tariff.elements[last];
        match self.rng.random_range(0..20) {
            0 => tariff.time_zone = "Europe/Oslo".to_owned(),
            1 => tariff.time_zone = "CET-1CEST".to_owned(),
            2 => tariff.vat_basis_points = 10_001,
            3 => tariff.min_price = Some(Amount::from_micro(1_000_000_001)),
            4 => (tariff.min_price, tariff.max_price) = (Some(Amount::from_micro(2)), Some(Amount::from_micro(1))),
            5 => tariff.parking_grace = Duration::from_ms(7 * 24 * HOUR + 1),
            6 => tariff.elements.clear(),
            7 => tariff.elements = vec![element.clone(); 33],
            8 => element.price_components.clear(),
            9 => element.price_components = vec![element.price_components[0]; 5],
            10 => {
                element.price_components = vec![PriceComponent { dimension: TariffDimension::Flat, price: Amount::ZERO }];
                element.restrictions.min_energy = Some(WattHours::new(1));
                element.restrictions.max_energy = None;
            }
            11 => {
                (element.restrictions.min_duration, element.restrictions.max_duration) =
                    (Some(Duration::from_ms(5)), Some(Duration::from_ms(5)))
            }
            12 => element.price_components = vec![element.price_components[0]; 2],
            13 => element.price_components[0].price = Amount::from_micro(1_000_000_001),
            14 => element.restrictions.max_energy = Some(WattHours::ZERO),
            15 => element.restrictions.max_power = Some(Watts::ZERO),
            16 => element.restrictions.start_time = Some(1440),
            _ => element.restrictions.day_of_week = vec![DayOfWeek::Tuesday, DayOfWeek::Monday],
        }
    }
}

const WEEK: [DayOfWeek; 7] = [
    DayOfWeek::Monday,
    DayOfWeek::Tuesday,
    DayOfWeek::Wednesday,
    DayOfWeek::Thursday,
    DayOfWeek::Friday,
    DayOfWeek::Saturday,
    DayOfWeek::Sunday,
];
