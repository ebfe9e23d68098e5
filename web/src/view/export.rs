//! What can be taken away.

use maud::{Markup, html};

use super::View;

/// The pane.
pub fn export(view: View<'_>) -> Markup {
    html! { div.prose { h2 { (view.focus.pane.title()) } } }
}
