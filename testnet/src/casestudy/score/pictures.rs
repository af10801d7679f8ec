//! Figs. 19 to 25 of the paper, drawn as SVG from a chain's history.
//!
//! Each picture is one file, `fig19.svg` to `fig25.svg`. They show; nothing is judged by them. Called by [`super::super`].

use std::{collections::BTreeSet, path::Path};

use chain::record::Control;
use jiff::civil::Date;
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};

use super::{
    figures::{self, LONGER_THAN, ONE_DRIVER, SHORT_GAP, at_once, gaps, local, mean},
    history::{Charge, History},
};

/// The size of a picture, px.
const SIZE: (u32, u32) = (960, 400);

/// One colour for each car, and for what waits; readable without telling red from green.
const CARS: [RGBColor; 3] = [RGBColor(0, 90, 156), RGBColor(217, 119, 6), RGBColor(90, 60, 150)];
const GREY: RGBColor = RGBColor(120, 120, 120);
const PALE: RGBColor = RGBColor(205, 205, 205);

const HOUR_MS: f64 = 3_600_000.0;

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}")]
pub struct PictureError {
    file: &'static str,
    message: String,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Picture = fn(&History, &Area<'_>) -> Drawn;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws all pictures into a folder that is there.
///
/// # Errors
/// [`PictureError`].
pub fn draw(history: &History, folder: &Path) -> Result<(), PictureError> {
    let all: [(&'static str, Picture); 7] = [
        ("fig19.svg", power_and_duration),
        ("fig20.svg", simultaneous),
        ("fig21.svg", durations),
        ("fig22.svg", energies),
        ("fig23.svg", windows),
        ("fig24.svg", distributions),
        ("fig25.svg", between),
    ];
    for (file, picture) in all {
        let path = folder.join(file);
        let area = SVGBackend::new(&path, SIZE).into_drawing_area();
        let filled: Drawn = area.fill(&WHITE).map_err(Into::into);
        let drawn = filled.and_then(|()| picture(history, &area)).and_then(|()| Ok(area.present()?));
        drawn.map_err(|error| PictureError { file, message: error.to_string() })?;
    }
    Ok(())
}

/// Fig. 19: how long each charge above three hours took, and with how much power.
fn power_and_duration(history: &History, area: &Area<'_>) -> Drawn {
    let above: Vec<&Charge> = history.charges.iter().filter(|charge| charge.hours() > LONGER_THAN).collect();
    let power = mean(&above.iter().map(|charge| charge.kw()).collect::<Vec<_>>());
    let title = format!("Fig. 19: {} charges above 3 h, mean {power:.2} kW, correlation {:.2}", above.len(), figures::correlation(&above));
    let mut chart = chart(area, &title, (2.5, 9.5), (1.9, 2.7))?;
    axes(&mut chart, "duration, h", "mean power, kW")?;
    chart.draw_series(LineSeries::new([(2.5, power), (9.5, power)], GREY.stroke_width(1)))?;
    chart.draw_series(above.iter().map(|charge| Circle::new((charge.hours(), charge.kw()), 3, colour(charge).filled())))?;
    Ok(())
}

/// Fig. 20: how many cars drew at each hour of each day.
fn simultaneous(history: &History, area: &Area<'_>) -> Drawn {
    let steps = at_once(&history.charges);
    let most = steps.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let title = format!("Fig. 20: cars charging at once (light: one, dark: two), {} charges, at most {most}", history.charges.len());
    let last = day_of(history.charges.iter().map(Charge::ends_ms).max().unwrap_or_default(), history);
    let mut chart = chart(area, &title, (0.0, last.floor() + 1.0), (0.0, 24.0))?;
    axes(&mut chart, "day", "local hour")?;
    for ((from_ms, count), (until_ms, _)) in steps.iter().zip(steps.iter().skip(1)).filter(|((_, count), _)| *count > 0) {
        let colour = if *count == 1 { RGBColor(150, 190, 220) } else { CARS[0] };
        let (mut from, until) = (*from_ms, *until_ms);
        while from < until {
            let hour = hour_of(from);
            let midnight = from + ms(24.0 - hour);
            let end = until.min(midnight);
            let day = day_of(from, history).floor();
            let top = hour + (end - from) as f64 / HOUR_MS;
            chart.draw_series([Rectangle::new([(day + 0.1, hour), (day + 0.9, top.min(24.0))], colour.filled())])?;
            from = end.max(from + 1);
        }
    }
    Ok(())
}

/// Fig. 21: how long the charges of one driver took.
fn durations(history: &History, area: &Area<'_>) -> Drawn {
    one_driver(history, area, "Fig. 21: one driver's charges", "h", 10.0, Charge::hours)
}

/// Fig. 22: what they brought.
fn energies(history: &History, area: &Area<'_>) -> Drawn {
    one_driver(history, area, "Fig. 22: one driver's charges", "kWh", 24.0, Charge::kwh)
}

fn one_driver(history: &History, area: &Area<'_>, title: &str, unit: &str, most: f64, figure: fn(&Charge) -> f64) -> Drawn {
    let values: Vec<f64> = history.charges.iter().filter(|charge| charge.bill.connector.number == ONE_DRIVER).map(figure).collect();
    let middle = mean(&values);
    let end = values.len() as f64;
    let mut chart = chart(area, &format!("{title}, mean {middle:.2} {unit}"), (0.0, end), (0.0, most))?;
    axes(&mut chart, "charge", unit)?;
    let bar = |(place, value): (usize, &f64)| Rectangle::new([(place as f64 + 0.15, 0.0), (place as f64 + 0.85, *value)], CARS[1].filled());
    chart.draw_series(values.iter().enumerate().map(bar))?;
    chart.draw_series(LineSeries::new([(0.0, middle), (end, middle)], BLACK.stroke_width(1)))?;
    Ok(())
}

/// Fig. 23: a day on which all three cars charged and one of them had to wait.
fn windows(history: &History, area: &Area<'_>) -> Drawn {
    let waits = |charge: &&Charge| {
        let is_switched = history.connectors.get(&charge.bill.connector) == Some(&Control::Switched);
        is_switched && charge.starts_ms() >= charge.bill.opened_at.ms() + 1_800_000
    };
    // The third car charges meanwhile: two do, and one waits.
    let three = |charge: &&Charge| {
        let (from_ms, until_ms) = (charge.bill.opened_at.ms(), charge.starts_ms());
        let others = history.charges.iter().filter(|other| other.starts_ms() < until_ms && other.ends_ms() > from_ms);
        let numbers: BTreeSet<u32> = others.map(|other| other.bill.connector.number).chain([charge.bill.connector.number]).collect();
        numbers.len() >= 3
    };
    let Some(late) = history.charges.iter().filter(waits).find(three).or_else(|| history.charges.iter().find(waits)) else {
        chart(area, "Fig. 23: no car had to wait", (0.0, 1.0), (0.0, 1.0))?;
        return Ok(());
    };
    let begin_ms = late.bill.opened_at.ms().saturating_sub(ms(6.0));
    let hours = |at_ms: u64| hour_of(begin_ms) + (at_ms as f64 - begin_ms as f64) / HOUR_MS;
    let end_ms = late.ends_ms() + ms(4.0);
    let title = format!("Fig. 23: charging windows on {} (grey: waiting for a place)", local(late.starts_ms()).date());
    let mut chart = chart(area, &title, (hours(begin_ms), hours(end_ms)), (0.0, 3.0))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE)
        .x_desc("local hour")
        .x_label_formatter(&|hour: &f64| format!("{:.0}:00", hour.rem_euclid(24.0)))
        .y_labels(3)
        .y_label_formatter(&|_: &f64| String::new())
        .draw()?;
    for charge in history.charges.iter().filter(|charge| charge.ends_ms() > begin_ms && charge.bill.opened_at.ms() < end_ms) {
        let lane = f64::from(charge.bill.connector.number.clamp(1, 3)) - 1.0;
        let bar = |from_ms: u64, until_ms: u64, style: ShapeStyle| {
            let (from_ms, until_ms) = (from_ms.max(begin_ms), until_ms.min(end_ms));
            Rectangle::new([(hours(from_ms), lane + 0.25), (hours(until_ms.max(from_ms)), lane + 0.75)], style)
        };
        chart.draw_series([bar(charge.bill.opened_at.ms(), charge.starts_ms(), PALE.filled())])?;
        chart.draw_series(charge.drew.iter().map(|(from_ms, until_ms)| bar(*from_ms, *until_ms, colour(charge).filled())))?;
        let label = format!("Sensor {}: {:.2} kW, {:.1} kWh", charge.bill.connector.number - 1, charge.kw(), charge.kwh());
        let at = (hours(charge.bill.opened_at.ms().max(begin_ms)), lane + 0.95);
        chart.draw_series([Text::new(label, at, ("sans-serif", 13).into_font())])?;
    }
    Ok(())
}

/// Fig. 24: how the durations and the energies of all charges are spread.
fn distributions(history: &History, area: &Area<'_>) -> Drawn {
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let hours: Vec<f64> = history.charges.iter().map(Charge::hours).collect();
    let kwh: Vec<f64> = history.charges.iter().map(Charge::kwh).collect();
    let at_most = |values: &[f64], limit: f64| values.iter().filter(|value| **value <= limit).count();
    histogram(&left, &format!("Fig. 24: duration, {} of {} at most 6 h", at_most(&hours, 6.0), hours.len()), "h", &hours, (1.0, 10))?;
    histogram(&right, &format!("energy, {} at most 15 kWh", at_most(&kwh, 15.0)), "kWh", &kwh, (2.5, 9))
}

/// Fig. 25: how long between a driver's charges.
fn between(history: &History, area: &Area<'_>) -> Drawn {
    let gaps = gaps(&history.charges);
    let short = gaps.iter().filter(|gap| **gap < SHORT_GAP).count();
    let title = format!("Fig. 25: {short} of {} gaps between a driver's charges under 20 h", gaps.len());
    histogram(area, &title, "h", &gaps, (4.0, 30))
}

/// A histogram of bins of one width; what is beyond the last bin is in it.
fn histogram(area: &Area<'_>, title: &str, unit: &str, values: &[f64], (width, bins): (f64, usize)) -> Drawn {
    let mut counts = vec![0_u32; bins];
    for value in values {
        let bin = (0..bins).rev().find(|bin| *value > *bin as f64 * width).unwrap_or(0);
        counts[bin] += 1;
    }
    let most = f64::from(counts.iter().copied().max().unwrap_or(0).max(1)) * 1.15;
    let mut chart = chart(area, title, (0.0, bins as f64 * width), (0.0, most))?;
    axes(&mut chart, unit, "charges")?;
    for (bin, count) in counts.iter().enumerate() {
        let from = bin as f64 * width;
        let corners = [(from + 0.04 * width, 0.0), (from + 0.96 * width, f64::from(*count))];
        chart.draw_series([Rectangle::new(corners, CARS[0].filled())])?;
        if *count > 0 {
            let at = (from + 0.3 * width, f64::from(*count) + most * 0.05);
            chart.draw_series([Text::new(count.to_string(), at, ("sans-serif", 12).into_font())])?;
        }
    }
    Ok(())
}

fn chart<'a, 'b>(area: &'a Area<'b>, title: &str, x: (f64, f64), y: (f64, f64)) -> Result<Chart<'a, 'b>, Box<dyn std::error::Error>>
where
    'b: 'a,
{
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, ("sans-serif", 17)).margin(12).x_label_area_size(40).y_label_area_size(50);
    Ok(builder.build_cartesian_2d(x.0..x.1, y.0..y.1)?)
}

fn axes(chart: &mut Chart<'_, '_>, x: &str, y: &str) -> Drawn {
    chart.configure_mesh().light_line_style(TRANSPARENT).bold_line_style(PALE).x_desc(x).y_desc(y).draw()?;
    Ok(())
}

fn colour(charge: &Charge) -> RGBColor {
    let car = usize::try_from(charge.bill.connector.number).unwrap_or(1).saturating_sub(1);
    CARS.get(car).copied().unwrap_or(GREY)
}

/// The day of an instant, counted from the first one of the history, and the part of it that has passed.
fn day_of(at_ms: u64, history: &History) -> f64 {
    let first = history.charges.iter().map(Charge::starts_ms).min().unwrap_or_default();
    let days = |date: Date| date.since(local(first).date()).map_or(0, |span| span.get_days());
    f64::from(days(local(at_ms).date())) + hour_of(at_ms) / 24.0
}

/// The local hour of an instant, with its minutes.
fn hour_of(at_ms: u64) -> f64 {
    let at = local(at_ms);
    f64::from(at.hour()) + f64::from(at.minute()) / 60.0 + f64::from(at.second()) / 3_600.0
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours of a day, not negative")]
fn ms(hours: f64) -> u64 {
    (hours * HOUR_MS) as u64
}
