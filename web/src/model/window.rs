//! The rows of a long list that are on the screen.
//!
//! A browser scrolls through some millions of pixels; a list of bytes has
//! billions. So there are two positions: that of the scrollbar, and the real
//! one in the list. A short way (the wheel, an arrow key) is the same way in
//! both; a long one (the bar is dragged) is stretched, so that the bar's whole
//! length is the whole list.

/// Pixels of a row. The style sheet says the same.
pub const ROW: u64 = 28;

/// No browser scrolls through more pixels than this without losing places.
const HEIGHT_MAX: u64 = 8_000_000;

/// At both ends of a longer list so many pixels of the bar are as many of the
/// list: scrolling arrives at the end exactly.
const EDGE: u64 = 400_000;

/// The bar is put right when it is further than this from where it would be.
const DRIFT_MAX: u64 = 100_000;

/// So near an end the bar must be exact: rows stand above what is seen.
const EXACT: u64 = 4_000;

/// Rows that are made above and below what is seen, so that scrolling a little
/// shows no gap.
const MARGIN: u64 = 24;

/// More rows are not counted: their pixels must fit a number.
const ROWS_MAX: u64 = 1 << 56;

/// No screen is higher.
const SEEN_MAX: u64 = 20_000;

/// A list: how many rows, and how high they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    rows: u64,
    row: u64,
    open: Option<(u64, u64)>,
}

/// Where the person has scrolled to, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// Pixels of the list above what is seen.
    pub top: u64,
    /// The same as the scrollbar has it.
    pub bar: u64,
    /// Pixels that are seen.
    pub height: u64,
    /// Where the bar was before it was put right: the browser may not know yet.
    before: Option<u64>,
}

impl Default for Viewport {
    fn default() -> Self {
        Self { top: 0, bar: 0, height: 800, before: None }
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

/// The window over `rows` rows of [`ROW`] pixels. `open` is a row that is
/// taller, by so many pixels.
pub fn window(rows: u64, open: Option<(u64, u64)>, seen: Viewport) -> Window {
    List { open, ..List::new(rows, ROW) }.window(seen)
}

impl List {
    /// So many rows of so many pixels.
    pub fn new(rows: u64, row: u64) -> Self {
        Self { rows: rows.min(ROWS_MAX), row, open: None }
    }

    /// The same with a row that is taller, by so many pixels.
    pub fn with_open(self, open: Option<(u64, u64)>) -> Self {
        Self { open, ..self }
    }

    /// Pixels of all rows.
    fn real(&self) -> u64 {
        self.rows * self.row + self.open.map_or(0, |(_, pixels)| pixels)
    }

    /// How far one can scroll, in the list and with the bar.
    fn ways(&self, seen: u64) -> (u64, u64) {
        let real = self.real();
        (real.saturating_sub(seen), real.min(HEIGHT_MAX).saturating_sub(seen))
    }

    /// Where the bar stands for a place of the list.
    fn bar_of(&self, top: u64, seen: u64) -> u64 {
        let (real, bar) = self.ways(seen);
        stretch(top, real, bar)
    }

    fn row_at(&self, pixel: u64) -> u64 {
        match self.open {
            Some((row, pixels)) if pixel >= (row + 1) * self.row => {
                (pixel.saturating_sub(pixels) / self.row).max(row)
            }
            _ => pixel / self.row,
        }
    }

    fn offset(&self, row: u64) -> u64 {
        row * self.row + self.open.filter(|(open, _)| *open < row).map_or(0, |o| o.1)
    }

    /// The rows to make for what is seen.
    pub fn window(&self, seen: Viewport) -> Window {
        let height = seen.height.min(SEEN_MAX);
        let scrolled = self.real().min(HEIGHT_MAX);
        let top = seen.top.min(self.real());
        let first = self.row_at(top).saturating_sub(MARGIN).min(self.rows);
        let end = (self.row_at(top + height) + MARGIN + 1).min(self.rows);
        let made = self.offset(end) - self.offset(first);
        // The rows must stand where they are seen: as far from the top of the
        // view as in the full list.
        let above = (seen.bar.min(scrolled) + self.offset(first)).saturating_sub(top);
        let below = scrolled.saturating_sub(above + made);
        Window { first, count: end - first, above, below }
    }
}

impl Viewport {
    /// At the first row.
    pub fn to_start(&mut self) {
        *self = Self { height: self.height, ..Self::default() };
    }

    /// Whether a row is seen, and not only its edge.
    pub fn shows(&self, list: &List, row: u64) -> bool {
        let end = (self.top + self.height).saturating_sub(2 * list.row);
        (self.top..end).contains(&list.offset(row))
    }

    /// Scrolls so that a row is seen, a few rows below the top.
    pub fn reveal(&mut self, list: &List, row: u64) {
        let top = list.offset(row.min(list.rows)).saturating_sub(3 * list.row);
        self.top = top.min(list.ways(self.height).0);
        self.before = Some(self.bar);
        self.bar = list.bar_of(self.top, self.height);
    }

    /// The bar was moved. Returns where it has to stand instead, if it does.
    pub fn scrolled(&mut self, list: &List, bar: u64, height: u64) -> Option<u64> {
        self.height = height.min(SEEN_MAX);
        let (real_way, bar_way) = list.ways(self.height);
        if real_way == bar_way {
            (self.top, self.bar, self.before) = (bar, bar, None);
            return None;
        }
        let bar = bar.min(bar_way);
        let is_near = |from: u64| bar.abs_diff(from) <= 2 * self.height;
        let is_late = !is_near(self.bar) && self.before.is_some_and(is_near);
        let from = match self.before {
            Some(before) if is_late => before,
            _ => self.bar,
        };
        self.before = self.before.filter(|_| is_late);
        if !is_near(from) {
            (self.top, self.bar) = (stretch(bar, bar_way, real_way), bar);
            return None;
        }
        self.top = (self.top + bar).saturating_sub(from).min(real_way);
        let exact = list.bar_of(self.top, self.height);
        let at_end = bar.min(bar_way - bar) < EXACT || self.top.min(real_way - self.top) < EXACT;
        let allowed = if at_end || is_late { 0 } else { DRIFT_MAX };
        if bar.abs_diff(exact) <= allowed {
            self.bar = bar;
            return None;
        }
        self.before = Some(bar);
        self.bar = exact;
        Some(exact)
    }
}

/// Maps a scroll position of a way of one length to that of another. One of
/// the two is no longer than [`HEIGHT_MAX`]; near the ends nothing is
/// stretched.
fn stretch(at: u64, from: u64, to: u64) -> u64 {
    let at = at.min(from);
    if from == to || at <= EDGE {
        return at.min(to);
    }
    if from - at <= EDGE {
        return to.saturating_sub(from - at);
    }
    let inner = |way: u64| way.saturating_sub(2 * EDGE).max(1);
    let part = u128::from(at - EDGE) * u128::from(inner(to)) / u128::from(inner(from));
    EDGE + part as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the person would see: the row at the top of the view, and how many
    /// pixels of it are cut off.
    fn seen(list: &List, viewport: Viewport) -> Option<(u64, u64)> {
        let window = list.window(viewport);
        let into = viewport.bar.checked_sub(window.above)?;
        Some((window.first + into / list.row, into % list.row))
    }

    fn lists() -> impl Strategy<Value = List> {
        let rows = prop_oneof![0..3_000_u64, 0..50_000_000_u64, any::<u64>()];
        (rows, 16..40_u64).prop_map(|(rows, row)| List::new(rows, row))
    }

    proptest! {
        #[test]
        fn what_is_seen_is_made(
            rows in 0..250_000_u64,
            part in 0.0..=1.0_f64,
            height in 100..4000_u64,
            open in proptest::option::of((0..1000_u64, 0..900_u64)),
        ) {
            let open = open.filter(|(row, _)| *row < rows);
            let list = List::new(rows, ROW).with_open(open);
            let whole = list.real().min(HEIGHT_MAX);
            let top = (whole.saturating_sub(height) as f64 * part) as u64;
            let window = window(rows, open, Viewport { top, bar: top, height, before: None });
            prop_assert!(window.first + window.count <= rows);
            // Few, however long the list is.
            prop_assert!(window.count <= height / ROW + 2 * MARGIN + 3);
            let inside = open.filter(|(row, _)| (window.first..window.first + window.count).contains(row));
            let end = window.above + window.count * ROW + inside.map_or(0, |o| o.1);
            prop_assert!(window.above <= top || window.first == 0, "{window:?} at {top}");
            prop_assert!(end >= (top + height).min(whole), "{window:?} at {top} of {whole}");
        }

        /// However one scrolls, rows stand where the position says; the wheel
        /// moves by its own pixels, and both ends are reached.
        #[test]
        fn the_wheel_and_the_bar_go_everywhere(
            list in lists(),
            height in 200..2000_u64,
            ways in prop::collection::vec((any::<bool>(), -1.0..1.0_f64), 1..60),
        ) {
            let mut viewport = Viewport { height, ..Viewport::default() };
            let (real, bar) = list.ways(height);
            for (wheel, way) in ways {
                let before = viewport.top;
                let to = match wheel {
                    true => viewport.bar.saturating_add_signed((way * height as f64) as i64).min(bar),
                    false => (bar as f64 * way.abs()) as u64,
                };
                let is_short = to.abs_diff(viewport.bar) <= 2 * height;
                let expected = (before + to).saturating_sub(viewport.bar).min(real);
                let set = viewport.scrolled(&list, to, height);
                prop_assert_eq!(viewport.bar, set.unwrap_or(to));
                prop_assert!(!is_short || viewport.top == expected);
                prop_assert!(viewport.top <= real);
                if list.rows > 0 {
                    let row = (viewport.top / list.row, viewport.top % list.row);
                    prop_assert_eq!(seen(&list, viewport), Some(row), "{:?}", viewport);
                }
            }
            viewport.scrolled(&list, bar, height);
            prop_assert!(viewport.top == real || viewport.bar < bar);
            viewport.to_start();
            viewport.scrolled(&list, bar, height);
            prop_assert_eq!(viewport.top, real);
        }

        /// An event that the browser sent before it heard of a new place.
        #[test]
        fn a_late_event_is_no_jump(row in 1_000_000..20_000_000_u64, way in 1..1000_u64) {
            let list = List::new(33_554_432, 20);
            let mut viewport = Viewport::default();
            viewport.scrolled(&list, 300, 800);
            viewport.reveal(&list, row);
            let top = viewport.top;
            prop_assert!(viewport.scrolled(&list, 300 + way, 800).is_some());
            prop_assert_eq!(viewport.top, top + way);
        }

        #[test]
        fn scrolling_to_a_row_makes_it(list in lists(), part in 0.0..1.0_f64, height in 200..3000_u64) {
            prop_assume!(list.rows > 0);
            let row = ((list.rows as f64 * part) as u64).min(list.rows - 1);
            let mut viewport = Viewport { height, ..Viewport::default() };
            viewport.reveal(&list, row);
            prop_assert!(viewport.shows(&list, row) || viewport.top == list.ways(height).0);
            let window = list.window(viewport);
            prop_assert!((window.first..window.first + window.count).contains(&row), "{window:?} {row}");
        }
    }
}
