//! Names that were mistyped.

/// Longer names are not compared: nobody mistypes them, and comparing takes the product of the lengths.
const LONGEST: usize = 64;

/// The one of `known` that a typing error or two away from `name`, if one is near enough to be meant.
pub fn closest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(2);
    let near = known.into_iter().filter(|known| known.len() <= LONGEST).map(|known| {
        // Two letters that changed places, as in `gernate`, are one error, also with a third between them.
        (strsim::damerau_levenshtein(name, known), known)
    });
    let near = near.filter(|(distance, known)| *distance <= allowed && *distance < known.len());
    near.min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_told_from_one_that_means_something_else() {
        let known = ["generate", "read_file", "write_file"];
        assert_eq!(closest("gernate", known), Some("generate"));
        assert_eq!(closest("readfile", known), Some("read_file"));
        assert_eq!(closest("launch", known), None);
        assert_eq!(closest("ab", ["x", "y"]), None);
        assert_eq!(closest(&"x".repeat(1_000_000), known), None);
    }
}
