//! A network, seen from outside.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::error::{Error, in_domain, same_length};
use crate::sequence::{TokenId, check_ids};

/// Which positions a position may look at, padding aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attention<'a> {
    /// Every position sees every position.
    #[default]
    Full,
    /// The first `n` positions of a row see only each other; the rest sees everything. One `n` a row.
    Prefix(&'a [usize]),
    /// A position sees itself and those before it.
    Causal,
    /// A row is cut into blocks of `n` positions, counted from its first; a position sees its own block and
    /// those before it. Blocks of 1 are [`Attention::Causal`].
    BlockCausal(usize),
    /// A position sees those that are named, `[L, L]`: true where the query (row) may see the key (column),
    /// for all rows of a batch alike.
    Pairs(&'a [bool]),
}

impl Attention<'_> {
    /// Whether position `query` of a row may look at position `key`, both below `len`.
    ///
    /// # Panics
    /// If the row has no prefix, `Pairs` is not `len · len` long, or a block has no positions.
    pub fn sees(&self, row: usize, len: usize, query: usize, key: usize) -> bool {
        match self {
            Self::Full => true,
            Self::Prefix(prefixes) => query >= prefixes[row] || key < prefixes[row],
            Self::Causal => key <= query,
            Self::BlockCausal(size) => key / size <= query / size,
            Self::Pairs(pairs) => pairs[query * len + key],
        }
    }

    fn rows(self, rows: Range<usize>) -> Self {
        match self {
            Self::Prefix(prefixes) => Self::Prefix(&prefixes[rows]),
            other => other,
        }
    }
}

/// What a network is asked: ids on the host, and the positions whose logits are wanted.
///
/// Built by [`DenoiserInput::new`] and its `with_` methods; fields may be added.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DenoiserInput<'a> {
    /// Tokens, `[B, L]`, row-major.
    pub ids: &'a [TokenId],
    /// `[B, L]`.
    pub shape: [usize; 2],
    /// True at padding, `[B, L]`; `None` if there is none.
    pub pad: Option<&'a [bool]>,
    /// Diffusion time of each row, `[B]`, or empty. Time-free networks ignore it.
    pub times: &'a [f64],
    /// Who sees whom.
    pub attention: Attention<'a>,
    /// To which document of its row each position belongs, `[B, L]`; `None` if a row is one document.
    /// Positions of different documents do not see each other, and each document counts from its start.
    pub documents: Option<&'a [u32]>,
    /// The place of each position in its text, `[B, L]`, from 0; `None` if each document counts its tokens in
    /// order.
    pub positions: Option<&'a [usize]>,
    /// The N flat positions (`row · L + position`) whose logits are wanted, in the order of the answer.
    pub at: &'a [usize],
}

impl<'a> DenoiserInput<'a> {
    /// Asks for the logits at `at` of rows without padding.
    ///
    /// # Panics
    /// If `ids` is not `shape[0] · shape[1]` long.
    pub fn new(ids: &'a [TokenId], shape: [usize; 2], at: &'a [usize]) -> Self {
        assert_eq!(ids.len(), shape[0] * shape[1], "ids of shape {shape:?}");
        let (pad, times, attention, documents, positions) =
            (None, [].as_slice(), Attention::Full, None, None);
        Self { ids, shape, pad, times, attention, documents, positions, at }
    }

    /// Hides the positions where `pad` is true.
    ///
    /// # Panics
    /// If there is not one flag for each id.
    #[must_use]
    pub fn with_pad(self, pad: &'a [bool]) -> Self {
        assert_eq!(pad.len(), self.ids.len(), "padding flags of shape {:?}", self.shape);
        Self { pad: Some(pad), ..self }
    }

    /// Tells each row's time.
    ///
    /// # Panics
    /// If there is not one time for each row.
    #[must_use]
    pub fn with_times(self, times: &'a [f64]) -> Self {
        assert_eq!(times.len(), self.shape[0], "times of {} rows", self.shape[0]);
        Self { times, ..self }
    }

    /// Restricts who sees whom.
    #[must_use]
    pub fn with_attention(self, attention: Attention<'a>) -> Self {
        Self { attention, ..self }
    }

    /// Keeps the documents of a row apart.
    ///
    /// # Panics
    /// If there is not one number for each id.
    #[must_use]
    pub fn with_documents(self, documents: &'a [u32]) -> Self {
        assert_eq!(documents.len(), self.ids.len(), "document numbers of shape {:?}", self.shape);
        Self { documents: Some(documents), ..self }
    }

    /// Says where in its text each position stands, for rows that hold a text more than once.
    ///
    /// # Panics
    /// If there is not one place for each id.
    #[must_use]
    pub fn with_positions(self, positions: &'a [usize]) -> Self {
        assert_eq!(positions.len(), self.ids.len(), "places of shape {:?}", self.shape);
        Self { positions: Some(positions), ..self }
    }

    /// The input with other positions asked.
    #[must_use]
    pub fn asking<'b>(&self, at: &'b [usize]) -> DenoiserInput<'b>
    where
        'a: 'b,
    {
        DenoiserInput { at, ..*self }
    }

    /// Whether a position may look at another of the same row: attention, documents and padding.
    ///
    /// # Panics
    /// If there are no such positions.
    pub fn sees(&self, row: usize, query: usize, key: usize) -> bool {
        let start = row * self.shape[1];
        let together = |documents: &[u32]| documents[start + query] == documents[start + key];
        !self.pad.is_some_and(|pad| pad[start + key])
            && self.documents.is_none_or(together)
            && self.attention.sees(row, self.shape[1], query, key)
    }

    /// The input of some rows alone, asking at `at`, counted from their first position.
    ///
    /// # Panics
    /// If there are no such rows.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>, at: &'a [usize]) -> Self {
        let Self { ids, shape: [_, len], pad, times, attention, documents, positions, at: _ } = *self;
        let flat = rows.start * len..rows.end * len;
        Self {
            ids: &ids[flat.clone()],
            shape: [rows.len(), len],
            pad: pad.map(|pad| &pad[flat.clone()]),
            times: if times.is_empty() { times } else { &times[rows.clone()] },
            attention: attention.rows(rows),
            documents: documents.map(|documents| &documents[flat.clone()]),
            positions: positions.map(|positions| &positions[flat]),
            at,
        }
    }

    /// Checks the input against a network of `vocab_size` words and at most `max_len` tokens a row.
    ///
    /// # Errors
    /// [`Error::UnknownToken`], [`Error::TooLong`], [`Error::NoPosition`] for an asked position outside
    /// the batch, [`Error::Length`] unless each row has its prefix, or each pair of positions its flag,
    /// [`Error::OutOfDomain`] for blocks of no positions.
    pub fn check(&self, vocab_size: usize, max_len: Option<usize>) -> Result<(), Error> {
        let [rows, len] = self.shape;
        for row in 0..rows {
            let span = row * len..(row + 1) * len;
            check_ids(row, &self.ids[span.clone()], vocab_size)?;
            let got = self.longest_document(span);
            if let Some(most) = max_len.filter(|&most| got > most) {
                return Err(Error::TooLong { row, got, most });
            }
        }
        if let Some(&at) = self.at.iter().find(|&&at| at >= rows * len) {
            return Err(Error::NoPosition { at, len: rows * len });
        }
        match self.attention {
            Attention::Full | Attention::Causal => Ok(()),
            Attention::BlockCausal(size) => {
                in_domain(size > 0, "positions of a block", "at least 1", size as f64).map(drop)
            }
            Attention::Prefix(prefixes) => same_length("prefixes of a batch", rows, prefixes.len()),
            Attention::Pairs(pairs) => same_length("pairs of positions", len * len, pairs.len()),
        }
    }

    /// Tokens of the longest document of a row, padding not counted.
    fn longest_document(&self, row: Range<usize>) -> usize {
        if let Some(positions) = self.positions {
            return positions[row].iter().max().map_or(0, |last| last + 1);
        }
        let (mut longest, mut tokens, mut current) = (0, 0, None);
        for flat in row {
            let document = self.documents.map(|documents| documents[flat]);
            if current != Some(document) {
                (tokens, current) = (0, Some(document));
            }
            tokens += usize::from(!self.pad.is_some_and(|pad| pad[flat]));
            longest = longest.max(tokens);
        }
        longest
    }
}

/// All that losses and samplers know of a network.
pub trait Denoiser {
    /// Number of words, V.
    fn vocab_size(&self) -> usize;

    /// Where the network lives and its logits appear.
    fn device(&self) -> Device;

    /// The tokens a row may have, padding not counted; `None` if the network knows no limit.
    fn max_len(&self) -> Option<usize> {
        None
    }

    /// Checks that the network can answer `input`. Losses and samplers ask before they ask for logits.
    ///
    /// # Errors
    /// As [`DenoiserInput::check`], unless the network has rules of its own.
    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), Error> {
        input.check(self.vocab_size(), self.max_len())
    }

    /// Logits of `p_θ(x₀ | x_t)` at the positions `input.at`.
    ///
    /// May panic on an input that [`Denoiser::check`] refuses.
    ///
    /// # Shapes
    /// - returns: `[N, V]`, N = `input.at.len()`, in that order
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2>;

    /// Whether the logits depend on the tokens alone and not on `input.times`. A sampler asks such a
    /// network only about rows whose tokens have changed.
    fn time_free(&self) -> bool {
        false
    }
}

/// A pointer to a network is that network.
macro_rules! pointer {
    ($pointer:ty) => {
        impl<D: Denoiser + ?Sized> Denoiser for $pointer {
            fn vocab_size(&self) -> usize {
                (**self).vocab_size()
            }
            fn device(&self) -> Device {
                (**self).device()
            }
            fn max_len(&self) -> Option<usize> {
                (**self).max_len()
            }
            fn check(&self, input: &DenoiserInput<'_>) -> Result<(), Error> {
                (**self).check(input)
            }
            fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
                (**self).logits(input)
            }
            fn time_free(&self) -> bool {
                (**self).time_free()
            }
        }
    };
}

pointer!(&D);
pointer!(Box<D>);
pointer!(Arc<D>);

impl<D: Factored + ?Sized> Factored for &D {
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        (**self).features(input)
    }
    fn decoder(&self) -> Decoder {
        (**self).decoder()
    }
}

/// A network whose last layer is a plain linear map over the vocabulary, so that a loss can apply it
/// piece by piece (see [`nll_chunked`](crate::loss::nll_chunked)).
pub trait Factored: Denoiser {
    /// What the decoder is applied to, `[N, D]`, at the positions `input.at`.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2>;

    /// The last layer.
    fn decoder(&self) -> Decoder;
}

/// The linear map from features to logits.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// `[V, D]`: one row a word, as embeddings are stored.
    pub weight: Tensor<2>,
    /// `[V]`.
    pub bias: Option<Tensor<1>>,
}

impl Decoder {
    /// Logits of some features.
    ///
    /// # Shapes
    /// - `features`: `[N, D]`
    /// - returns: `[N, V]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let logits = features.matmul(self.weight.clone().transpose());
        match &self.bias {
            None => logits,
            Some(bias) => logits + bias.clone().unsqueeze(),
        }
    }
}
