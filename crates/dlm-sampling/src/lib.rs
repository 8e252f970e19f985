#![doc = include_str!("../README.md")]

mod ask;
mod canvas;
mod error;
pub mod length;
pub mod plan;
mod proposal;
mod reverse;
pub mod strategy;
pub mod trace;
pub mod wrap;

pub use canvas::{Canvas, Change, Event, Row};
pub use error::Error;
pub use plan::{Step, uniform};
pub use proposal::{Candidate, Guess, Needs, Proposal};
pub use reverse::{Reverse, ReverseStep, Snapshot, reverse};
pub use strategy::{Route, Strategy};
