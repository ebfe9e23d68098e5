//! Two files, or two platforms.

use maud::{Markup, html};

use super::View;

/// The pane.
pub fn compare(view: View<'_>) -> Markup {
    html! { div.prose { h2 { (view.focus.pane.title()) } } }
}
