//! The figures as pictures.

use std::path::Path;

use plotters::prelude::*;

use super::Row;
use crate::failure::{Failure, Result};

const SIZE: (u32, u32) = (720, 420);
/// One for each start policy, to be told apart in grey too.
const COLOURS: [RGBColor; 3] =
    [RGBColor(0x1b, 0x5e, 0x8c), RGBColor(0xd9, 0x82, 0x1f), RGBColor(0x7a, 0x7a, 0x7a)];

/// Draws both pictures into a folder: how soon sound begins and how often it
/// stops, and what each bitrate policy is worth.
pub(super) fn draw(rows: &[Row], folder: &Path) -> Result<()> {
    let all = rows.iter().filter(|row| row.trace == "all").collect::<Vec<_>>();
    let Some(scale) = all.first().map(|row| row.scale) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| wrong(folder, &error))?;
    let starts = folder.join(format!("traces-start-{scale}.svg"));
    draw_starts(&all, &starts).map_err(|error| wrong(&starts, &*error))?;
    let worth = folder.join(format!("traces-qoe-{scale}.svg"));
    draw_worth(&all, &worth).map_err(|error| wrong(&worth, &*error))
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("cannot draw {}: {error}", path.display()))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn start_policies(rows: &[&Row]) -> Vec<&'static str> {
    let mut names = rows.iter().map(|row| row.start_policy).collect::<Vec<_>>();
    names.dedup();
    names
}

fn draw_starts(rows: &[&Row], path: &Path) -> Drawn {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let right = rows.iter().map(|row| row.start_delay_ms_p50).fold(1_000.0, f64::max) / 1e3;
    let top = rows.iter().map(|row| row.stalled_play_share).fold(0.02, f64::max) * 110.0;
    let mut chart = ChartBuilder::on(&area)
        .caption("Sooner or without a stall", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..right * 1.15, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("median delay of the start, s")
        .y_desc("plays that stall, %")
        .draw()?;
    for (name, colour) in start_policies(rows).into_iter().zip(COLOURS) {
        let of = rows.iter().filter(|row| row.start_policy == name);
        let points = of.map(|row| {
            let at = (row.start_delay_ms_p50 / 1e3, row.stalled_play_share * 100.0);
            EmptyElement::at(at)
                + Circle::new((0, 0), 5, colour.filled())
                + Text::new(row.bitrate_policy, (7, -6), ("sans-serif", 12))
        });
        chart
            .draw_series(points)?
            .label(name)
            .legend(move |(x, y)| Circle::new((x + 8, y), 5, colour.filled()));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

fn draw_worth(rows: &[&Row], path: &Path) -> Drawn {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    // Far below zero one is as bad as another.
    let floor = -400.0;
    let top = rows.iter().map(|row| row.qoe).fold(50.0, f64::max) * 1.1;
    let bottom = rows.iter().map(|row| row.qoe).fold(0.0, f64::min).max(floor);
    let mut names = rows.iter().map(|row| row.bitrate_policy).collect::<Vec<_>>();
    let starts = start_policies(rows);
    names.truncate(rows.len() / starts.len().max(1));
    let width = i32::try_from(names.len())?;
    let mut chart = ChartBuilder::on(&area)
        .caption("What a bitrate policy is worth", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..f64::from(width), bottom * 1.05..top)?;
    let label = |x: &f64| {
        let nth =
            names.iter().zip(0_u32..).find(|(_, nth)| (x - f64::from(*nth) - 0.5).abs() < 0.3);
        nth.map_or(String::new(), |(name, _)| (*name).to_owned())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(names.len() * 2 + 1)
        .x_label_formatter(&label)
        .y_desc("qoe, cut off at -400")
        .draw()?;
    for ((start, colour), side) in starts.into_iter().zip(COLOURS).zip(0_u32..) {
        let of = rows.iter().filter(|row| row.start_policy == start).zip(0_u32..);
        let bars = of.map(|(row, nth)| {
            let left = f64::from(nth) + 0.14 + 0.24 * f64::from(side);
            let height = row.qoe.max(floor);
            Rectangle::new([(left, 0.0), (left + 0.22, height)], colour.filled())
        });
        chart
            .draw_series(bars)?
            .label(start)
            .legend(move |(x, y)| Circle::new((x + 8, y), 5, colour.filled()));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}
