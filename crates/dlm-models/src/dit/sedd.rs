//! SEDD's networks as what they are: they say ratios of probabilities.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use dlm_core::loss::LogScores;
use dlm_core::{Denoiser, DenoiserInput};

use super::{Dit, DitConfig, build};
use crate::Error;
use crate::checkpoint::{Checkpoint, Report};

/// A network of SEDD, under absorbing or uniform noise.
///
/// What it says are ratios, [`LogScores`], for which [`ScoreEntropy`](dlm_core::loss::ScoreEntropy) is the bound, and
/// [`LogScores::probabilities`] what they say of the clean token. It is no denoiser: those are asked for logits, which under
/// uniform noise ratios are not. Under absorbing noise [`Dit`] is the same network as a denoiser.
///
/// # Example
/// ```no_run
/// use burn::tensor::Device;
/// use dlm_core::loss::{ScoreEntropy, TokenLoss};
/// use dlm_models::{Checkpoint, Sedd};
/// # use dlm_core::{Forward, Noised, schedule::Linear};
/// # fn bound(forward: &Forward<Linear>, noised: &Noised) -> Result<(), dlm_models::Error> {
/// let (model, report) = Sedd::load(&Checkpoint::open("sedd-uniform")?, &Device::flex())?;
/// println!("{report}");
/// let nats = ScoreEntropy::new(forward).terms(model.log_scores(&noised.input()), noised);
/// # let _ = nats; Ok(()) }
/// ```
///
/// # Source
/// Lou et al. 2023, arXiv:2310.16834; upstream name `SEDD`.
#[derive(Module, Debug)]
pub struct Sedd {
    network: Dit,
}

impl Sedd {
    /// Reads a folder onto a device.
    ///
    /// # Errors
    /// As [`Checkpoint::load`]; [`Error::NoFamily`] for a folder that is not SEDD's.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<(Self, Report), Error> {
        let mut network = build(&DitConfig::of_sedd(&checkpoint.config()?)?, device);
        let report = checkpoint.load_into(&mut network)?;
        Ok((Self { network }, report))
    }

    /// Writes a folder that [`Sedd::load`] and upstream read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        Checkpoint::write(&self.network, folder, None)
    }

    /// What the network was built from.
    pub fn config(&self) -> &DitConfig {
        self.network.config()
    }

    /// ln of how likely each word is at the time of its row, beside the word that stands there: 0 for that word itself.
    ///
    /// # Shapes
    /// - returns: `[N, V]` at the asked positions
    ///
    /// # Panics
    /// If [`Denoiser::check`] of a network of these sizes fails, with its message.
    pub fn log_scores(&self, input: &DenoiserInput<'_>) -> LogScores {
        let output = self.network.logits(input);
        let ([asked, vocabulary], device, dtype) = (output.dims(), output.device(), output.dtype());
        if asked == 0 {
            return LogScores(output);
        }
        let output = if self.config().is_scaled_by_sigma() {
            let shift = |&at: &usize| {
                let sigma = self.config().noise.at(input.times[at / input.shape[1]]);
                (sigma.exp_m1().ln() + ((vocabulary - 1) as f64).ln()) as f32
            };
            let shifts: Vec<f32> = input.at.iter().map(shift).collect();
            output - Tensor::from_data(TensorData::new(shifts, [asked, 1]), (&device, dtype))
        } else {
            output
        };
        let here: Vec<i32> = input.at.iter().map(|&at| input.ids[at] as i32).collect();
        let here = Tensor::<2, Int>::from_data(TensorData::new(here, [asked, 1]), &device);
        let own = output.clone().gather(1, here.clone());
        LogScores(output.scatter(1, here, -own, IndexingUpdateOp::Add))
    }
}
