/// Perplexity: exp of the negative log-likelihood per token; `None` without a token.
///
/// ```text
/// exp(nats / tokens)
/// ```
/// Of a bound on the likelihood, as a diffusion model gives, this is a bound on the perplexity: call it so.
/// Per word or per character if those are counted instead of the tokens.
///
/// # Example
/// ```
/// use dlm_train::metrics::perplexity;
/// let guessing_among_8 = 3.0 * 8.0_f64.ln();
/// assert!((perplexity(guessing_among_8, 3).expect("tokens") - 8.0).abs() < 1e-9);
/// assert_eq!(perplexity(1.0, 0), None);
/// ```
pub fn perplexity(nats: f64, tokens: usize) -> Option<f64> {
    (tokens > 0).then(|| (nats / tokens as f64).exp())
}
