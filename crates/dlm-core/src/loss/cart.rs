use super::{Reduction, Weighting, Weights};
use crate::error::{Error, in_domain};
use crate::forward::Noised;

/// Dream's context-adaptive rescheduling at the level of tokens: a noisy token weighs as much as it has clean
/// tokens near by.
///
/// ```text
/// w_i = Σ_{j clean} ½·p·(1 − p)^(|i − j| − 1)
/// ```
///
/// The targets of Dream are shifted by one: its network is a [`Shifted`](crate::view::Shifted). A row's padding
/// and other documents are not near by.
///
/// # Source
/// Ye et al. 2025, arXiv:2508.15487, Eq. 5 (CART). Published code leaves out the nearest neighbours, by starting to
/// count at a distance of two.
///
/// # Example
/// ```
/// use dlm_core::loss::{Cart, Reduction, Weighting};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 4, 5])], &vocabulary)?;
/// let noised = Noised::with_noise(&batch, &[0.5], &[true, true, false], Prior::Absorbing { mask: 9 })?;
/// // One clean token: two places from the first, next to the second.
/// assert_eq!(Cart::new(0.5, Reduction::Sum)?.weights(&noised).target, [0.125, 0.25]);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cart {
    p: f64,
    reduction: Reduction,
}

impl Cart {
    /// With `p` of the geometric distribution, the larger the nearer; 0.3 in Dream.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < p ≤ 1`.
    pub fn new(p: f64, reduction: Reduction) -> Result<Self, Error> {
        in_domain(p > 0.0 && p <= 1.0, "p of a geometric distribution", "in (0, 1]", p)?;
        Ok(Self { p, reduction })
    }

    /// The weights of a run of positions from `walk`, from one end: of the clean ones that were passed.
    fn pass(&self, walk: impl Iterator<Item = (usize, bool)>, weights: &mut [f64]) {
        let mut near = 0.0;
        for (flat, clean) in walk {
            weights[flat] += near;
            near = near * (1.0 - self.p) + if clean { 0.5 * self.p } else { 0.0 };
        }
    }
}

impl Weighting for Cart {
    fn weights(&self, noised: &Noised) -> Weights {
        let len = noised.shape()[1];
        let mut clean: Vec<bool> = noised.pad().iter().map(|pad| !pad).collect();
        noised.at().iter().for_each(|&flat| clean[flat] = false);
        let mut weights = vec![0.0; clean.len()];
        let document = |flat: usize| (flat / len, noised.documents().map(|documents| documents[flat]));
        let mut start = 0;
        while start < clean.len() {
            let end =
                (start..clean.len()).find(|&flat| document(flat) != document(start)).unwrap_or(clean.len());
            self.pass((start..end).map(|flat| (flat, clean[flat])), &mut weights);
            self.pass((start..end).rev().map(|flat| (flat, clean[flat])), &mut weights);
            start = end;
        }
        let factors = self.reduction.spread(noised, |_| 1.0);
        let target = noised.at().iter().zip(factors).map(|(&flat, factor)| weights[flat] * factor).collect();
        Weights { target, uniform: Vec::new() }
    }
}
