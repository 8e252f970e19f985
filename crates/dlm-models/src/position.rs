//! Where tokens stand: which row of the position table belongs to which token, and which are asked about.

use burn::tensor::{Device, Int, Tensor, TensorData};
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

/// The tokens of a batch on the device, `[B, L]`.
pub(crate) fn words(input: &DenoiserInput<'_>, device: &Device) -> Tensor<2, Int> {
    upload(input.ids.iter().map(|&id| id as i32).collect(), input.shape, device)
}

/// Numbers on the device.
pub(crate) fn upload(numbers: Vec<i32>, shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

/// The positions that are asked about, `[N]`.
pub(crate) fn indices(at: &[usize], device: &Device) -> Tensor<1, Int> {
    let at: Vec<i32> = at.iter().map(|&at| at as i32).collect();
    let len = at.len();
    Tensor::from_data(TensorData::new(at, [len]), device)
}

/// The states at the asked positions, `[N, D]`, or all.
pub(crate) fn select(states: Tensor<2>, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
    match asked {
        None => states,
        Some(asked) => states.select(0, asked.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::ids;
    use dlm_core::DenoiserInput;

    #[test]
    fn places_are_counted_unless_they_are_said() {
        let (tokens, documents) = ([5; 4], [0, 0, 1, 1]);
        let input = DenoiserInput::new(&tokens, [1, 4], &[]);
        assert_eq!(ids(&input, 2), [2, 3, 4, 5]);
        assert_eq!(ids(&input.with_documents(&documents), 2), [2, 3, 2, 3]);
        assert_eq!(ids(&input.with_positions(&[0, 1, 0, 1]), 2), [2, 3, 2, 3]);
    }
}
