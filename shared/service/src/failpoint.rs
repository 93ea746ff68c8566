//! Places at which a test lets a process die as by `kill -9`, to see that nothing is lost there.
//!
//! Only builds with debug assertions look at the environment; in a release build nothing is left of it.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// Names the place, or with `NAME#3` the third time that somebody comes by it.
pub const VARIABLE: &str = "SLIPWAY_FAILPOINT";

static ARMED: OnceLock<Option<(String, u32)>> = OnceLock::new();
static PASSED: AtomicU32 = AtomicU32::new(0);

/// Dies at this place if a test asked for it.
#[macro_export]
macro_rules! failpoint {
    ($name:expr) => {
        if cfg!(debug_assertions) {
            $crate::failpoint::passed(AsRef::<str>::as_ref(&$name));
        }
    };
}

/// Somebody comes by. Use [`failpoint!`], of which a release build has nothing.
pub fn passed(name: &str) {
    let armed = ARMED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    if let Some((wanted, time)) = armed
        && wanted == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *time
    {
        eprintln!("failpoint {name}: dies here");
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<(String, u32)> {
    match text.split_once('#') {
        Some((name, time)) => Some((name.to_owned(), time.parse().ok()?)),
        None => Some((text.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_may_be_named_with_the_time_that_is_meant() {
        assert_eq!(parse("planner.ring.before"), Some(("planner.ring.before".to_owned(), 1)));
        assert_eq!(parse("planner.ring.before#3"), Some(("planner.ring.before".to_owned(), 3)));
        assert_eq!(parse("planner.ring.before#x"), None);
    }
}
