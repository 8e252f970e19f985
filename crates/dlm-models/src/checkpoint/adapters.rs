//! The files of low-rank adapters.

use std::path::Path;

use burn::tensor::TensorData;

use super::save;
use super::weights::Weights;
use crate::Error;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

pub(crate) fn open(folder: &Path) -> Result<(String, Weights), Error> {
    let missing = |file| Error::NoFile { path: folder.to_owned(), file };
    let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
    if !config.is_file() {
        return Err(missing(CONFIG));
    }
    if !weights.is_file() {
        return Err(missing(WEIGHTS));
    }
    let text = std::fs::read_to_string(&config).map_err(Error::io(&config))?;
    Ok((text, Weights::of_file(&weights)?))
}

pub(crate) fn write(folder: &Path, config: &str, tensors: Vec<(String, TensorData)>) -> Result<(), Error> {
    let path = folder.join(CONFIG);
    save::replace(&path, config.as_bytes())?;
    save::data(&folder.join(WEIGHTS), tensors, &path)
}
