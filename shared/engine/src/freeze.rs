//! Freezes: when deployments may not start, and when they may again.
//!
//! Calendars change: a later version may know other time zones. So only whoever decides to start
//! looks here; what was decided is judged by the log alone (see `PlanEvent::Started`).

use std::str::FromStr as _;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use slipway_domain::{
    manifest::Freeze,
    name::{EnvironmentName, FreezeName, ProjectName},
};

/// Windows that are looked at before it counts as never open.
const FAR: usize = 1_000;

/// Freezes, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Calendar(Vec<(Freeze, Windows)>);

/// A freeze that keeps a deployment from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub freeze: FreezeName,
    /// When nothing freezes the deployment any more; none if that is not in sight.
    pub until: Option<DateTime<Utc>>,
}

/// What a freeze can be about: where what goes, and the freezes that this deployment ignores.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What.
    pub project: &'a ProjectName,
    /// Where.
    pub environment: &'a EnvironmentName,
    /// Freezes that do not count.
    pub ignored: &'a [FreezeName],
}

/// The times of a freeze.
#[derive(Debug, Clone)]
enum Windows {
    Once {
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    },
    Again {
        schedule: Box<Cron>,
        duration: TimeDelta,
        zone: Tz,
    },
    /// Another version wrote what this one can not read: what is not understood stays closed.
    Unreadable,
}

/// What is wrong with the times of a freeze.
pub fn problems(freeze: &Freeze) -> Vec<String> {
    windows(freeze).err().unwrap_or_default()
}

fn windows(freeze: &Freeze) -> Result<Windows, Vec<String>> {
    let once = "a freeze has either `from` and `until`, or `schedule`, `duration` and `timezone`";
    match (freeze.from, freeze.until, &freeze.schedule, freeze.duration, &freeze.timezone) {
        (Some(from), Some(until), None, None, None) if from < until => Ok(Windows::Once { from, until }),
        (Some(from), Some(until), None, None, None) => {
            Err(vec![format!("`until` ({until}) is not after `from` ({from}): nothing would be frozen")])
        }
        (None, None, Some(schedule), Some(duration), Some(timezone)) => {
            let cron = Cron::from_str(schedule).map_err(|error| {
                format!("`schedule: {schedule}`: {error}; write minute, hour, day of month, month and day of week")
            });
            let zone = Tz::from_str(timezone).map_err(|_| {
                format!(
                    "`timezone: {timezone}` is not known: write a name of the IANA data base, such as Europe/Berlin"
                )
            });
            let duration = TimeDelta::from_std(duration.0).ok().filter(|duration| *duration >= TimeDelta::minutes(1));
            let duration =
                duration.ok_or_else(|| "`duration` is the length of each window: write 1m or more".to_owned());
            match (cron, zone, duration) {
                (Ok(cron), Ok(zone), Ok(duration)) => Ok(Windows::Again { schedule: Box::new(cron), duration, zone }),
                (cron, zone, duration) => Err([cron.err(), zone.err(), duration.err()].into_iter().flatten().collect()),
            }
        }
        _ => Err(vec![once.to_owned()]),
    }
}

impl Windows {
    /// The end of the window that a time lies in.
    fn end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { from, until } => (*from <= at && at < *until).then_some(*until),
            Self::Again { duration, .. } => {
                let begin = self.next(at - *duration)?;
                (begin <= at).then(|| begin + *duration)
            }
            Self::Unreadable => Some(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// The first window that begins after a time.
    fn next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once { from, .. } => (*from > at).then_some(*from),
            Self::Again { schedule, zone, .. } => {
                let next = schedule.find_next_occurrence(&at.with_timezone(zone), false).ok()?;
                Some(next.with_timezone(&Utc))
            }
            Self::Unreadable => None,
        }
    }
}

impl Calendar {
    /// The calendar of these freezes.
    pub fn new(freezes: &[Freeze]) -> Self {
        let read = |freeze: &Freeze| windows(freeze).unwrap_or(Windows::Unreadable);
        Self(freezes.iter().map(|freeze| (freeze.clone(), read(freeze))).collect())
    }

    /// Whether there is no freeze at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The freeze that keeps a deployment from starting at a time. One that denies wins over those that allow.
    pub fn holds(&self, place: Place<'_>, at: DateTime<Utc>) -> Option<&FreezeName> {
        let denies = self.about(place).find(|(freeze, windows)| !freeze.allow && windows.end(at).is_some());
        let closed = || {
            let allows = || self.about(place).filter(|(freeze, _)| freeze.allow);
            let open = allows().any(|(_, windows)| windows.end(at).is_some());
            // What opens first is what people wait for.
            let first = || allows().min_by_key(|(_, windows)| windows.next(at).unwrap_or(DateTime::<Utc>::MAX_UTC));
            if open { None } else { first() }
        };
        denies.or_else(closed).map(|(freeze, _)| &freeze.name)
    }

    /// The same, with the time at which nothing freezes the deployment any more.
    pub fn hold(&self, place: Place<'_>, at: DateTime<Utc>) -> Option<Hold> {
        let freeze = self.holds(place, at)?.clone();
        Some(Hold { freeze, until: self.opens(place, at) })
    }

    fn opens(&self, place: Place<'_>, mut at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let allows = || self.about(place).filter(|(freeze, _)| freeze.allow).map(|(_, windows)| windows);
        for _ in 0..FAR {
            let denies = self.about(place).filter(|(freeze, _)| !freeze.allow);
            if let Some(end) = denies.filter_map(|(_, windows)| windows.end(at)).max() {
                at = Some(end).filter(|end| *end < DateTime::<Utc>::MAX_UTC)?;
            } else if allows().next().is_none() || allows().any(|windows| windows.end(at).is_some()) {
                return Some(at);
            } else {
                at = allows().filter_map(|windows| windows.next(at)).min()?;
            }
        }
        None
    }

    fn about(&self, place: Place<'_>) -> impl Iterator<Item = &(Freeze, Windows)> {
        self.0.iter().filter(move |(freeze, _)| {
            freeze.is_about(place.project, place.environment) && !place.ignored.contains(&freeze.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(text: &str) -> Freeze {
        let name = text.split(' ').next().unwrap();
        let text = text.split_once(' ').unwrap().1;
        let manifest = slipway_domain::manifest::parse::parse(None, &format!("kind: Freeze\nname: {name}\n{text}\n"));
        let slipway_domain::manifest::Manifest::Freeze(freeze) = manifest.unwrap().remove(0) else { panic!("{text}") };
        *freeze
    }

    const NIGHT: &str = "night schedule: '0 22 * * *'\nduration: 8h\ntimezone: Europe/Berlin";
    const OFFICE: &str = "office allow: true\nschedule: '0 9 * * 1-5'\nduration: 8h\ntimezone: Europe/Berlin";
    const CHRISTMAS: &str = "christmas from: 2026-12-23T00:00:00+01:00\nuntil: 2026-12-27T00:00:00+01:00";

    /// What holds at a time, as `freeze until time`.
    #[track_caller]
    fn check(freezes: &[&str], at: &str, ignored: &[&str], expected: &str) {
        let freezes: Vec<_> = freezes.iter().map(|text| freeze(text)).collect();
        let ignored: Vec<FreezeName> = ignored.iter().map(|name| name.parse().unwrap()).collect();
        let (project, environment) = ("shop".parse().unwrap(), "production".parse().unwrap());
        let place = Place { project: &project, environment: &environment, ignored: &ignored };
        let hold = Calendar::new(&freezes).hold(place, at.parse().unwrap());
        let until = |hold: Hold| hold.until.map_or("ever".to_owned(), |at| at.to_rfc3339());
        let told = hold.map_or("free".to_owned(), |hold| format!("{} until {}", hold.freeze.clone(), until(hold)));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_span_holds_from_its_beginning_up_to_its_end() {
        check(&[CHRISTMAS], "2026-12-22T22:59:59Z", &[], "free");
        check(&[CHRISTMAS], "2026-12-22T23:00:00Z", &[], "christmas until 2026-12-26T23:00:00+00:00");
        check(&[CHRISTMAS], "2026-12-26T22:59:59Z", &[], "christmas until 2026-12-26T23:00:00+00:00");
        check(&[CHRISTMAS], "2026-12-26T23:00:00Z", &[], "free");
    }

    #[test]
    fn a_window_comes_again_by_the_clock_of_its_zone_in_summer_and_winter() {
        check(&[NIGHT], "2026-01-10T20:59:59Z", &[], "free");
        check(&[NIGHT], "2026-01-10T21:00:00Z", &[], "night until 2026-01-11T05:00:00+00:00");
        check(&[NIGHT], "2026-07-10T20:00:00Z", &[], "night until 2026-07-11T04:00:00+00:00");
        check(&[NIGHT], "2026-07-11T04:00:00Z", &[], "free");
    }

    #[test]
    fn windows_that_allow_freeze_everything_between_them() {
        // A Saturday; the next window opens on Monday.
        check(&[OFFICE], "2026-01-10T12:00:00Z", &[], "office until 2026-01-12T08:00:00+00:00");
        check(&[OFFICE], "2026-01-12T12:00:00Z", &[], "free");
        let over = "over allow: true\nfrom: 2020-01-01T00:00:00Z\nuntil: 2020-01-02T00:00:00Z";
        check(&[over], "2026-01-12T12:00:00Z", &[], "over until ever");
        check(&[over, OFFICE], "2026-01-10T12:00:00Z", &[], "office until 2026-01-12T08:00:00+00:00");
    }

    #[test]
    fn what_denies_wins_and_it_opens_when_nothing_holds_any_more() {
        // Wednesday 23 December to Saturday; open again on Monday the 28th.
        check(&[OFFICE, CHRISTMAS], "2026-12-23T10:00:00Z", &[], "christmas until 2026-12-28T08:00:00+00:00");
        let day = "day schedule: '0 6 * * *'\nduration: 16h\ntimezone: UTC";
        let night = "night schedule: '0 22 * * *'\nduration: 8h\ntimezone: UTC";
        check(&[night, day], "2026-01-10T22:00:00Z", &[], "night until ever");
        // In the night in which the clock is set back, eight hours end at five.
        let day = "day schedule: '0 6 * * *'\nduration: 16h\ntimezone: Europe/Berlin";
        check(&[NIGHT, day], "2026-10-24T20:00:00Z", &[], "night until 2026-10-25T04:00:00+00:00");
    }

    #[test]
    fn a_freeze_is_about_the_projects_and_environments_that_it_names_unless_it_is_ignored() {
        for (scope, expected) in [
            ("environments: [production]", "f until 2030-01-01T00:00:00+00:00"),
            ("environments: [staging]", "free"),
            ("projects: [shop, till]", "f until 2030-01-01T00:00:00+00:00"),
            ("projects: [till]", "free"),
            ("projects: [shop]\nenvironments: [staging]", "free"),
        ] {
            let text = format!("f {scope}\nfrom: 2026-01-01T00:00:00Z\nuntil: 2030-01-01T00:00:00Z");
            check(&[&text], "2026-01-10T12:00:00Z", &[], expected);
            check(&[&text], "2026-01-10T12:00:00Z", &["f"], "free");
        }
        check(&[NIGHT, CHRISTMAS], "2026-12-23T22:00:00Z", &["christmas"], "night until 2026-12-24T05:00:00+00:00");
    }

    #[test]
    fn times_that_make_no_sense_are_all_told() {
        let problems = |text| problems(&freeze(text)).join(" | ");
        assert!(problems("f allow: true").contains("either `from` and `until`, or `schedule`"));
        assert!(problems("f from: 2026-01-01T00:00:00Z").contains("either `from` and `until`, or `schedule`"));
        let backwards = "f from: 2026-01-02T00:00:00Z\nuntil: 2026-01-01T00:00:00Z";
        assert!(problems(backwards).contains("is not after `from`"));
        let found = problems("f schedule: '61 * * * *'\nduration: 1s\ntimezone: Europe/Berlim");
        assert!(
            ["schedule: 61", "Europe/Berlim` is not known", "write 1m or more"].iter().all(|part| found.contains(part)),
            "{found}"
        );
        assert_eq!(problems(NIGHT), "");
    }
}
