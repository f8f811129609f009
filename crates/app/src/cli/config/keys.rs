//! A key that nobody knows, and the one that was probably meant.

/// The known key that is most like `key`, if one is much like it.
pub(crate) fn nearest<'k>(key: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 || candidate.starts_with(key) || key.starts_with(*candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The words for an unknown key of a table.
pub(crate) fn unknown<'k>(path: &str, key: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    let place = if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") };
    match nearest(key, known.clone()) {
        Some(meant) => format!("there is no key `{key}` {place}; did you mean `{meant}`?"),
        None => {
            let all: Vec<String> = known.into_iter().map(|key| format!("`{key}`")).collect();
            format!("there is no key `{key}` {place}; there are {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named_and_a_far_one_is_not() {
        let known = ["name", "version", "types", "streams", "batch_deadline"];
        assert_eq!(nearest("nmae", known), Some("name"));
        assert_eq!(nearest("type", known), Some("types"));
        assert_eq!(nearest("batch_dead_line", known), Some("batch_deadline"));
        assert_eq!(nearest("batch", known), Some("batch_deadline"));
        assert_eq!(nearest("colour", known), None);
        assert!(unknown("projection", "colour", known).contains("`streams`"));
    }
}
