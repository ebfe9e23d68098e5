//! Bytes of the file and of guest memory.

use maud::{Markup, html};

use super::View;

/// The pane.
pub fn hex(view: View<'_>) -> Markup {
    html! { div.prose { h2 { (view.focus.pane.title()) } } }
}
