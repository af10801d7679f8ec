//! A tariff's versions as tables that a person understands.
//!
//! It knows no rule; one sentence says how to read the rows. Called by `watt admin tariff show`.

use ::chain::{
    api::TariffView,
    quantity::Amount,
    tariff::{TariffDimension, TariffElement},
};

use crate::{
    csv::{self, Csv},
    describe,
    quantity::{duration, time, tokens},
    render::{Facts, Rows},
};

const DIMENSIONS: [(TariffDimension, &str); 4] = [
    (TariffDimension::Energy, "PER KWH"),
    (TariffDimension::Time, "PER HOUR CHARGING"),
    (TariffDimension::ParkingTime, "PER HOUR PARKED FULL"),
    (TariffDimension::Flat, "ONCE"),
];

/// All versions, newest first as they come.
pub(super) fn versions(views: &[TariffView], currency: &str) -> String {
    let texts: Vec<String> = views.iter().map(|view| version(view, currency)).collect();
    if texts.is_empty() { "There is no version of this tariff yet.\n".to_owned() } else { texts.join("\n") }
}

/// Versions for a spreadsheet, a row for each element; a price that an element does not have is empty.
pub(super) fn csv(views: &[TariffView]) -> Csv {
    let mut csv = Csv::new(&[
        "tariff",
        "version",
        "from",
        "in_force",
        "time_zone",
        "element",
        "conditions",
        "energy_micro_per_kwh",
        "time_micro_per_hour",
        "parking_micro_per_hour",
        "flat_micro",
        "min_price_micro",
        "max_price_micro",
        "tax_basis_points",
        "parking_grace_ms",
    ]);
    for view in views {
        let document = &view.tariff;
        for (number, element) in (1_u64..).zip(&document.elements) {
            let head = [
                csv::text(view.id),
                csv::number(view.version),
                csv::at(view.valid_from),
                csv::yes(view.in_force),
                csv::text(&document.time_zone),
                csv::number(number),
                csv::text(describe::conditions(&element.restrictions).join("; ")),
            ];
            let prices = DIMENSIONS.map(|(dimension, _)| csv::some(price(element, dimension), csv::micro));
            let tail = [
                csv::some(document.min_price, csv::micro),
                csv::some(document.max_price, csv::micro),
                csv::number(document.vat_basis_points),
                csv::number(document.parking_grace.ms()),
            ];
            csv.push(head.into_iter().chain(prices).chain(tail));
        }
    }
    csv
}

fn version(view: &TariffView, currency: &str) -> String {
    let state = if view.in_force { ", in force" } else { "" };
    let head = format!("tariff {} version {}{state}, from {}\n", view.id, view.version, time(view.valid_from));
    // Only prices that some element has.
    let has = |dimension: &TariffDimension| view.tariff.elements.iter().any(|element| price(element, *dimension).is_some());
    let shown: Vec<_> = DIMENSIONS.iter().filter(|(dimension, _)| has(dimension)).collect();
    let columns: Vec<&str> = ["", "WHEN"].into_iter().chain(shown.iter().map(|(_, name)| *name)).collect();
    let mut rows = Rows::new(&columns, "It has no element.");
    for (number, element) in (1..).zip(&view.tariff.elements) {
        let conditions = describe::conditions(&element.restrictions).join("; ");
        let when = if conditions.is_empty() { if number == 1 { "always" } else { "otherwise" }.to_owned() } else { conditions };
        let prices =
            shown.iter().map(|(dimension, _)| price(element, *dimension).map_or_else(|| "-".to_owned(), |price| tokens(price, currency)));
        rows.push([number.to_string(), when].into_iter().chain(prices));
    }
    let document = &view.tariff;
    let mut facts =
        Facts::new().with("how to read", "for each price the first row that has one and whose condition holds; nothing where none does");
    if document.elements.iter().any(|element| {
        element.restrictions.start_time.or(element.restrictions.end_time).is_some() || !element.restrictions.day_of_week.is_empty()
    }) {
        facts = facts.with("local time", document.time_zone.as_str());
    }
    if has(&TariffDimension::ParkingTime) {
        let grace = if document.parking_grace.is_zero() {
            "as soon as it is full".to_owned()
        } else {
            format!("{} after it is full", duration(document.parking_grace))
        };
        facts = facts.with("parking counts", grace);
    }
    let facts = facts
        .with_some("least per session", document.min_price.map(|least| format!("{}, once anything was used", tokens(least, currency))))
        .with_some("most per session", document.max_price.map(|most| tokens(most, currency)))
        .with("tax contained", describe::percent(document.vat_basis_points));
    format!("{head}{}{}", rows.text(), facts.text())
}

fn price(element: &TariffElement, dimension: TariffDimension) -> Option<Amount> {
    element.price_components.iter().find(|component| component.dimension == dimension).map(|component| component.price)
}

#[cfg(test)]
mod tests {
    use ::chain::{
        id::{CondominiumId, TariffId},
        quantity::WattHours,
        tariff::{DayOfWeek, PriceComponent, Tariff, TariffRestrictions},
        time::{Duration, Timestamp},
    };

    use super::*;

    #[test]
    fn a_version_reads_as_rows_of_conditions_and_prices() {
        let component = |dimension, micro| PriceComponent { dimension, price: Amount::from_micro(micro) };
        let night = TariffRestrictions {
            start_time: Some(1_320),
            end_time: Some(420),
            day_of_week: vec![DayOfWeek::Saturday, DayOfWeek::Sunday],
            max_energy: Some(WattHours::new(10_000)),
            ..TariffRestrictions::default()
        };
        let elements = vec![
            TariffElement { price_components: vec![component(TariffDimension::Energy, 150_000)], restrictions: night },
            TariffElement {
                price_components: vec![component(TariffDimension::Energy, 250_000), component(TariffDimension::ParkingTime, 2_000_000)],
                restrictions: TariffRestrictions::default(),
            },
        ];
        let tariff = Tariff {
            time_zone: "UTC0".to_owned(),
            elements,
            min_price: Some(Amount::from_micro(500_000)),
            max_price: None,
            vat_basis_points: 2_300,
            parking_grace: Duration::from_mins(30),
        };
        let view =
            TariffView { id: TariffId::new(CondominiumId(1), 1), version: 2, valid_from: Timestamp::from_ms(0), in_force: true, tariff };
        let text = versions(&[view], "EUR");
        let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(lines[0].starts_with("tariff 1-1 version 2, in force, from 1970-01-01T"), "{text}");
        assert_eq!(lines[1], "WHEN PER KWH PER HOUR PARKED FULL");
        assert_eq!(lines[2], "1 22:00 to 07:00; Saturday, Sunday; below 10.000 kWh 0.15 EUR -");
        assert_eq!(lines[3], "2 otherwise 0.25 EUR 2.00 EUR");
        assert!(lines.contains(&"parking counts 30 min after it is full".to_owned()), "{text}");
        assert!(lines.contains(&"least per session 0.50 EUR, once anything was used".to_owned()), "{text}");
    }
}
