//! Which row of the position table belongs to which token.

use dlm_core::DenoiserInput;

/// Position ids, `[B, L]`: each document of each row counts its tokens from `first`, whichever side padding is
/// on, unless the input says where its tokens stand. Padding itself gets `first`.
pub(crate) fn ids(input: &DenoiserInput<'_>, first: usize) -> Vec<i32> {
    if let Some(positions) = input.positions {
        return positions.iter().map(|&position| (first + position) as i32).collect();
    }
    let [_, len] = input.shape;
    let mut next = 0;
    (0..input.ids.len())
        .map(|flat| {
            let other = |documents: &[u32]| documents[flat] != documents[flat - 1];
            if flat % len == 0 || input.documents.is_some_and(other) {
                next = first as i32;
            }
            if input.pad.is_some_and(|pad| pad[flat]) {
                return first as i32;
            }
            next += 1;
            next - 1
        })
        .collect()
}
