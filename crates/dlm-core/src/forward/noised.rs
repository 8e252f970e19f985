use super::check_times;
use crate::denoiser::DenoiserInput;
use crate::error::{Error, same_length};
use crate::prior::Prior;
use crate::sequence::{Batch, TokenId};

/// A batch after noising: everything a network and a loss need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Noised {
    x0: Vec<TokenId>,
    xt: Vec<TokenId>,
    pad: Vec<bool>,
    times: Vec<f64>,
    /// The time of each position, where a row has several.
    clock: Option<Vec<f64>>,
    maskable: Vec<usize>,
    at: Vec<usize>,
    /// Whether `at` is more than the noise.
    asks_clean: bool,
    documents: Option<Vec<u32>>,
    shape: [usize; 2],
}

impl Noised {
    /// `batch` with masks exactly where `noisy` says so, `[B, L]`: for a mask drawn elsewhere.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a time for each row and a flag for each position;
    /// [`Error::OutOfDomain`] for a time outside [0, 1]; [`Error::NotMaskable`] for noise at a token that must
    /// stay, such as padding; [`Error::Incompatible`] with a prior whose noise may be words (see
    /// [`Noised::with_tokens`]).
    #[expect(clippy::needless_pass_by_value, reason = "a prior is named where it is used")]
    pub fn with_noise(batch: &Batch, times: &[f64], noisy: &[bool], prior: Prior) -> Result<Self, Error> {
        check_times(batch, times)?;
        same_length("noise flags of a batch", batch.ids().len(), noisy.len())?;
        check_maskable(batch, |flat| noisy[flat])?;
        let Prior::Absorbing { mask } = prior else {
            return Err(Error::Incompatible {
                what: "noise given by flags",
                with: "noise that may be words",
            });
        };
        Ok(Self::corrupted(batch, times.to_vec(), noisy, |_| mask))
    }

    /// `batch` with the tokens `xt`, `[B, L]`, that noise of `prior` made of it: for noise drawn elsewhere.
    ///
    /// # Errors
    /// As [`Noised::with_noise`]; [`Error::NotMaskable`] where a token that must stay differs, and
    /// [`Error::NotNoise`] where one became what noise never is.
    pub fn with_tokens(batch: &Batch, times: &[f64], xt: &[TokenId], prior: &Prior) -> Result<Self, Error> {
        check_times(batch, times)?;
        same_length("noisy tokens of a batch", batch.ids().len(), xt.len())?;
        let differs: Vec<bool> = xt.iter().zip(batch.ids()).map(|(xt, x0)| xt != x0).collect();
        check_maskable(batch, |flat| differs[flat])?;
        let (len, possible) =
            (batch.len(), |flat: usize| prior.prob(xt[flat], times[flat / batch.len()]) > 0.0);
        if let Some(flat) = (0..xt.len()).find(|&flat| differs[flat] && !possible(flat)) {
            return Err(Error::NotNoise { row: flat / len, position: flat % len, id: xt[flat] });
        }
        let noised = Self::corrupted(batch, times.to_vec(), &differs, |flat| xt[flat]);
        Ok(if prior.words().is_some() { noised.asking_maskable(batch) } else { noised })
    }

    /// `batch` with `corrupt(flat position)` where `noisy` says so, `[B, L]`.
    pub(crate) fn corrupted(
        batch: &Batch,
        times: Vec<f64>,
        noisy: &[bool],
        corrupt: impl Fn(usize) -> TokenId,
    ) -> Self {
        let token = |(i, (&id, &noisy)): (usize, (&TokenId, &bool))| if noisy { corrupt(i) } else { id };
        let count = |row: &[bool]| row.iter().filter(|&&maskable| maskable).count();
        Self {
            x0: batch.ids().to_vec(),
            xt: batch.ids().iter().zip(noisy).enumerate().map(token).collect(),
            pad: batch.pad().to_vec(),
            times,
            clock: None,
            maskable: batch.maskable().chunks_exact(batch.len()).map(count).collect(),
            at: (0..noisy.len()).filter(|&i| noisy[i]).collect(),
            asks_clean: false,
            documents: batch.documents().map(<[u32]>::to_vec),
            shape: [batch.rows(), batch.len()],
        }
    }

    /// Asks about every token that may be noise, clean or not: for a loss that has a cross-entropy of the whole
    /// text in it, as D3PM's and RDM's vanilla one may. `batch` is the batch that was noised; the rows of a
    /// second draw follow those of the first.
    ///
    /// Where noise may be words all are asked anyway. [`Nelbo`](crate::loss::Nelbo) does not take the answer,
    /// [`D3pm`](crate::loss::D3pm) and [`Elbo`](crate::loss::Elbo) do.
    ///
    /// # Errors
    /// [`Error::Length`] unless the rows are those of `batch`, once or more.
    ///
    /// # Source
    /// Austin et al. 2021, arXiv:2107.03006, Eq. 5 (the hybrid loss); RDM's `lambda_direct_xentropy` (arXiv:2302.05737, its code).
    ///
    /// # Example
    /// ```
    /// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary};
    /// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
    /// let batch = Batch::new(&[Sequence::prompt_response(&[5], &[6, 7], &vocabulary)], &vocabulary)?;
    /// let noisy = [false, false, true, false, false];
    /// let noised = Noised::with_noise(&batch, &[0.5], &noisy, Prior::Absorbing { mask: 9 })?;
    /// assert_eq!((noised.at(), noised.clone().everywhere(&batch)?.at()), ([2].as_slice(), [2, 3, 4].as_slice()));
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn everywhere(self, batch: &Batch) -> Result<Self, Error> {
        let [rows, len] = self.shape;
        same_length("positions of a row", batch.len(), len)?;
        let times = rows / batch.rows();
        same_length("rows that were noised", times.max(1) * batch.rows(), rows)?;
        Ok(self.asking_maskable(batch))
    }

    /// [`Noised::everywhere`] of the batch that was noised.
    pub(super) fn asking_maskable(self, batch: &Batch) -> Self {
        let all = batch.maskable().iter().cycle().take(self.x0.len());
        let at = all.enumerate().filter(|(_, maskable)| **maskable).map(|(flat, _)| flat).collect();
        Self { at, asks_clean: true, ..self }
    }

    /// Gives each position a time of its own, `[B, L]`.
    pub(super) fn clocked(self, clock: Vec<f64>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Asks only about the tokens that differ from the clean ones: RDM's loss of noise that is words, whose
    /// weight is 0 elsewhere.
    #[must_use]
    pub fn changed(mut self) -> Self {
        self.at.retain(|&i| self.xt[i] != self.x0[i]);
        Self { asks_clean: false, ..self }
    }

    pub(super) fn stack(mut self, below: Self) -> Self {
        let offset = self.x0.len();
        self.x0.extend(below.x0);
        self.xt.extend(below.xt);
        self.pad.extend(below.pad);
        self.times.extend(below.times);
        self.maskable.extend(below.maskable);
        self.at.extend(below.at.into_iter().map(|i| i + offset));
        self.clock = self.clock.zip(below.clock).map(|(above, below)| [above, below].concat());
        self.asks_clean |= below.asks_clean;
        self.documents = self.documents.zip(below.documents).map(|(above, below)| [above, below].concat());
        self.shape[0] += below.shape[0];
        self
    }

    /// The question to a network: its logits at the asked positions.
    pub fn input(&self) -> DenoiserInput<'_> {
        let input = DenoiserInput::new(&self.xt, self.shape, &self.at);
        let input = input.with_pad(&self.pad).with_times(&self.times);
        match &self.documents {
            None => input,
            Some(documents) => input.with_documents(documents),
        }
    }

    /// Clean tokens, `[B, L]`.
    pub fn x0(&self) -> &[TokenId] {
        &self.x0
    }

    /// Noisy tokens, `[B, L]`.
    pub fn xt(&self) -> &[TokenId] {
        &self.xt
    }

    /// The time of each row, `[B]`; where its blocks have their own, their mean.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The time at a flat position: its row's, or its block's.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn time_at(&self, flat: usize) -> f64 {
        self.clock.as_ref().map_or_else(|| self.times[flat / self.shape[1]], |clock| clock[flat])
    }

    /// Whether the positions of a row have times of their own.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Whether tokens may be asked that are no noise: where noise may be words it cannot be told from text.
    pub fn asks_clean(&self) -> bool {
        self.asks_clean
    }

    /// Which positions are padding, `[B, L]`.
    pub fn pad(&self) -> &[bool] {
        &self.pad
    }

    /// To which document of its row each position belongs, `[B, L]`; `None` if a row is one document.
    pub fn documents(&self) -> Option<&[u32]> {
        self.documents.as_deref()
    }

    /// The N flat positions that are asked, ascending: those that are noise, or, where noise may be words
    /// ([`Noised::asks_clean`]), all that may be noise.
    pub fn at(&self) -> &[usize] {
        &self.at
    }

    /// The clean tokens at the asked positions, `[N]`.
    pub fn targets(&self) -> Vec<TokenId> {
        self.at.iter().map(|&i| self.x0[i]).collect()
    }

    /// How many positions of each row may become noise, `[B]`.
    pub fn maskable(&self) -> &[usize] {
        &self.maskable
    }

    /// `[B, L]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }
}

/// Fails on the first position that is noise and must not be.
fn check_maskable(batch: &Batch, noisy: impl Fn(usize) -> bool) -> Result<(), Error> {
    match (0..batch.maskable().len()).find(|&flat| noisy(flat) && !batch.maskable()[flat]) {
        None => Ok(()),
        Some(flat) => Err(Error::NotMaskable { row: flat / batch.len(), position: flat % batch.len() }),
    }
}
