//! The virtual machine around it.

use maud::{Markup, html};

use super::View;

/// The pane.
pub fn host(view: View<'_>) -> Markup {
    html! { div.prose { h2 { (view.focus.pane.title()) } } }
}
