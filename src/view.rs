//! How a network wants to be asked.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::core::Denoiser;
use crate::core::view::{Shifted, next_token};
use crate::models::{self, AutoDenoiser};

/// Name of the file in a folder whose network is not asked as its family is.
const FILE: &str = "view.json";

/// Which position a network answers about, and what it sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "view")]
pub enum View {
    /// The one that it is asked about; all.
    #[default]
    Denoiser,
    /// The next one; all. See [`Shifted`].
    Shifted,
    /// The next one; none that comes after. See [`next_token`].
    NextToken,
}

impl View {
    /// The network as losses and samplers want it: its answer at a position is about that position.
    pub fn of<'a>(self, network: impl Denoiser + 'a) -> Box<dyn Denoiser + 'a> {
        match self {
            Self::Denoiser => Box::new(network),
            Self::Shifted => Box::new(Shifted(network)),
            Self::NextToken => Box::new(next_token(network)),
        }
    }

    /// What `view.json` says, or else what the family's published weights want.
    ///
    /// # Errors
    /// [`models::Error::Io`], [`models::Error::Damaged`].
    pub fn of_folder(folder: impl AsRef<Path>, network: &AutoDenoiser) -> Result<Self, models::Error> {
        let path = folder.as_ref().join(FILE);
        if !path.is_file() {
            return Ok(if network.answers_late() { Self::Shifted } else { Self::Denoiser });
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|source| models::Error::Io { path: path.clone(), source })?;
        serde_json::from_str(&text)
            .map_err(|reason| models::Error::Damaged { path, reason: reason.to_string() })
    }

    /// Writes `view.json`, unless the view is the plain one.
    ///
    /// # Errors
    /// [`models::Error::Io`].
    pub fn write(self, folder: impl AsRef<Path>) -> Result<(), models::Error> {
        let path = folder.as_ref().join(FILE);
        if self == Self::Denoiser {
            return Ok(());
        }
        let text = serde_json::to_string(&self).unwrap_or_default() + "\n";
        std::fs::write(&path, text).map_err(|source| models::Error::Io { path, source })
    }
}
