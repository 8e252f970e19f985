//! Elements on their way from a file into a parameter: read, checked, converted and laid out in one pass, so that
//! loading needs no second copy of a tensor.
//!
//! `TensorData::from_bytes_vec` would copy what it is given, since a vector of bytes is never aligned well enough.

use std::io::Read;
use std::path::Path;

use burn::tensor::{DType, Element, ElementConversion, TensorData, bf16, f16};

use crate::Error;

/// Elements that are read at once.
const BLOCK: usize = 1 << 14;

/// Upstream's shape of a parameter, and whether its matrix lies on its side here.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    turned: bool,
}

impl Layout {
    /// The same on both sides.
    pub(crate) fn same(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), turned: false }
    }

    /// Upstream `[out, ..]`, here `[.., out]` with the other sides as one.
    pub(crate) fn turned(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), turned: true }
    }

    /// Upstream's elements as rows of elements: single ones where they stay in their order.
    fn matrix(&self) -> [usize; 2] {
        match (self.turned, self.shape.as_slice()) {
            (true, [rows, columns @ ..]) => [*rows, columns.iter().product()],
            _ => [self.shape.iter().product(), 1],
        }
    }

    /// The shape here.
    pub(super) fn here(&self) -> Vec<usize> {
        if self.turned { self.matrix().into_iter().rev().collect() } else { self.shape.clone() }
    }
}

/// A tensor of a file: its name, and its elements' type.
pub(super) struct Named<'a> {
    pub(super) key: &'a str,
    pub(super) file: &'a Path,
    pub(super) dtype: DType,
}

impl Named<'_> {
    /// Its elements as `dtype`, in the layout of the parameter.
    ///
    /// # Errors
    /// [`Error::Damaged`] if `source` ends early; [`Error::NotFinite`], also for a number that `dtype` cannot hold;
    /// [`Error::Unsupported`] for a type that is no float.
    pub(super) fn read(&self, source: impl Read, layout: &Layout, dtype: DType) -> Result<TensorData, Error> {
        match dtype {
            DType::F64 => self.collect::<f64>(source, layout),
            DType::F32 => self.collect::<f32>(source, layout),
            DType::F16 => self.collect::<f16>(source, layout),
            DType::BF16 => self.collect::<bf16>(source, layout),
            other => Err(Error::Unsupported { field: "dtype", got: format!("{other:?}") }),
        }
    }

    fn collect<E: Element>(&self, mut source: impl Read, layout: &Layout) -> Result<TensorData, Error> {
        let [rows, columns] = layout.matrix();
        let at_once = (BLOCK / columns.max(1)).clamp(1, rows.max(1));
        let mut values = vec![0.0.elem::<E>(); rows * columns];
        let mut bytes = vec![0; at_once * columns * self.dtype.size()];
        let mut block: Vec<E> = Vec::with_capacity(at_once * columns);
        for first in (0..rows).step_by(at_once) {
            let lines = at_once.min(rows - first);
            let bytes = &mut bytes[..lines * columns * self.dtype.size()];
            source.read_exact(bytes).map_err(|reason| Error::damaged(self.file, reason))?;
            self.decode(bytes, &mut block);
            if let Some(broken) = block.iter().position(|value| !value.elem::<f64>().is_finite()) {
                let element = first * columns + broken;
                return Err(Error::NotFinite { key: self.key.to_owned(), element });
            }
            for column in 0..columns {
                let line = block.iter().skip(column).step_by(columns);
                let values = &mut values[column * rows + first..][..lines];
                values.iter_mut().zip(line).for_each(|(value, &element)| *value = element);
            }
        }
        Ok(TensorData::new(values, layout.here()))
    }

    fn decode<E: Element>(&self, bytes: &[u8], block: &mut Vec<E>) {
        block.clear();
        match self.dtype {
            DType::F64 => extend(block, bytes, |number| f64::from_le_bytes(number).elem()),
            DType::F16 => extend(block, bytes, |number| f16::from_le_bytes(number).elem()),
            DType::BF16 => extend(block, bytes, |number| bf16::from_le_bytes(number).elem()),
            _ => extend(block, bytes, |number| f32::from_le_bytes(number).elem()),
        }
    }
}

fn extend<E, const N: usize>(block: &mut Vec<E>, bytes: &[u8], read: impl Fn([u8; N]) -> E) {
    block.extend(bytes.as_chunks().0.iter().copied().map(read));
}
