//! A tariff's document from flags or from a file that a person wrote.
//!
//! It reads forms: what a document may say is [`contracts::tariff::find_flaw`]'s, asked by the caller. Every refusal names the element and the field. Called by
//! `watt admin tariff put`.

use std::path::Path;

use ::chain::{
    quantity::{Amount, WattHours, Watts},
    tariff::{DayOfWeek, PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::Duration,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    command::{CommandError, file::read_at_most},
    quantity::{parse_clock, parse_duration, parse_kwh, parse_tokens},
};

/// What flags can describe.
#[derive(Debug)]
pub(super) struct Simple<'a> {
    pub price: Option<Amount>,
    /// Another price of energy from one minute of the day to another.
    pub night: Option<(Amount, (u16, u16))>,
    pub per_hour: Option<Amount>,
    pub parking: Option<Amount>,
    pub grace: Duration,
    pub flat: Option<Amount>,
    pub min_price: Option<Amount>,
    pub max_price: Option<Amount>,
    pub zone: &'a str,
    pub vat_percent: u32,
}

impl Simple<'_> {
    /// The document: the night's element first, because the first that holds gives the price.
    pub fn document(&self) -> Tariff {
        let component = |dimension, price| PriceComponent { dimension, price };
        let mut elements = Vec::new();
        if let Some((price, (start, end))) = self.night {
            let restrictions = TariffRestrictions { start_time: Some(start), end_time: Some(end), ..TariffRestrictions::default() };
            elements.push(TariffElement { price_components: vec![component(TariffDimension::Energy, price)], restrictions });
        }
        let prices = [
            (TariffDimension::Energy, self.price),
            (TariffDimension::Time, self.per_hour),
            (TariffDimension::ParkingTime, self.parking),
            (TariffDimension::Flat, self.flat),
        ];
        let always = prices.into_iter().filter_map(|(dimension, price)| Some(component(dimension, price?))).collect();
        elements.push(TariffElement { price_components: always, restrictions: TariffRestrictions::default() });
        Tariff {
            time_zone: self.zone.to_owned(),
            elements,
            min_price: self.min_price,
            max_price: self.max_price,
            vat_basis_points: self.vat_percent.saturating_mul(100),
            parking_grace: self.grace,
        }
    }
}

/// The most that a tariff's file may measure, in bytes: more than a transaction holds.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// Reads a file.
///
/// # Errors
/// [`CommandError::Failed`] with the file, the element and the field.
pub(super) fn read(path: &Path) -> Result<Tariff, CommandError> {
    let failed = |reason: String| CommandError::Failed(format!("{}: {reason}", path.display()));
    let text = read_at_most(path, "a tariff's file", MAX_FILE_BYTES)?;
    read_tariff(&text).map_err(failed)
}

/// Reads a tariff's document as people write it; whether it is a good one is not asked.
///
/// # Errors
/// In words, with the element and the field.
pub fn read_tariff(text: &[u8]) -> Result<Tariff, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
    tariff(&value)
}

const DOCUMENT: [&str; 6] = ["time_zone", "elements", "min_price", "max_price", "vat_basis_points", "parking_grace"];
const ELEMENT: [&str; 2] = ["price_components", "restrictions"];
const COMPONENT: [&str; 2] = ["dimension", "price"];
const RESTRICTIONS: [&str; 9] =
    ["start_time", "end_time", "day_of_week", "min_energy", "max_energy", "min_power", "max_power", "min_duration", "max_duration"];

fn tariff(value: &Value) -> Result<Tariff, String> {
    // What `show` writes has the document under this name.
    let value = value.get("tariff").filter(|inner| inner.is_object()).unwrap_or(value);
    let fields = Fields::of(value, "", &DOCUMENT)?;
    let elements = fields.list("elements")?;
    let elements = (1_usize..).zip(elements).map(|(number, value)| element(value, number)).collect::<Result<_, _>>()?;
    Ok(Tariff {
        time_zone: fields.needed("time_zone", text)?,
        elements,
        min_price: fields.optional("min_price", price)?,
        max_price: fields.optional("max_price", price)?,
        vat_basis_points: fields.optional("vat_basis_points", plain)?.unwrap_or_default(),
        parking_grace: fields.optional("parking_grace", span)?.unwrap_or_default(),
    })
}

fn element(value: &Value, number: usize) -> Result<TariffElement, String> {
    let place = format!("element {number}, ");
    let fields = Fields::of(value, &place, &ELEMENT)?;
    let component = |(number, value): (usize, &Value)| {
        let fields = Fields::of(value, &format!("{place}price_components {number}, "), &COMPONENT)?;
        let dimension = fields.needed("dimension", |value| {
            plain::<TariffDimension>(value).map_err(|_| "expected \"ENERGY\", \"TIME\", \"PARKING_TIME\" or \"FLAT\"".to_owned())
        })?;
        Ok::<_, String>(PriceComponent { dimension, price: fields.needed("price", price)? })
    };
    let components = fields.list("price_components")?;
    let price_components = (1_usize..).zip(components).map(component).collect::<Result<_, _>>()?;
    let restrictions = match fields.0.get("restrictions") {
        None | Some(Value::Null) => TariffRestrictions::default(),
        Some(value) => restrictions(value, &place)?,
    };
    Ok(TariffElement { price_components, restrictions })
}

fn restrictions(value: &Value, place: &str) -> Result<TariffRestrictions, String> {
    let fields = Fields::of(value, place, &RESTRICTIONS)?;
    let days =
        |value: &Value| plain::<Vec<DayOfWeek>>(value).map_err(|_| "expected a list of days such as [\"SATURDAY\", \"SUNDAY\"]".to_owned());
    Ok(TariffRestrictions {
        start_time: fields.optional("start_time", minute)?,
        end_time: fields.optional("end_time", minute)?,
        day_of_week: fields.optional("day_of_week", days)?.unwrap_or_default(),
        min_energy: fields.optional("min_energy", energy)?,
        max_energy: fields.optional("max_energy", energy)?,
        min_power: fields.optional("min_power", power)?,
        max_power: fields.optional("max_power", power)?,
        min_duration: fields.optional("min_duration", span)?,
        max_duration: fields.optional("max_duration", span)?,
    })
}

/// An object's fields, and where it stands.
struct Fields<'v>(&'v Map<String, Value>, String);

impl<'v> Fields<'v> {
    fn of(value: &'v Value, place: &str, known: &[&str]) -> Result<Self, String> {
        let shown = if place.is_empty() { "the document: " } else { place };
        let map = value.as_object().ok_or_else(|| format!("{shown}expected an object with {}", known.join(", ")))?;
        match map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("{shown}{name}: there is no such field; there are {}", known.join(", "))),
            None => Ok(Self(map, place.to_owned())),
        }
    }

    fn optional<T>(&self, name: &str, read: impl Fn(&Value) -> Result<T, String>) -> Result<Option<T>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).map_err(|problem| format!("{}{name}: {problem}, found {value}", self.1)),
        }
    }

    fn needed<T>(&self, name: &str, read: impl Fn(&Value) -> Result<T, String>) -> Result<T, String> {
        self.optional(name, read)?.ok_or_else(|| format!("{}{name}: it is missing", self.1))
    }

    fn list(&self, name: &str) -> Result<&'v [Value], String> {
        match self.0.get(name) {
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(format!("{}{name}: expected a list", self.1)),
            None => Err(format!("{}{name}: it is missing", self.1)),
        }
    }
}

fn plain<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "expected a text".to_owned())
}

fn price(value: &Value) -> Result<Amount, String> {
    let expected = "expected micro-tokens such as \"250000\", or tokens with a point such as \"0.25\"";
    let text = value.as_str().ok_or(expected)?;
    if text.contains('.') { parse_tokens(text).map_err(|_| expected.to_owned()) } else { plain(value).map_err(|_| expected.to_owned()) }
}

fn energy(value: &Value) -> Result<WattHours, String> {
    let expected = "expected watt-hours such as \"10000\", or \"10 kWh\"";
    let text = value.as_str().ok_or(expected)?;
    if text.ends_with("kWh") { parse_kwh(text).map_err(|_| expected.to_owned()) } else { plain(value).map_err(|_| expected.to_owned()) }
}

fn power(value: &Value) -> Result<Watts, String> {
    plain(value).map_err(|_| "expected watts such as 11000".to_owned())
}

fn span(value: &Value) -> Result<Duration, String> {
    let expected = "expected milliseconds such as \"1800000\", or a duration such as \"30m\"";
    let text = value.as_str().ok_or(expected)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        plain(value).map_err(|_| expected.to_owned())
    } else {
        parse_duration(text).map_err(|_| expected.to_owned())
    }
}

fn minute(value: &Value) -> Result<u16, String> {
    let expected = "expected minutes after midnight such as 1320, or \"22:00\"";
    match value.as_str() {
        Some(text) => parse_clock(text).map_err(|_| expected.to_owned()),
        None => plain(value).map_err(|_| expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use contracts::tariff::find_flaw;
    use serde_json::json;

    use super::*;

    fn everything() -> Value {
        json!({
            "time_zone": "UTC0",
            "min_price": "0.50",
            "max_price": "20000000",
            "vat_basis_points": 2300,
            "parking_grace": "30m",
            "elements": [
                {
                    "price_components": [{ "dimension": "ENERGY", "price": "0.15" }, { "dimension": "TIME", "price": "100000" }],
                    "restrictions": {
                        "start_time": "22:00", "end_time": 420, "day_of_week": ["SATURDAY", "SUNDAY"], "min_energy": "1000", "max_energy": "7.5 kWh",
                        "min_power": 1400, "max_power": 11000, "min_duration": "600000", "max_duration": "8h"
                    }
                },
                { "price_components": [{ "dimension": "PARKING_TIME", "price": "2.00" }, { "dimension": "FLAT", "price": "0.10" }] }
            ]
        })
    }

    #[test]
    fn a_file_may_say_everything_in_the_forms_of_people_and_of_programs() {
        let document = tariff(&everything()).unwrap();
        find_flaw(&document).unwrap();
        let when = &document.elements[0].restrictions;
        assert_eq!((when.start_time, when.end_time), (Some(1_320), Some(420)));
        assert_eq!((when.max_energy, when.max_duration), (Some(WattHours::new(7_500)), Some(Duration::from_hours(8))));
        assert_eq!((document.min_price, document.parking_grace), (Some(Amount::from_micro(500_000)), Duration::from_mins(30)));
        assert_eq!(document.elements[1].restrictions, TariffRestrictions::default());
        // What is shown as JSON can be read again.
        let shown = serde_json::to_value(&document).unwrap();
        assert_eq!(tariff(&shown), Ok(document.clone()));
        assert_eq!(tariff(&json!({ "id": "1-1", "tariff": shown })), Ok(document));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_with_its_element_and_field() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut document = everything();
            change(&mut document);
            tariff(&document).unwrap_err()
        };
        let told = [
            (refused(&|it| it["elements"][0]["restrictions"]["max_energy"] = json!(7500)), "element 1, max_energy: expected watt-hours"),
            (
                refused(&|it| it["elements"][1]["price_components"][0]["price"] = json!(2.0)),
                "element 2, price_components 1, price: expected micro-tokens",
            ),
            (
                refused(&|it| it["elements"][1]["price_components"][1]["dimension"] = json!("ONCE")),
                "element 2, price_components 2, dimension: expected \"ENERGY\"",
            ),
            (refused(&|it| it["elements"][0]["restrictions"]["start_time"] = json!("24:00")), "element 1, start_time: expected minutes"),
            (refused(&|it| it["elements"][0]["restrictions"]["max_kwh"] = json!(7)), "element 1, max_kwh: there is no such field"),
            (
                refused(&|it| it["elements"][0]["restrictions"]["day_of_week"] = json!(["Sunday"])),
                "element 1, day_of_week: expected a list of days",
            ),
            (refused(&|it| drop(it.as_object_mut().unwrap().remove("time_zone"))), "time_zone: it is missing"),
            (refused(&|it| it["elements"] = json!({})), "elements: expected a list"),
            (refused(&|it| it["parking_grace"] = json!("half an hour")), "parking_grace: expected milliseconds"),
            (refused(&|it| *it = json!([])), "the document: expected an object"),
        ];
        for (found, expected) in told {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn flags_make_the_same_document_with_the_night_first() {
        let micro = Amount::from_micro;
        let simple = Simple {
            price: Some(micro(250_000)),
            night: Some((micro(150_000), (1_320, 420))),
            per_hour: None,
            parking: Some(micro(2_000_000)),
            grace: Duration::from_mins(30),
            flat: None,
            min_price: None,
            max_price: Some(micro(20_000_000)),
            zone: "UTC0",
            vat_percent: 23,
        };
        let document = simple.document();
        find_flaw(&document).unwrap();
        let dimensions: Vec<Vec<TariffDimension>> = document
            .elements
            .iter()
            .map(|element| element.price_components.iter().map(|component| component.dimension).collect())
            .collect();
        assert_eq!(dimensions, [vec![TariffDimension::Energy], vec![TariffDimension::Energy, TariffDimension::ParkingTime]]);
        assert_eq!((document.vat_basis_points, document.elements[0].restrictions.start_time), (2_300, Some(1_320)));
    }
}
