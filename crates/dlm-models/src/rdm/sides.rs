//! Rows cut into what is read and what is written.

use dlm_core::{Attention, DenoiserInput, Error, TokenId};

/// One side of every row, padded on the right.
pub(super) struct Side {
    ids: Vec<TokenId>,
    pad: Vec<bool>,
    pub(super) shape: [usize; 2],
}

/// Both sides, and the asked positions counted in the target.
pub(super) struct Sides {
    pub(super) source: Side,
    pub(super) target: Side,
    pub(super) asked: Vec<usize>,
    causal: bool,
}

impl Side {
    fn of(rows: &[Vec<TokenId>], pad: TokenId) -> Self {
        let len = rows.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut flags) = (Vec::new(), Vec::new());
        for row in rows {
            let fill = len - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(pad, fill)));
            flags.extend((0..len).map(|position| position >= row.len()));
        }
        Self { ids, pad: flags, shape: [rows.len(), len] }
    }

    /// What a network without the other side would be asked.
    pub(super) fn input(&self) -> DenoiserInput<'_> {
        DenoiserInput::new(&self.ids, self.shape, &[]).with_pad(&self.pad)
    }

    /// True at padding.
    pub(super) fn pad(&self) -> &[bool] {
        &self.pad
    }
}

impl Sides {
    /// A row's source is its prefix, or else ends in its first `eos`.
    pub(super) fn of(input: &DenoiserInput<'_>, eos: TokenId, pad: TokenId) -> Result<Self, Error> {
        let unanswerable = |row, needs| Err(Error::Unanswerable { row, needs });
        let causal = match input.attention {
            Attention::Full | Attention::Prefix(_) => false,
            Attention::Causal | Attention::BlockCausal(1) => true,
            _ => return unanswerable(0, "attention that is full, causal, or a prefix"),
        };
        if input.documents.is_some() || input.positions.is_some() {
            return unanswerable(0, "rows of one document, counted from its start");
        }
        let [rows, len] = input.shape;
        let (mut sources, mut targets) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut places = vec![None; rows * len];
        for row in 0..rows {
            let end = source_end(input, row, eos).unwrap_or(0);
            let (source, target): (Vec<usize>, Vec<usize>) = tokens(input, row).partition(|&at| at < end);
            if source.is_empty() {
                return unanswerable(row, "a source, which ends in EOS or is a prefix");
            }
            for (place, at) in target.iter().enumerate() {
                places[row * len + at] = Some(place);
            }
            let ids = |side: Vec<usize>| side.into_iter().map(|at| input.ids[row * len + at]).collect();
            sources.push(ids(source));
            targets.push(ids(target));
        }
        let (source, target) = (Side::of(&sources, pad), Side::of(&targets, pad));
        let asked = |&at: &usize| {
            let needs = "to be asked behind the source";
            let place = places[at].ok_or(Error::Unanswerable { row: at / len, needs })?;
            Ok(at / len * target.shape[1] + place)
        };
        let asked = input.at.iter().map(asked).collect::<Result<_, Error>>()?;
        Ok(Self { source, target, asked, causal })
    }

    /// What a network without a source would be asked.
    pub(super) fn target(&self) -> DenoiserInput<'_> {
        let attention = if self.causal { Attention::Causal } else { Attention::Full };
        self.target.input().with_attention(attention)
    }
}

/// The positions of a row that are no padding.
fn tokens(input: &DenoiserInput<'_>, row: usize) -> impl Iterator<Item = usize> {
    let len = input.shape[1];
    (0..len).filter(move |at| !input.pad.is_some_and(|pad| pad[row * len + at]))
}

/// The first position behind a row's source.
fn source_end(input: &DenoiserInput<'_>, row: usize, eos: TokenId) -> Option<usize> {
    let len = input.shape[1];
    match input.attention {
        Attention::Prefix(prefixes) => Some(prefixes[row]),
        _ => input.ids[row * len..][..len].iter().position(|&id| id == eos).map(|last| last + 1),
    }
}
