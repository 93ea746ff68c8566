//! Makes a failing list as short as it gets: leaves out ever smaller pieces as long as it still fails.

/// What remains of a list so that `fails` still holds; nothing of it can be left out alone.
pub fn shrink<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let (mut from, before) = (0, items.len());
        while from < items.len() {
            let mut fewer = items.clone();
            fewer.drain(from..(from + size).min(items.len()));
            if fails(&fewer) {
                items = fewer;
            } else {
                from += size;
            }
        }
        // Single items are tried again until none can go.
        if size > 1 || items.len() == before {
            size /= 2;
        }
    }
    items
}

#[test]
fn a_failing_list_shrinks_to_what_it_fails_of() {
    let fails = |items: &[u32]| items.contains(&17) && items.contains(&80) && items.iter().any(|i| *i > 90);
    assert_eq!(shrink((0..100).collect(), fails), [17, 80, 99]);
    assert_eq!(shrink(vec![1, 2, 3], |_| true), Vec::<i32>::new());
}
