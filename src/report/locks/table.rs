//! A table for people: columns as wide as what stands in them.

use std::io;

use crate::ui::{FAINT, Ui};

/// What stands between two columns.
const GAP: &str = "  ";

/// Writes rows under their headings; the last column is as long as it likes.
pub(in crate::report) fn write<const N: usize>(
    ui: &Ui,
    headings: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let padded = cells.iter().zip(&widths).enumerate().map(|(index, (cell, width))| {
            if index == last { cell.clone() } else { format!("{cell:width$}") }
        });
        padded.collect::<Vec<_>>().join(GAP)
    };
    ui.out(format_args!("{FAINT}{}{FAINT:#}", line(&headings.map(str::to_owned))))?;
    rows.iter().try_for_each(|row| ui.out(line(row)))
}

/// Returns text that came from elsewhere without anything that a terminal would obey.
pub(in crate::report) fn plain(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_lock_says() {
        assert_eq!(plain("ada@host"), "ada@host");
        assert_eq!(plain("\u{1b}[2Jada\r\n\u{9b}"), "\\u{1b}[2Jada\\r\\n\\u{9b}");
    }
}
