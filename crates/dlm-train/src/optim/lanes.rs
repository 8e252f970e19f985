//! The update of the parameters, side by side.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::checkpoint::archive;
use crate::error::Error;

/// Enough for the cores of a large machine; few files in a checkpoint.
const LANES: usize = 8;

/// One optimiser in parts, each of which updates parameters of its own: burn's goes through a module one by one, on
/// one core.
///
/// Which part a parameter belongs to depends on the network alone, so that a run may go on with other threads.
pub(crate) struct Lanes {
    lanes: Vec<ModuleOptimizer>,
    lane_of: HashMap<ParamId, usize>,
}

impl Lanes {
    /// `optim` for the parameters of `model`, in parts of about one size.
    pub(crate) fn new<M: Module>(optim: &ModuleOptimizer, model: &M) -> Self {
        struct Sizes(Vec<(ParamId, usize)>);
        impl ModuleVisitor for Sizes {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.push((param.id, param.lazy_shape().num_elements()));
            }
        }
        let mut sizes = Sizes(Vec::new());
        model.visit(&mut sizes);
        let mut load = [0; LANES];
        let lane_of = sizes.0.into_iter().map(|(id, size)| {
            let lane = (0..LANES).min_by_key(|&lane| load[lane]).unwrap_or(0);
            load[lane] += size;
            (id, lane)
        });
        Self { lane_of: lane_of.collect(), lanes: vec![optim.clone(); LANES] }
    }

    /// The model after a step; parts run at once if `shared`, among rayon's workers.
    pub(crate) fn step<M: Module>(&mut self, lr: f64, model: M, grads: GradientsParams, shared: bool) -> M {
        let mut queues: [Queue; LANES] = Default::default();
        let model = model.map(&mut Take { grads, lane_of: &self.lane_of, queues: &mut queues });
        let run = |(optim, queue): (&mut ModuleOptimizer, &mut Queue)| {
            for update in queue {
                update.step(optim, lr);
            }
        };
        if shared {
            self.lanes.par_iter_mut().zip(queues.par_iter_mut()).for_each(run);
        } else {
            self.lanes.iter_mut().zip(&mut queues).for_each(run);
        }
        model.map(&mut Return { lane_of: &self.lane_of, queues })
    }

    /// Writes the moments into files of `folder`.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        for (lane, optim) in self.lanes.iter().enumerate() {
            let path = file(folder, lane);
            optim.to_record().save(&path).map_err(archive(&path))?;
        }
        Ok(())
    }

    /// With the moments that [`Lanes::save`] wrote.
    pub(crate) fn load(mut self, folder: &Path) -> Result<Self, Error> {
        for (lane, optim) in self.lanes.iter_mut().enumerate() {
            let path = file(folder, lane);
            let record = OptimizerRecord::load(&path).map_err(archive(&path))?;
            *optim = optim.clone().load_record(record);
        }
        Ok(self)
    }
}

fn file(folder: &Path, lane: usize) -> PathBuf {
    folder.join(format!("optimizer-{lane}.bpk"))
}

/// The parameters of one part, in the order of the module.
type Queue = VecDeque<Box<dyn Update>>;

/// A parameter of any rank that is about to be updated, or was.
trait Update: Send {
    fn id(&self) -> ParamId;
    fn step(&mut self, optim: &mut ModuleOptimizer, lr: f64);
    /// As `Param<Tensor<D>>`.
    fn into_param(self: Box<Self>) -> Box<dyn Any>;
}

struct One<const D: usize> {
    id: ParamId,
    /// Away only while the optimiser maps it.
    param: Option<Param<Tensor<D>>>,
    grad: GradientsParams,
}

impl<const D: usize> Update for One<D> {
    fn id(&self) -> ParamId {
        self.id
    }

    fn step(&mut self, optim: &mut ModuleOptimizer, lr: f64) {
        let grad = std::mem::take(&mut self.grad);
        self.param = self.param.take().map(|param| optim.step(lr, param, grad));
    }

    fn into_param(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.param)
    }
}

/// Moves the parameters that have a gradient into their queues. What stands in their place meanwhile is small, so that
/// an old value is gone when the new one is there.
struct Take<'a> {
    grads: GradientsParams,
    lane_of: &'a HashMap<ParamId, usize>,
    queues: &'a mut [Queue; LANES],
}

impl ModuleMapper for Take<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        let Some((&lane, grad)) = self.lane_of.get(&id).zip(self.grads.remove::<D>(id)) else {
            return param;
        };
        let away = Param::initialized(id, Tensor::empty([1; D], &param.lazy_device()));
        let mut own = GradientsParams::new();
        own.register(id, grad);
        self.queues[lane].push_back(Box::new(One { id, param: Some(param), grad: own }));
        away
    }
}

/// Puts them back.
struct Return<'a> {
    lane_of: &'a HashMap<ParamId, usize>,
    queues: [Queue; LANES],
}

impl ModuleMapper for Return<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let queue = self.lane_of.get(&param.id).map(|&lane| &mut self.queues[lane]);
        let Some(queue) = queue.filter(|queue| queue.front().is_some_and(|update| update.id() == param.id))
        else {
            return param;
        };
        let updated = queue.pop_front().and_then(|update| update.into_param().downcast().ok());
        updated.and_then(|updated| *updated).unwrap_or(param)
    }
}
