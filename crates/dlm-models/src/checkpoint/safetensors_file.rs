//! Safetensors files, read a tensor at a time.
//!
//! burn's reader maps the file: what was read of it stays in memory beside the network. Here a tensor's bytes are
//! read where they are needed, so that a network takes little more than its own size while it is loaded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use burn::tensor::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::weights::Found;
use crate::Error;

/// Where a tensor lies in its file.
pub(super) struct Region {
    pub(super) shape: Vec<usize>,
    /// The name of the type, if it is no float.
    pub(super) dtype: Result<DType, String>,
    start: u64,
}

impl Region {
    /// The file, at the first of the tensor's bytes.
    pub(super) fn open(&self, file: &Path) -> Result<File, Error> {
        let mut open = File::open(file).map_err(Error::io(file))?;
        open.seek(SeekFrom::Start(self.start)).map_err(Error::io(file))?;
        Ok(open)
    }
}

/// The tensors of a file by their names, none of them read.
pub(super) fn regions(file: &Path) -> Result<BTreeMap<String, Found>, Error> {
    let damaged = |reason: String| Error::damaged(file, reason);
    let mut open = File::open(file).map_err(|reason| damaged(reason.to_string()))?;
    let len = open.metadata().map_err(Error::io(file))?.len();
    let mut size = [0; 8];
    open.read_exact(&mut size).map_err(|reason| damaged(reason.to_string()))?;
    let size = u64::from_le_bytes(size);
    if size > len.saturating_sub(8) {
        return Err(damaged(format!("its header has {size} bytes, the file {len}")));
    }
    let mut header = Vec::new();
    open.take(size).read_to_end(&mut header).map_err(Error::io(file))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|reason| damaged(reason.to_string()))?;
    let mut regions = BTreeMap::new();
    let mut end = 0;
    // In the order in which they lie, which leaves no gap.
    for key in header.offset_keys() {
        let Some(info) = header.info(&key) else { continue };
        let (from, to) = info.data_offsets;
        let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, &side| bits.checked_mul(side));
        if from != end || to.checked_sub(from).map(|bytes| bytes.checked_mul(8)) != Some(bits) {
            return Err(damaged(format!("{key} does not lie where its shape says")));
        }
        end = to;
        let start = 8 + size + from as u64;
        let region = Region { shape: info.shape.clone(), dtype: float(info.dtype), start };
        regions.insert(key, Found::Region(region));
    }
    if 8 + size + end as u64 != len {
        return Err(damaged(format!("its tensors end at {}, the file at {len}", 8 + size + end as u64)));
    }
    Ok(regions)
}

fn float(dtype: Dtype) -> Result<DType, String> {
    match dtype {
        Dtype::F64 => Ok(DType::F64),
        Dtype::F32 => Ok(DType::F32),
        Dtype::F16 => Ok(DType::F16),
        Dtype::BF16 => Ok(DType::BF16),
        other => Err(format!("{other:?}")),
    }
}
