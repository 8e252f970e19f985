//! The files that hold weights, as one map from upstream names to tensors that are read when taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::store::burn_pack::Tensor as Lazy;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge};
use burn::tensor::{DType, TensorData};
use serde::Deserialize;

use super::{INDEX, Stored, WEIGHTS};
use crate::Error;

/// Where weights may be, in the order of preference; an index names several files of the kind above it.
pub(crate) const FILES: [(&str, Format, bool); 4] = [
    (WEIGHTS, Format::Safetensors, false),
    (INDEX, Format::Safetensors, true),
    ("pytorch_model.bin", Format::Pytorch, false),
    ("pytorch_model.bin.index.json", Format::Pytorch, true),
];

#[derive(Clone, Copy)]
pub(crate) enum Format {
    Safetensors,
    /// Zip archive or legacy pickle; burn's reader tells them apart and runs no code.
    Pytorch,
}

/// The weights of a checkpoint that nobody has taken yet.
pub(crate) struct Weights {
    tensors: BTreeMap<String, (Lazy, PathBuf)>,
}

impl Weights {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let found = FILES.into_iter().find(|(name, ..)| folder.join(name).is_file());
        let Some((name, format, is_index)) = found else {
            return Err(Error::NoFile { path: folder.to_owned(), file: FILES[0].0 });
        };
        let path = folder.join(name);
        let files = if is_index { shards(&path, folder)? } else { vec![path] };
        Self::of(files, format)
    }

    /// Those of one safetensors file.
    pub(crate) fn of_file(path: &Path) -> Result<Self, Error> {
        Self::of(vec![path.to_owned()], Format::Safetensors)
    }

    fn of(files: Vec<PathBuf>, format: Format) -> Result<Self, Error> {
        let mut tensors = BTreeMap::new();
        for file in files {
            for (key, tensor) in format.read(&file)? {
                tensors.insert(key, (tensor, file.clone()));
            }
        }
        Ok(Self { tensors })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// Takes a weight without reading it.
    pub(crate) fn discard(&mut self, key: &str) -> bool {
        self.tensors.remove(key).is_some()
    }

    /// Takes a weight that [`Weights::has`]: its elements in upstream's order.
    pub(crate) fn take(&mut self, key: &str, shape: &[usize], dtype: Stored) -> Result<TensorData, Error> {
        let Some((tensor, file)) = self.tensors.remove(key) else {
            return Err(Error::Missing { keys: vec![key.to_owned()] });
        };
        if tensor.shape.as_slice() != shape {
            let found = tensor.shape.as_slice().to_vec();
            return Err(Error::Shape { key: key.to_owned(), expected: shape.to_vec(), found });
        }
        if !tensor.dtype.is_float() {
            return Err(Error::Dtype { key: key.to_owned(), found: format!("{:?}", tensor.dtype) });
        }
        let dtype = match dtype {
            Stored::Kept => tensor.dtype,
            Stored::F32 => DType::F32,
            Stored::As(dtype) => dtype,
        };
        let data = bridge::into_data(tensor).map_err(|reason| Error::damaged(&file, reason))?;
        let broken = data.iter::<f32>().position(|value| !value.is_finite());
        match broken {
            None => Ok(data.convert_dtype(dtype)),
            Some(element) => Err(Error::NotFinite { key: key.to_owned(), element }),
        }
    }

    /// Names of what nobody took.
    pub(crate) fn into_keys(self) -> Vec<String> {
        self.tensors.into_keys().collect()
    }
}

impl Format {
    fn read(self, file: &Path) -> Result<BTreeMap<String, Lazy>, Error> {
        match self {
            Self::Safetensors => stored(file, SafetensorsStore::from_file(file)),
            // burn renumbers layers to close gaps; a gap in a transformer is a damaged file.
            Self::Pytorch => stored(file, PytorchStore::from_file(file).map_indices_contiguous(false)),
        }
    }
}

fn stored<S: ModuleStore>(file: &Path, mut store: S) -> Result<BTreeMap<String, Lazy>, Error>
where
    S::Error: std::fmt::Display,
{
    store.get_all_tensors().cloned().map_err(|reason| Error::damaged(file, reason))
}

/// The files that an index names.
pub(crate) fn shards(index: &Path, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(index).map_err(Error::io(index))?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|reason| Error::damaged(index, reason))?;
    let names: BTreeSet<String> = weight_map.into_values().collect();
    // A checkpoint has no business outside its folder.
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return Err(Error::damaged(index, format!("{name} is not the name of a file")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
