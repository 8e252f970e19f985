use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, View};
use serde_json::json;

use super::{CONFIG, INDEX, Pretrained, Slot, TOKENIZER, WEIGHTS};
use crate::Error;

/// A parameter on its way into a file; it leaves the device when its turn comes.
struct Written<'a> {
    slot: Slot<'a>,
    shape: Vec<usize>,
    dtype: DType,
}

impl<'a> Written<'a> {
    fn new(slot: Slot<'a>) -> Self {
        // Types that upstream has no name for are written as f32.
        let dtype = match slot.dtype() {
            dtype @ (DType::F64 | DType::F16 | DType::BF16) => dtype,
            _ => DType::F32,
        };
        Self { shape: slot.shape(), dtype, slot }
    }
}

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            DType::F64 => Dtype::F64,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.slot.get().convert_dtype(self.dtype).as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

type Named<'a> = (String, Written<'a>);

pub(super) fn write<M: Pretrained>(
    model: &M,
    folder: &Path,
    tokenizer: Option<&Path>,
    most: usize,
) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let config = folder.join(CONFIG);
    replace(&config, model.to_config().as_bytes())?;
    if let Some(source) = tokenizer {
        // Read whole before the target is opened: both may be the same file.
        let text = std::fs::read(source).map_err(Error::io(source))?;
        replace(&folder.join(TOKENIZER), &text)?;
    }
    // The clone shares its tensors; `slots` wants a model that it may change.
    let mut model = model.clone();
    let device = model.device();
    let mut constants: Vec<(String, Param<Tensor<1>>)> =
        model.constants().into_iter().map(|(key, values)| (key, constant(&values, &device))).collect();
    let constants = constants.iter_mut().map(|(key, values)| (key.clone(), Slot::Vector(values)));
    let slots: Vec<Named<'_>> =
        model.slots().into_iter().chain(constants).map(|(key, slot)| (key, Written::new(slot))).collect();
    let mut shards = shards(slots, most);
    if shards.len() == 1 {
        remove(&folder.join(INDEX))?;
        return serialise(&folder.join(WEIGHTS), shards.remove(0), &config);
    }
    let count = shards.len();
    let (mut weight_map, mut total) = (BTreeMap::new(), 0);
    for (index, shard) in shards.into_iter().enumerate() {
        let name = format!("model-{:05}-of-{count:05}.safetensors", index + 1);
        weight_map.extend(shard.iter().map(|(key, _)| (key.clone(), name.clone())));
        total += bytes(&shard);
        serialise(&folder.join(name), shard, &config)?;
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    replace(&folder.join(INDEX), format!("{index:#}\n").as_bytes())?;
    // Readers prefer the single file.
    remove(&folder.join(WEIGHTS))
}

fn constant(values: &[f32], device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_floats(values, device))
}

/// Parts of at most `most` bytes each, or of one parameter.
fn shards(slots: Vec<Named<'_>>, most: usize) -> Vec<Vec<Named<'_>>> {
    let mut shards: Vec<Vec<_>> = vec![Vec::new()];
    let mut size = 0;
    for slot in slots {
        let more = slot.1.data_len();
        if size > 0 && size + more > most {
            shards.push(Vec::new());
            size = 0;
        }
        size += more;
        if let Some(shard) = shards.last_mut() {
            shard.push(slot);
        }
    }
    shards
}

fn bytes(shard: &[Named<'_>]) -> usize {
    shard.iter().map(|(_, written)| written.data_len()).sum()
}

/// Writes parameters, readable for whom `like` is readable.
pub(super) fn weights(path: &Path, slots: super::Slots<'_>, like: &Path) -> Result<(), Error> {
    serialise(path, slots.into_iter().map(|(key, slot)| (key, Written::new(slot))).collect(), like)
}

fn serialise<V: View>(path: &Path, tensors: Vec<(String, V)>, like: &Path) -> Result<(), Error> {
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

/// Writes tensors, readable for whom `like` is readable.
pub(super) fn data(path: &Path, tensors: Vec<(String, TensorData)>, like: &Path) -> Result<(), Error> {
    struct Plain(TensorData);
    impl View for Plain {
        fn dtype(&self) -> Dtype {
            Dtype::F32
        }
        fn shape(&self) -> &[usize] {
            self.0.shape().as_slice()
        }
        fn data(&self) -> Cow<'_, [u8]> {
            Cow::Borrowed(self.0.as_bytes())
        }
        fn data_len(&self) -> usize {
            self.0.as_bytes().len()
        }
    }
    let floats = |(key, data): (String, TensorData)| (key, Plain(data.convert::<f32>()));
    serialise(path, tensors.into_iter().map(floats).collect(), like)
}

fn remove(path: &PathBuf) -> Result<(), Error> {
    if path.is_file() { std::fs::remove_file(path).map_err(Error::io(path)) } else { Ok(()) }
}

/// Writes beside the file and renames, so that a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let scratch = path.with_extension("json.new");
    std::fs::write(&scratch, contents).map_err(Error::io(&scratch))?;
    std::fs::rename(&scratch, path).map_err(Error::io(path))
}
