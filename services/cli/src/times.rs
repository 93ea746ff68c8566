//! Points in time as people say them. The clock is read in [`now`] only.

use chrono::{DateTime, Utc};

/// The time now.
pub fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// `12s`, `3m 4s`, `2h 5m`, `3d 4h`: how much time is between two points; never negative.
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    span((to - from).num_seconds())
}

/// A number of seconds as people say it.
pub fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s}s"),
        60..3600 => two(s / 60, "m", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "m"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

fn two(big: i64, big_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit} {small}{small_unit}") }
}

/// `3m 4s ago`, or the date for what is long ago.
pub fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (now - then).num_seconds() {
        ..5 => "just now".to_owned(),
        s @ 5..2_592_000 => format!("{} ago", span(s)),
        _ => then.format("%Y-%m-%d").to_string(),
    }
}

/// `in 3h`, or that it is over.
pub fn until(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (then - now).num_seconds() {
        ..=0 => "over".to_owned(),
        s => format!("in {}", span(s)),
    }
}

/// The point in time itself, for wide tables: `2026-11-21 02:12:04Z`.
pub fn exact(then: DateTime<Utc>) -> String {
    then.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (seconds, text) in [
            (-3, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (184, "3m 4s"),
            (3600, "1h"),
            (7505, "2h 5m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn the_past_is_told_relative_until_it_is_long_ago() {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        for (then, text) in [
            ("2026-11-21T12:00:30Z", "just now"),
            ("2026-11-21T11:59:58Z", "just now"),
            ("2026-11-21T11:50:00Z", "10m ago"),
            ("2026-01-02T00:00:00Z", "2026-01-02"),
        ] {
            assert_eq!(ago(then.parse().unwrap(), now), text);
        }
        assert_eq!(until("2026-11-21T16:00:00Z".parse().unwrap(), now), "in 4h");
        assert_eq!(until("2026-11-21T11:00:00Z".parse().unwrap(), now), "over");
    }
}
