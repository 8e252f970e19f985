//! The files that hold weights, as one map from upstream names to tensors that are read when taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::store::burn_pack::Tensor as Pickled;
use burn::store::{ModuleStore, PytorchStore, bridge};
use burn::tensor::{DType, TensorData};
use serde::Deserialize;

use super::elements::{Layout, Named};
use super::safetensors_file::{self, Region};
use super::{INDEX, Stored, WEIGHTS};
use crate::Error;

/// Where weights may be, in the order of preference; an index names several files of the kind above it.
pub(crate) const FILES: [(&str, Format, bool); 5] = [
    (WEIGHTS, Format::Safetensors, false),
    (INDEX, Format::Safetensors, true),
    ("pytorch_model.bin", Format::Pytorch, false),
    ("pytorch_model.bin.index.json", Format::Pytorch, true),
    ("model.pt", Format::Fairseq, false),
];

#[derive(Clone, Copy)]
pub(crate) enum Format {
    Safetensors,
    /// Zip archive or legacy pickle; burn's reader tells them apart and runs no code.
    Pytorch,
    /// The same with the weights under `model`, beside the arguments of the training.
    Fairseq,
}

/// The weights of a checkpoint that nobody has taken yet.
pub(crate) struct Weights {
    tensors: BTreeMap<String, (Found, PathBuf)>,
}

/// A tensor that was not read yet.
pub(super) enum Found {
    Region(Region),
    Pickled(Pickled),
}

impl Found {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Region(region) => &region.shape,
            Self::Pickled(tensor) => tensor.shape.as_slice(),
        }
    }

    /// # Errors
    /// The name of the type, unless it is a float.
    fn dtype(&self) -> Result<DType, String> {
        match self {
            Self::Region(region) => region.dtype.clone(),
            Self::Pickled(tensor) if tensor.dtype.is_float() => Ok(tensor.dtype),
            Self::Pickled(tensor) => Err(format!("{:?}", tensor.dtype)),
        }
    }

    fn read(self, named: &Named<'_>, layout: &Layout, dtype: DType) -> Result<TensorData, Error> {
        match self {
            Self::Region(region) => named.read(region.open(named.file)?, layout, dtype),
            Self::Pickled(tensor) => {
                let data = bridge::into_data(tensor).map_err(|reason| Error::damaged(named.file, reason))?;
                named.read(data.as_bytes(), layout, dtype)
            }
        }
    }
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

    /// Names of all.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Takes a weight without reading it.
    pub(crate) fn discard(&mut self, key: &str) -> bool {
        self.tensors.remove(key).is_some()
    }

    /// Takes a weight that [`Weights::has`]: its elements in the parameter's order.
    pub(crate) fn take(&mut self, key: &str, layout: &Layout, dtype: Stored) -> Result<TensorData, Error> {
        let Some((tensor, file)) = self.tensors.remove(key) else {
            return Err(Error::Missing { keys: vec![key.to_owned()] });
        };
        if tensor.shape() != layout.shape {
            let found = tensor.shape().to_vec();
            return Err(Error::Shape { key: key.to_owned(), expected: layout.shape.clone(), found });
        }
        let own = tensor.dtype().map_err(|found| Error::Dtype { key: key.to_owned(), found })?;
        tensor.read(&Named { key, file: &file, dtype: own }, layout, dtype.of(own))
    }

    /// The type of the first that is made of floats.
    pub(super) fn dtype(&self) -> DType {
        self.tensors.values().find_map(|(found, _)| found.dtype().ok()).unwrap_or(DType::F32)
    }

    /// Names of what nobody took.
    pub(crate) fn into_keys(self) -> Vec<String> {
        self.tensors.into_keys().collect()
    }
}

impl Format {
    fn read(self, file: &Path) -> Result<BTreeMap<String, Found>, Error> {
        match self {
            Self::Safetensors => safetensors_file::regions(file),
            Self::Fairseq => pickled(file, pytorch(file).with_top_level_key("model")),
            Self::Pytorch => pickled(file, pytorch(file)),
        }
    }
}

fn pytorch(file: &Path) -> PytorchStore {
    // burn renumbers layers to close gaps; a gap in a transformer is a damaged file.
    PytorchStore::from_file(file).map_indices_contiguous(false)
}

fn pickled(file: &Path, mut store: PytorchStore) -> Result<BTreeMap<String, Found>, Error> {
    let tensors = store.get_all_tensors().map_err(|reason| Error::damaged(file, reason))?;
    Ok(tensors.iter().map(|(key, tensor)| (key.clone(), Found::Pickled(tensor.clone()))).collect())
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
