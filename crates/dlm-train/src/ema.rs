//! Exponential moving average of a model's parameters.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use burn::tensor::container::TensorContainer;

use crate::error::{Error, in_domain};

/// A copy of a model whose parameters follow it slowly; often the better model to evaluate.
///
/// ```text
/// θ̄ ← θ̄ + (1 − decay) · (θ − θ̄)
/// ```
///
/// It starts as the model it is made of and lives on that model's device, outside automatic
/// differentiation.
#[derive(Debug, Clone)]
pub struct Ema<M> {
    model: M,
    decay: f64,
}

impl<M: Module> Ema<M> {
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ decay < 1`.
    pub fn new(model: &M, decay: f64) -> Result<Self, Error> {
        in_domain((0.0..1.0).contains(&decay), "EMA decay", "in [0, 1)", decay)?;
        Ok(Self { model: model.valid(), decay })
    }

    /// One step of the average towards `model`, parameter by parameter, matched by id.
    #[must_use]
    pub fn update(self, model: &M) -> Self {
        Self { model: follow(self.model, model, 1.0 - self.decay), ..self }
    }

    /// The averaged model, for evaluation.
    pub fn model(&self) -> &M {
        &self.model
    }
}

/// `mean + rate · (now − mean)`, parameter by parameter, matched by id. What `now` does not have stays.
pub(crate) fn follow<M: Module>(mean: M, now: &M, rate: f64) -> M {
    let mut current = Current(TensorContainer::new());
    now.visit(&mut current);
    mean.map(&mut Follow { current: current.0, rate })
}

/// Handles of a model's present parameters.
struct Current(TensorContainer<ParamId>);

impl ModuleVisitor for Current {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.base().inner());
    }
}

struct Follow {
    current: TensorContainer<ParamId>,
    rate: f64,
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.current.remove::<Tensor<D>>(&param.id) {
            None => param,
            Some(now) => param.map(|mean| mean.clone() + (now - mean) * self.rate),
        }
    }
}
