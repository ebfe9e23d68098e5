//! How linear addresses become physical ones.

use maud::{Markup, html};

use super::View;

/// The pane.
pub fn paging(view: View<'_>) -> Markup {
    html! { div.prose { h2 { (view.focus.pane.title()) } } }
}
