//! Token sequences on the host: special tokens, rows, padded batches.

use crate::error::{Error, same_length};

/// An index into a vocabulary.
pub type TokenId = u32;

/// The size of a vocabulary and the ids of its special tokens.
///
/// For BERT the first and last tokens are `[CLS]` and `[SEP]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vocabulary {
    /// Number of words, V.
    pub size: usize,
    /// First token of a sequence.
    pub bos: TokenId,
    /// Fills the short rows of a batch.
    pub pad: TokenId,
    /// Last token of a sequence.
    pub eos: TokenId,
    /// The absorbing state.
    pub mask: TokenId,
}

impl Vocabulary {
    /// # Errors
    /// [`Error::UnknownSpecial`] if an id is not below `size`.
    pub fn new(size: usize, bos: TokenId, pad: TokenId, eos: TokenId, mask: TokenId) -> Result<Self, Error> {
        for (name, id) in [("bos", bos), ("pad", pad), ("eos", eos), ("mask", mask)] {
            if id as usize >= size {
                return Err(Error::UnknownSpecial { name, id, size });
            }
        }
        Ok(Self { size, bos, pad, eos, mask })
    }

    /// Whether `id` is one of the four special tokens.
    pub fn is_special(&self, id: TokenId) -> bool {
        [self.bos, self.pad, self.eos, self.mask].contains(&id)
    }
}

/// One row: its tokens, which of them may become noise, and the key of its random draws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    ids: Vec<TokenId>,
    maskable: Vec<bool>,
    key: Option<u64>,
}

impl Sequence {
    /// # Errors
    /// [`Error::Length`] unless there is one flag for each token.
    pub fn new(ids: Vec<TokenId>, maskable: Vec<bool>) -> Result<Self, Error> {
        same_length("maskable flags of a sequence", ids.len(), maskable.len())?;
        Ok(Self { ids, maskable, key: None })
    }

    /// A sequence without context: every token may become noise.
    pub fn whole(ids: Vec<TokenId>) -> Self {
        let maskable = vec![true; ids.len()];
        Self { ids, maskable, key: None }
    }

    /// `BOS prompt response EOS`: the paper's format. The response and the final EOS may become noise,
    /// BOS and the prompt never.
    ///
    /// # Example
    /// ```
    /// use dlm_core::sequence::{Sequence, Vocabulary};
    /// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
    /// let row = Sequence::prompt_response(&[5, 6], &[7], &vocabulary);
    /// assert_eq!(row.ids(), [0, 5, 6, 7, 2]);
    /// assert_eq!(row.maskable(), [false, false, false, true, true]);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn prompt_response(prompt: &[TokenId], response: &[TokenId], vocabulary: &Vocabulary) -> Self {
        let mut ids = Vec::with_capacity(prompt.len() + response.len() + 2);
        ids.push(vocabulary.bos);
        ids.extend_from_slice(prompt);
        let context = ids.len();
        ids.extend_from_slice(response);
        ids.push(vocabulary.eos);
        let maskable = (0..ids.len()).map(|position| position >= context).collect();
        Self { ids, maskable, key: None }
    }

    /// The sequence whose tokens of some kind must stay, such as special words: RDM's models of noise that is
    /// words never noise BOS, EOS or padding.
    ///
    /// # Example
    /// ```
    /// use dlm_core::sequence::{Sequence, Vocabulary};
    /// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
    /// let row = Sequence::prompt_response(&[5], &[7], &vocabulary).fixing(|id| vocabulary.is_special(id));
    /// assert_eq!(row.maskable(), [false, false, true, false]);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    #[must_use]
    pub fn fixing(mut self, stays: impl Fn(TokenId) -> bool) -> Self {
        for (maskable, &id) in self.maskable.iter_mut().zip(&self.ids) {
            *maskable = *maskable && !stays(id);
        }
        self
    }

    /// Names the row's random draws, for instance by its index in the data set, so that they do not
    /// depend on the batch it lands in. Without a key the row's place in the batch is used.
    #[must_use]
    pub fn with_key(self, key: u64) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The key of the row's random draws, if it was given one.
    pub fn key(&self) -> Option<u64> {
        self.key
    }

    /// The tokens.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    /// Which tokens may become noise.
    pub fn maskable(&self) -> &[bool] {
        &self.maskable
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// B rows, padded on the right to a common length L. Row-major host data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    ids: Vec<TokenId>,
    maskable: Vec<bool>,
    pad: Vec<bool>,
    keys: Vec<u64>,
    documents: Option<Vec<u32>>,
    shape: [usize; 2],
}

impl Batch {
    /// Pads `rows` to the longest of them.
    ///
    /// # Errors
    /// [`Error::Empty`] without a row or if every row is empty; [`Error::UnknownToken`] for an id
    /// outside the vocabulary.
    pub fn new(rows: &[Sequence], vocabulary: &Vocabulary) -> Result<Self, Error> {
        let len = rows.iter().map(Sequence::len).max().unwrap_or(0);
        if len == 0 {
            return Err(Error::Empty { what: "the batch" });
        }
        let mut batch = Self {
            ids: vec![vocabulary.pad; rows.len() * len],
            maskable: vec![false; rows.len() * len],
            pad: vec![true; rows.len() * len],
            keys: Vec::with_capacity(rows.len()),
            documents: None,
            shape: [rows.len(), len],
        };
        for (row, sequence) in rows.iter().enumerate() {
            check_ids(row, &sequence.ids, vocabulary.size)?;
            let span = row * len..row * len + sequence.len();
            batch.ids[span.clone()].copy_from_slice(&sequence.ids);
            batch.maskable[span.clone()].copy_from_slice(&sequence.maskable);
            batch.pad[span].fill(false);
            batch.keys.push(sequence.key.unwrap_or(row as u64));
        }
        Ok(batch)
    }

    /// Rows of several documents laid end to end, padded to the longest row. The documents of a row do not
    /// see each other, but share a time and the row's draws, whose key is the first document's.
    ///
    /// # Errors
    /// As [`Batch::new`]; the position in [`Error::UnknownToken`] is that in the row.
    ///
    /// # Example
    /// ```
    /// use dlm_core::{Batch, Sequence, Vocabulary};
    /// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
    /// let [a, b, c] = [vec![3, 4], vec![5], vec![6]].map(Sequence::whole);
    /// let batch = Batch::packed(&[vec![a, b], vec![c]], &vocabulary)?;
    /// assert_eq!(batch.ids(), [3, 4, 5, 6, 1, 1]);
    /// assert_eq!(batch.documents(), Some([0, 0, 1, 0, 0, 0].as_slice()));
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn packed(rows: &[Vec<Sequence>], vocabulary: &Vocabulary) -> Result<Self, Error> {
        let join = |documents: &Vec<Sequence>| Sequence {
            ids: documents.iter().flat_map(|document| document.ids.iter().copied()).collect(),
            maskable: documents.iter().flat_map(|document| document.maskable.iter().copied()).collect(),
            key: documents.first().and_then(|document| document.key),
        };
        let batch = Self::new(&rows.iter().map(join).collect::<Vec<_>>(), vocabulary)?;
        let mut documents = vec![0; batch.ids.len()];
        for (row, numbers) in rows.iter().zip(documents.chunks_exact_mut(batch.len())) {
            let mut rest = numbers;
            for (number, document) in row.iter().enumerate() {
                let (own, after) = rest.split_at_mut(document.len());
                own.fill(number as u32);
                rest = after;
            }
        }
        Ok(Self { documents: Some(documents), ..batch })
    }

    /// Number of rows, B.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Padded length, L.
    pub fn len(&self) -> usize {
        self.shape[1]
    }

    /// Never true: an empty batch cannot be made.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The tokens, `[B, L]`.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }

    /// Which tokens may become noise, `[B, L]`; never a padding position.
    pub fn maskable(&self) -> &[bool] {
        &self.maskable
    }

    /// Which positions are padding, `[B, L]`.
    pub fn pad(&self) -> &[bool] {
        &self.pad
    }

    /// To which document of its row each position belongs, `[B, L]`, from 0; `None` if a row is one document.
    pub fn documents(&self) -> Option<&[u32]> {
        self.documents.as_deref()
    }

    /// The key of a row's random draws.
    pub fn key(&self, row: usize) -> u64 {
        self.keys[row]
    }
}

/// Fails on the first id that is not below `size`.
///
/// # Errors
/// [`Error::UnknownToken`], naming `row` and the position.
pub fn check_ids(row: usize, ids: &[TokenId], size: usize) -> Result<(), Error> {
    match ids.iter().position(|&id| id as usize >= size) {
        None => Ok(()),
        Some(position) => Err(Error::UnknownToken { row, position, id: ids[position], size }),
    }
}
