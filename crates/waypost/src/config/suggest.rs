//! "Did you mean …?": the known word nearest to an unknown one.

/// The candidate that `word` was probably meant to be, or none when nothing is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the word may be wrong: a slip or two, not another word.
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// ` (did you mean …?)`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |known| format!(" (did you mean `{known}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised() {
        assert_eq!(nearest("lisen", ["limits", "listen"]), Some("listen"));
        assert_eq!(nearest("blance", ["url", "balance"]), Some("balance"));
        assert_eq!(did_you_mean("uri", ["url"]), " (did you mean `url`?)");
    }

    #[test]
    fn another_word_is_not() {
        assert_eq!(nearest("colour", ["url", "balance"]), None);
        assert_eq!(did_you_mean("x", ["balance"]), "");
    }
}
