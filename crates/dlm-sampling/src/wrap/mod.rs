//! `Denoiser`s around a `Denoiser`: what changes the network's answers, or watches them, is not a matter
//! of the loop.

mod counted;
mod suppressed;
mod threads;

pub use counted::Counted;
pub use suppressed::Suppressed;
pub use threads::Threads;
