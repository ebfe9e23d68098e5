//! The built-in samples, each with a picture of its address space.

use maud::{Markup, html};

use super::map::horizontal;
use crate::model::focus::{Focus, Pane, Subject};
use crate::model::picture::Picture;

/// One sample.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// What it teaches.
    pub title: String,
    /// Its address space; `None` for a file that makes no machine.
    pub picture: Option<Picture>,
}

/// The samples as cards, the broken ones as a list.
pub fn gallery(samples: &[Card], broken: &[Card]) -> Markup {
    html! {
        h2 { "Or look at a sample" }
        ul.cards {
            @for card in samples {
                li {
                    a href=(href(&card.name)) {
                        strong { (card.name) }
                        span { (card.title) }
                        @if let Some(picture) = &card.picture { (horizontal(picture, None, None)) }
                    }
                }
            }
        }
        details {
            summary { "Broken on purpose: " (broken.len()) " files that each break one rule" }
            ul.broken {
                @for card in broken {
                    li { a href=(href(&card.name)) { (card.name) } " " span.dim { (card.title) } }
                }
            }
        }
    }
}

fn href(name: &str) -> String {
    let subject = Some(Subject::Sample(name.to_owned()));
    Focus { subject, pane: Pane::Overview, ..Focus::default() }.href()
}
