use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, View};

use super::keys::{self, Slot, Slots};
use super::{CONFIG, TOKENIZER, WEIGHTS};
use crate::Error;
use crate::encoder::Encoder;

/// A parameter on its way into a file; it leaves the device when its turn comes.
struct Written<'a> {
    slot: Slot<'a>,
    shape: Vec<usize>,
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.slot.get().convert::<f32>().bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

pub(super) fn write(model: &Encoder, folder: &Path, tokenizer: Option<&Path>) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let names = keys::names(model.config().family);
    let config = model.config().clone().describing(names.architecture);
    replace(&folder.join(CONFIG), config.to_json().as_bytes())?;
    if let Some(source) = tokenizer {
        // Read whole before the target is opened: both may be the same file.
        let text = std::fs::read(source).map_err(Error::io(source))?;
        replace(&folder.join(TOKENIZER), &text)?;
    }
    // The clone shares its tensors; `slots` wants a model that it may change.
    weights(&folder.join(WEIGHTS), keys::slots(&mut model.clone(), names.body), &folder.join(CONFIG))
}

/// Writes parameters as f32, readable for whom `like` is readable.
pub(super) fn weights(path: &Path, slots: Slots<'_>, like: &Path) -> Result<(), Error> {
    let tensors = slots.into_iter().map(|(key, slot)| (key, Written { shape: slot.shape(), slot }));
    // transformers refuses files that do not say so.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => Error::io(path)(source),
        other => Error::damaged(path, other),
    })?;
    // safetensors writes files that only their owner may read.
    let readable = std::fs::metadata(like).map_err(Error::io(like))?.permissions();
    std::fs::set_permissions(path, readable).map_err(Error::io(path))
}

/// Writes beside the file and renames, so that a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let scratch = path.with_extension("json.new");
    std::fs::write(&scratch, contents).map_err(Error::io(&scratch))?;
    std::fs::rename(&scratch, path).map_err(Error::io(path))
}
