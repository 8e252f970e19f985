use serde::{Deserialize, Serialize};

use crate::Error;

/// The upstream architectures that share this encoder.
///
/// They differ in their first position, in the names of their weights, in the activation of the head, which in
/// RoBERTa is GELU whatever the layers use, and in what is said below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Devlin et al. 2018, arXiv:1810.04805; `bert`.
    Bert,
    /// Sanh et al. 2019, arXiv:1910.01108; `distilbert`. No token types.
    DistilBert,
    /// Liu et al. 2019, arXiv:1907.11692; `roberta`.
    Roberta,
    /// Conneau et al. 2019, arXiv:1911.02116; `xlm-roberta`.
    XlmRoberta,
    /// Goyal et al. 2021, arXiv:2105.00572; `xlm-roberta-xl`. Layers normalise what they read instead of what they
    /// leave, the embeddings have no norm, and the last layer is followed by one.
    XlmRobertaXl,
}

impl Family {
    const ALL: [Self; 5] =
        [Self::Bert, Self::DistilBert, Self::Roberta, Self::XlmRoberta, Self::XlmRobertaXl];

    /// The `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::DistilBert => "distilbert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::XlmRobertaXl => "xlm-roberta-xl",
        }
    }

    /// Whether layers normalise what they read (pre-LN) instead of what they leave (post-LN).
    pub(crate) fn norm_first(self) -> bool {
        self == Self::XlmRobertaXl
    }
}

impl std::str::FromStr for Family {
    type Err = Error;

    fn from_str(model_type: &str) -> Result<Self, Error> {
        (Self::ALL.into_iter().find(|family| family.model_type() == model_type))
            .ok_or_else(|| Error::Unsupported { field: "model_type", got: model_type.to_owned() })
    }
}

/// The non-linearity of a feed-forward layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[non_exhaustive]
pub enum Activation {
    /// x · Φ(x), with the error function; `gelu`.
    #[default]
    Gelu,
    /// The tanh approximation of GELU; `gelu_new`, `gelu_pytorch_tanh`.
    GeluTanh,
    /// max(0, x); `relu`.
    Relu,
    /// x · σ(x); `silu`, `swish`.
    Silu,
    /// x · σ(1.702·x); `quick_gelu`.
    QuickGelu,
}

impl Activation {
    /// The `hidden_act` of `config.json`.
    pub fn hidden_act(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_new",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::QuickGelu => "quick_gelu",
        }
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;

    fn try_from(hidden_act: String) -> Result<Self, Error> {
        hidden_act.parse()
    }
}

impl From<Activation> for &'static str {
    fn from(activation: Activation) -> Self {
        activation.hidden_act()
    }
}

impl std::str::FromStr for Activation {
    type Err = Error;

    fn from_str(hidden_act: &str) -> Result<Self, Error> {
        Ok(match hidden_act {
            "gelu" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Self::GeluTanh,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "quick_gelu" => Self::QuickGelu,
            _ => {
                return Err(Error::Unsupported { field: "hidden_act", got: hidden_act.to_owned() });
            }
        })
    }
}
