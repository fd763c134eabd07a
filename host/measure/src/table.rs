//! A table in Markdown whose columns stand below each other.

/// The table of these rows, the head first. The first columns, of texts, stand to the left.
pub(crate) fn table(rows: &[Vec<String>], texts: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|it: &String| it.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    let mut lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column < texts {
                format!("| {cell:<width$} ")
            } else {
                format!("| {cell:>width$} ")
            }
        });
        cells.collect::<String>() + "|\n"
    });
    let rule = widths.iter().enumerate().map(|(column, width)| {
        let dashes = "-".repeat(width + 1);
        let end = if column < texts { '-' } else { ':' };
        format!("|{dashes}{end}")
    });
    let head = lines.next().unwrap_or_default();
    head + &rule.collect::<String>() + "|\n" + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_to_the_left_and_numbers_to_the_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [row(["", "minimal"]), row(["writes", "5.24"])];
        let expected = "\
|        | minimal |
|--------|--------:|
| writes |    5.24 |
";
        assert_eq!(table(&rows, 1), expected);
    }
}
