//! The rows of a long list that are on the screen.

/// Pixels of a row. The style sheet says the same.
pub const ROW: u64 = 28;

/// No browser scrolls through more pixels than this without losing places;
/// longer lists are scrolled in larger steps.
const HEIGHT_MAX: u64 = 8_000_000;

/// Rows that are made above and below what is seen, so that scrolling a little
/// shows no gap.
const MARGIN: u64 = 24;

/// Where the person has scrolled to, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// Pixels above what is seen.
    pub top: u64,
    /// Pixels that are seen.
    pub height: u64,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { top: 0, height: 800 }
    }
}

/// Which rows to make and the empty space around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first row.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Pixels above the first row.
    pub above: u64,
    /// Pixels below the last.
    pub below: u64,
}

/// The window over `rows` rows. `open` is a row that is taller, by so many
/// pixels.
pub fn window(rows: u64, open: Option<(u64, u64)>, seen: Viewport) -> Window {
    let extra = open.map_or(0, |(_, pixels)| pixels);
    let real = rows.saturating_mul(ROW).saturating_add(extra);
    let scrolled = real.min(HEIGHT_MAX);
    // From pixels of the scrollbar to pixels of the list.
    let top = stretch(seen.top.min(scrolled), scrolled, real, seen.height);
    let row_at = |pixel: u64| match open {
        Some((row, pixels)) if pixel >= (row + 1) * ROW => {
            (pixel.saturating_sub(pixels) / ROW).max(row)
        }
        _ => pixel / ROW,
    };
    let first = row_at(top).saturating_sub(MARGIN).min(rows);
    let end = (row_at(top + seen.height) + MARGIN + 1).min(rows);
    let offset = |row: u64| row * ROW + open.filter(|(open, _)| *open < row).map_or(0, |o| o.1);
    let made = offset(end) - offset(first);
    // The rows must stand where they are seen: as far from the top of the view
    // as in the full list.
    let above = (seen.top.min(scrolled) + offset(first)).saturating_sub(top);
    let below = scrolled.saturating_sub(above + made);
    Window { first, count: end - first, above, below }
}

/// Where to scroll to so that a row is seen, a few rows below the top.
pub fn top_of(row: u64, rows: u64, height: u64) -> u64 {
    let real = rows.saturating_mul(ROW);
    let top = (row * ROW).saturating_sub(3 * ROW);
    stretch(top, real, real.min(HEIGHT_MAX), height)
}

/// Maps a scroll position of a list of one height to that of another.
fn stretch(top: u64, from: u64, to: u64, seen: u64) -> u64 {
    let (from, to) = (from.saturating_sub(seen), to.saturating_sub(seen));
    if from == to || from == 0 {
        return top;
    }
    (u128::from(top.min(from)) * u128::from(to) / u128::from(from)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_seen_is_made(
            rows in 0..20_000_000_u64,
            part in 0.0..=1.0_f64,
            height in 100..4000_u64,
            open in proptest::option::of((0..1000_u64, 0..900_u64)),
        ) {
            let open = open.filter(|(row, _)| *row < rows);
            let whole = (rows * ROW + open.map_or(0, |o| o.1)).min(HEIGHT_MAX);
            let top = (whole.saturating_sub(height) as f64 * part) as u64;
            let window = window(rows, open, Viewport { top, height });
            prop_assert!(window.first + window.count <= rows);
            // Few, however long the list is.
            prop_assert!(window.count <= height / ROW + 2 * MARGIN + 3);
            let inside = open.filter(|(row, _)| (window.first..window.first + window.count).contains(row));
            let end = window.above + window.count * ROW + inside.map_or(0, |o| o.1);
            prop_assert!(window.above <= top || window.first == 0, "{window:?} at {top}");
            prop_assert!(end >= (top + height).min(whole), "{window:?} at {top} of {whole}");
        }

        #[test]
        fn scrolling_to_a_row_makes_it(rows in 1..20_000_000_u64, part in 0.0..1.0_f64, height in 200..3000_u64) {
            let row = (rows as f64 * part) as u64;
            let window = window(rows, None, Viewport { top: top_of(row, rows, height), height });
            prop_assert!((window.first..window.first + window.count).contains(&row), "{window:?} {row}");
        }
    }
}
