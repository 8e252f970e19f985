//! The files of a length head, which may lie beside a network's.

use std::path::Path;

use burn::tensor::Device;

use super::keys::bert::{BERT_LAYER, layer_slots};
use super::weights::Weights;
use super::{Slots, Stored, save};
use crate::Error;
use crate::length::{LengthHead, LengthHeadConfig};

const CONFIG: &str = "length_head.json";
const WEIGHTS: &str = "length_head.safetensors";

impl LengthHead {
    /// Writes `length_head.json` and `length_head.safetensors` (f32) into a folder, which may be the
    /// network's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let config = folder.join(CONFIG);
        let text = serde_json::to_string_pretty(self.config()).map_err(Error::ConfigJson)?;
        save::replace(&config, text.as_bytes())?;
        save::weights(&folder.join(WEIGHTS), slots(&mut self.clone()), &config)
    }

    /// Reads what [`LengthHead::write`] wrote; `None` if the folder has no `length_head.json`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] for files that are something else; [`Error::Config`] for sizes
    /// that cannot be built; [`Error::NoFile`], [`Error::Missing`], [`Error::Shape`], [`Error::Dtype`] and
    /// [`Error::NotFinite`] for weights that are not the configuration's.
    pub fn read(folder: impl AsRef<Path>, device: &Device) -> Result<Option<Self>, Error> {
        let folder = folder.as_ref();
        let (config, path) = (folder.join(CONFIG), folder.join(WEIGHTS));
        if !config.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&config).map_err(Error::io(&config))?;
        let sizes: LengthHeadConfig =
            serde_json::from_str(&text).map_err(|reason| Error::damaged(&config, reason))?;
        if !path.is_file() {
            return Err(Error::NoFile { path: folder.to_owned(), file: WEIGHTS });
        }
        let (mut head, mut weights) = (sizes.init(device)?, Weights::of_file(&path)?);
        let lacking: Vec<String> =
            slots(&mut head).into_iter().map(|(key, _)| key).filter(|key| !weights.has(key)).collect();
        if !lacking.is_empty() {
            return Err(Error::Missing { keys: lacking });
        }
        for (key, slot) in slots(&mut head) {
            let layout = slot.layout();
            slot.set(weights.take(&key, &layout, Stored::F32)?)?;
        }
        Ok(Some(head))
    }
}

fn slots(head: &mut LengthHead) -> Slots<'_> {
    let mut slots = Slots::new();
    layer_slots(&mut slots, "layer", &mut head.layer, &BERT_LAYER);
    slots.linear("inner", &mut head.inner);
    slots.linear("outer", &mut head.outer);
    slots
}
