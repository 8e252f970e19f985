//! Self-attention as decoders have it: heads that share keys and values, rotary positions, projections in one
//! matrix or in three.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, RmsNorm};
use burn::tensor::{Bool, Tensor};

use crate::attention::attend;
use crate::rotary::Turn;

/// Grouped-query self-attention with its output projection.
///
/// Source: Ainslie et al. 2023, arXiv:2305.13245.
#[derive(Module, Debug)]
pub struct GroupedAttention {
    pub(crate) projections: Projections,
    pub(crate) output: Linear,
    pub(crate) norms: Option<QueryKeyNorms>,
    pub(crate) dropout: Dropout,
    heads: usize,
    groups: usize,
}

/// How queries, keys and values are made.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a layer has one")]
pub enum Projections {
    /// By a matrix each.
    Apart(Apart),
    /// By one matrix: first all queries, then all keys, then all values.
    Fused(Linear),
}

/// A matrix each.
#[derive(Module, Debug)]
pub struct Apart {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
}

/// Norms of each head's queries and keys.
#[derive(Module, Debug)]
pub struct QueryKeyNorms {
    pub(crate) query: RmsNorm,
    pub(crate) key: RmsNorm,
}

/// Where the tokens of a batch stand, and who sees whom.
#[derive(Clone)]
pub(crate) struct Places {
    /// `[B, L]`.
    pub(crate) shape: [usize; 2],
    /// Rotary positions, if the network has them.
    pub(crate) turn: Option<Turn>,
    /// See [`hidden_mask`](crate::attention::hidden_mask).
    pub(crate) hidden: Option<Tensor<4, Bool>>,
}

impl GroupedAttention {
    /// `heads` of queries, `groups` of keys and values.
    pub(crate) fn new(
        [heads, groups]: [usize; 2],
        projections: Projections,
        norms: Option<QueryKeyNorms>,
        output: Linear,
        dropout: f64,
    ) -> Self {
        Self { projections, output, norms, dropout: DropoutConfig::new(dropout).init(), heads, groups }
    }

    /// What each position gathers from the others, before the output projection.
    ///
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - returns: `[B·L, H·d]`
    pub(crate) fn mix(&self, input: Tensor<2>, places: &Places) -> Tensor<2> {
        let [rows, len] = places.shape;
        let (query, key, value) = self.project(input);
        let split = |flat: Tensor<2>, heads| {
            let [_, width] = flat.dims();
            flat.reshape([rows, len, heads, width / heads])
        };
        let (query, key) = (split(query, self.heads), split(key, self.groups));
        let (query, key) = match &self.norms {
            None => (query, key),
            Some(norms) => (norms.query.forward(query), norms.key.forward(key)),
        };
        let turned = |heads: Tensor<4>| {
            let heads = heads.swap_dims(1, 2);
            match &places.turn {
                None => heads,
                Some(turn) => turn.apply(heads),
            }
        };
        let value = split(value, self.groups).swap_dims(1, 2);
        let mixed = attend(turned(query), turned(key), value, places.hidden.as_ref(), &self.dropout);
        let [_, heads, _, width] = mixed.dims();
        mixed.swap_dims(1, 2).reshape([rows * len, heads * width])
    }

    fn project(&self, input: Tensor<2>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        match &self.projections {
            Projections::Apart(Apart { query, key, value }) => {
                (query.forward(input.clone()), key.forward(input.clone()), value.forward(input))
            }
            Projections::Fused(all) => {
                let all = all.forward(input);
                let each = all.dims()[1] / (self.heads + 2 * self.groups);
                let (queries, keys) = (self.heads * each, self.groups * each);
                let part = |from, width| all.clone().narrow(1, from, width);
                (part(0, queries), part(queries, keys), part(queries + keys, keys))
            }
        }
    }
}
