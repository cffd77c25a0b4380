//! How many objects are asked for at once. The API server can only be told a number; it holds the whole page,
//! and its request ends after a minute.

/// Objects of the first page, of which nothing is known: 30 MB where each is as large as it can be.
const INITIAL_OBJECTS: usize = 20;
/// What a page is to have, in bytes.
const TARGET_BYTES: usize = 4 << 20;
/// Fewest objects of a page.
const MIN_OBJECTS: usize = 4;
/// Most objects of a page.
const MAX_OBJECTS: usize = 500;
/// How much more the next page may have than this one: the objects that come may be larger.
const MAX_GROWTH: usize = 5;

/// Objects to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(INITIAL_OBJECTS)
    }
}

impl PageSize {
    /// As the parameter `limit` of a list.
    pub(super) fn limit(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// Of the next page, after one with so many objects and bytes.
    pub(super) fn after(self, objects: usize, bytes: usize) -> Self {
        let each = bytes.checked_div(objects).unwrap_or_default().max(1);
        let most = self.0.saturating_mul(MAX_GROWTH).min(MAX_OBJECTS);
        Self((TARGET_BYTES / each).clamp(MIN_OBJECTS, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(page: usize, objects: usize, each: usize) -> usize {
        PageSize(page).after(objects, objects * each).0
    }

    #[test]
    fn pages_follow_the_size_of_what_they_had() {
        assert_eq!(PageSize::default().limit(), 20);
        // Small ones: more and more, up to a bound.
        assert_eq!((after(20, 20, 1_000), after(100, 100, 1_000)), (100, 500));
        assert_eq!(after(500, 500, 1_000), 500);
        // Large ones: few.
        assert_eq!((after(20, 20, 1_400_000), after(500, 500, 1_400_000)), (4, 4));
        assert_eq!(after(20, 20, 100_000), 41);
        // And back.
        assert_eq!(after(4, 4, 1_000), 20);
        // A page may be empty.
        assert_eq!(after(20, 0, 0), 100);
    }
}
