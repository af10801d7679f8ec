//! The table of figures for a terminal, which is also the one in the documentation. It judges nothing. Called by [`super`].

use super::score::figures::Row;

/// The columns.
const HEADS: [&str; 6] = ["source", "figure", "paper", "allowed", "chain", ""];

/// A table in Markdown, its columns aligned.
pub(super) fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let verdict = match row.within {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        [row.source, row.figure, row.paper, row.tolerance, &row.found, verdict].map(str::to_owned)
    };
    let lines: Vec<[String; 6]> = std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).max(3));
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text += &format!("|-{}-|\n", rules.join("-|-"));
        }
    }
    text.pop();
    text
}
