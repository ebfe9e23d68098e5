//! What can be typed to go somewhere.

use maud::{Markup, html};

use crate::model::goto::FORMS;

/// The forms, for the dialog.
pub fn places() -> Markup {
    html! { @for (form, meaning) in FORMS { dt { code { (form) } } dd { (meaning) } } }
}
