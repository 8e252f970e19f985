//! Folders by their name on the Hugging Face hub.

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::weights::FILES;
use super::{CONFIG, Checkpoint, TOKENIZER};
use crate::Error;

/// What may lie beside the weights.
const BESIDE: [&str; 6] =
    [CONFIG, TOKENIZER, "view.json", "id_map.json", "length_head.json", "length_head.safetensors"];

impl Checkpoint {
    /// Downloads what a network needs of a model on the hub, with a bar for each file, unless the cache has it.
    ///
    /// The cache is that of Python's `huggingface_hub` (`HF_HOME`); `HF_ENDPOINT` names another hub, and a token
    /// that was saved by its login is sent. `revision` is a branch, a tag or a commit, by default `main`. Without a
    /// connection, what the cache has of the model is taken.
    ///
    /// # Errors
    /// [`Error::Hub`] without a connection or such a model; [`Error::NoFile`] for one without weights.
    ///
    /// # Example
    /// ```no_run
    /// use burn::tensor::Device;
    /// use dlm_models::{Checkpoint, Encoder};
    /// let checkpoint = Checkpoint::from_hub("FacebookAI/xlm-roberta-base", None)?;
    /// let (model, report) = checkpoint.load::<Encoder>(&Device::flex())?;
    /// # let _ = (model, report);
    /// # Ok::<(), dlm_models::Error>(())
    /// ```
    pub fn from_hub(name: &str, revision: Option<&str>) -> Result<Self, Error> {
        let failed = |source: ApiError| Error::Hub { name: name.to_owned(), reason: source.to_string() };
        let api = ApiBuilder::from_env().with_progress(true).build().map_err(failed)?;
        let revision = revision.unwrap_or("main").to_owned();
        let model = Repo::with_revision(name.to_owned(), RepoType::Model, revision);
        let repo = api.repo(model.clone());
        let there: Vec<String> = match repo.info() {
            Ok(info) => info.siblings.into_iter().map(|file| file.rfilename).collect(),
            Err(error) => {
                let cached = Cache::from_env().repo(model).get(CONFIG);
                let folder = cached.as_deref().and_then(std::path::Path::parent);
                return folder.ok_or_else(|| failed(error)).and_then(Self::open);
            }
        };
        let has = |file: &str| there.iter().any(|there| there == file);
        let Some((weights, _, is_index)) = FILES.into_iter().find(|(file, ..)| has(file)) else {
            return Err(Error::NoFile { path: name.into(), file: FILES[0].0 });
        };
        for file in BESIDE.into_iter().filter(|file| has(file)) {
            repo.get(file).map_err(failed)?;
        }
        let place = repo.get(weights).map_err(failed)?;
        let folder = place.parent().unwrap_or(&place).to_owned();
        if is_index {
            for shard in super::weights::shards(&place, &folder)? {
                let file = shard.file_name().unwrap_or_default().to_string_lossy().into_owned();
                repo.get(&file).map_err(failed)?;
            }
        }
        Self::open(folder)
    }
}
