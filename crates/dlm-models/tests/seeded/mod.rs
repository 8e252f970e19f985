//! Networks with the same weights at each run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

/// Tests share the device's generator, which draws a parameter when it is first read.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `build` makes on a device.
pub(crate) fn seeded<M: Module>(device: &Device, build: impl FnOnce() -> M) -> M {
    let _alone = alone();
    device.seed(7);
    let model = build();
    model.visit(&mut Drawn);
    model
}

struct Drawn;

impl ModuleVisitor for Drawn {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}
