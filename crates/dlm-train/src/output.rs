//! Where the numbers and the samples of a run go.

use std::path::PathBuf;

use crate::error::Error;
use crate::log::{MetricsFile, Sample, StepLog};
use crate::progress::{Metrics, Progress};
use crate::tensorboard::{Event, Events};

/// As many samples are shown with the progress; the file has them all.
const SHOWN: usize = 3;

/// What a run was asked to write.
#[derive(Default)]
pub(crate) struct Places<'a> {
    pub(crate) progress: bool,
    pub(crate) metrics: Option<&'a PathBuf>,
    pub(crate) samples: Option<&'a PathBuf>,
    pub(crate) tensorboard: Option<&'a PathBuf>,
}

/// Open files, and the line on the terminal.
pub(crate) struct Output {
    progress: Option<Progress<std::io::Stderr>>,
    metrics: Option<MetricsFile>,
    samples: Option<StepLog<Sample>>,
    events: Option<Events>,
}

impl Output {
    /// For a run that has done `step` of `total` steps.
    pub(crate) fn open(places: &Places<'_>, step: u64, total: u64) -> Result<Self, Error> {
        Ok(Self {
            progress: places.progress.then(|| Progress::stderr(step, total)),
            metrics: places.metrics.map(|path| StepLog::open(path, step)).transpose()?,
            samples: places.samples.map(|path| StepLog::open(path, step)).transpose()?,
            events: match places.tensorboard {
                // A run that is done has no more events.
                Some(folder) if step < total => Some(Events::create(folder, step)?),
                _ => None,
            },
        })
    }

    pub(crate) fn write(&mut self, metrics: &Metrics) -> Result<(), Error> {
        if let Some(progress) = &mut self.progress {
            progress.show(metrics);
        }
        if let Some(file) = &mut self.metrics {
            file.write(metrics)?;
        }
        match &mut self.events {
            Some(events) => scalars(events, metrics),
            None => Ok(()),
        }
    }

    pub(crate) fn samples(&mut self, samples: &[Sample]) -> Result<(), Error> {
        if let Some(progress) = &mut self.progress {
            samples.iter().take(SHOWN).for_each(|sample| progress.show_sample(sample));
        }
        if let Some(file) = &mut self.samples {
            samples.iter().try_for_each(|sample| file.write(sample))?;
        }
        let Some(events) = &mut self.events else { return Ok(()) };
        for (index, sample) in samples.iter().enumerate() {
            let Sample { step, prompt, text, expected } = sample;
            let text = format!("**{prompt}**\n\n{text}\n\n({expected})");
            events.write(*step, Event::Text(&format!("samples/{index}"), &text))?;
        }
        Ok(())
    }

    /// Something that people should know of.
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(progress) = &mut self.progress {
            progress.note(text);
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.finish();
        }
    }
}

fn scalars(events: &mut Events, metrics: &Metrics) -> Result<(), Error> {
    let named: Vec<(String, f64)> =
        metrics.validation.iter().map(|(name, value)| (format!("validation/{name}"), *value)).collect();
    let memory = metrics.memory.most().map(|bytes| ("speed/memory_bytes", bytes as f64));
    let mut scalars = vec![
        ("train/learning_rate", metrics.lr),
        ("speed/steps_per_s", metrics.steps_per_s),
        ("speed/tokens_per_s", metrics.tokens_per_s),
    ];
    // What a step that was not taken does not have is no point of a curve.
    let loss = metrics.loss.map(|loss| ("train/loss", loss));
    let grad_norm = metrics.grad_norm.map(|norm| ("train/gradient_norm", norm));
    let scale = metrics.loss_scale.map(|scale| ("train/loss_scale", scale));
    scalars.extend([loss, grad_norm, scale, memory].into_iter().flatten());
    scalars.extend(named.iter().map(|(name, value)| (name.as_str(), *value)));
    events.write(metrics.step, Event::Scalars(&scalars))
}
