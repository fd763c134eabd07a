//! Panels, two in a row.

use anyhow::{Error, Result, ensure};
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoFont, LineSeries, PathElement,
    RGBColor, SVGBackend, SeriesLabelPosition, ShapeStyle,
};
use plotters::style::TextStyle;

use super::series::Panel;

/// A panel's size, in pixels.
const SIZE: (u32, u32) = (440, 280);
/// The colour of text, axes and grid: as far from white as from black.
const GREY: RGBColor = RGBColor(128, 128, 128);
const COLOURS: [RGBColor; 6] = [
    RGBColor(47, 129, 247),
    RGBColor(219, 109, 40),
    RGBColor(46, 160, 67),
    RGBColor(163, 113, 247),
    RGBColor(219, 84, 122),
    RGBColor(154, 128, 32),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the panels as SVG.
pub(super) fn draw(panels: &[Panel]) -> Result<String> {
    let points = panels.iter().flat_map(|panel| &panel.lines);
    ensure!(
        points.map(|line| line.points.len()).sum::<usize>() > 0,
        "the results have no figure that is drawn"
    );
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(2);
    let (width, height) = SIZE;
    let size = (
        width * u32::try_from(columns)?,
        height * u32::try_from(rows)?,
    );
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        for (part, panel) in area.split_evenly((rows, columns)).iter().zip(panels) {
            draw_panel(part, panel).map_err(|error| Error::msg(format!("{error}")))?;
        }
        area.present()
            .map_err(|error| Error::msg(format!("{error}")))?;
    }
    Ok(text)
}

/// Returns a text style of this size.
fn words(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&GREY)
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<(), Box<dyn std::error::Error>> {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let (mut right, mut top) = (0.0_f64, 0.0_f64);
    for point in points {
        (right, top) = (right.max(point.x), top.max(point.high));
    }
    // The names of the lines are above them, each on a tenth of the height.
    let free = 0.94 - 0.1 * f64::from(u32::try_from(panel.lines.len())?);
    let top = if top > 0.0 { top / free.max(0.3) } else { 1.0 };
    let right = if right > 0.0 { right * 1.04 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, words(18))
        .margin(10)
        .margin_right(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.25))
        .light_line_style(GREY.mix(0.0))
        .max_light_lines(0)
        .x_labels(6)
        .y_labels(6)
        .x_desc(panel.across)
        .axis_desc_style(words(15))
        .label_style(words(15))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        let style = ShapeStyle::from(colour).stroke_width(2);
        chart
            .draw_series(LineSeries::new(
                line.points.iter().map(|of| (of.x, of.y)),
                style,
            ))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        let dots = line.points.iter();
        chart.draw_series(dots.map(|of| Circle::new((of.x, of.y), 3, colour.filled())))?;
        // From the lowest to the highest of several runs.
        let spans = line.points.iter().filter(|of| of.low < of.high);
        chart.draw_series(
            spans.map(|of| PathElement::new([(of.x, of.low), (of.x, of.high)], *colour)),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(4)
        .legend_area_size(20)
        .label_font(words(15))
        .draw()?;
    Ok(())
}

/// Formats a number with at most four characters before its unit.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        of if of >= 1e6 => (value / 1e6, "M"),
        of if of >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}
