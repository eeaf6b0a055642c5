//! Moments as lock contents, object keys and reports spell them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// Reads a moment as RFC 3339 writes it, with any offset.
pub fn parse(text: &str) -> Option<SystemTime> {
    let moment = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    let fraction = Duration::from_nanos(u64::from(moment.subsec_nanos()));
    let whole = Duration::from_secs(moment.secs().unsigned_abs());
    let second =
        if moment.secs() < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second?.checked_add(fraction)
}

/// Writes a moment as Go's `RFC3339Nano` does: in UTC, to the nanosecond, without zeros at the end.
pub fn rfc3339(moment: SystemTime) -> String {
    let mut text = to_the_second(moment);
    let nanoseconds = DateTime::from(moment).subsec_nanos();
    if nanoseconds > 0 {
        let fraction = format!("{nanoseconds:09}");
        text.pop();
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
        text.push('Z');
    }
    text
}

/// Writes a moment to the second.
pub fn to_the_second(moment: SystemTime) -> String {
    let second = DateTime::from_secs(DateTime::from(moment).secs());
    // Only a year that RFC 3339 has no digits for can't be written.
    second.fmt(Format::DateTime).unwrap_or_else(|_| "9999-12-31T23:59:59Z".to_owned())
}

/// Writes a moment so that object keys sort by it: `20240229T235959.000000000Z`.
pub(super) fn sortable(moment: SystemTime) -> String {
    let second = to_the_second(moment).replace(['-', ':', 'Z'], "");
    format!("{second}.{:09}Z", DateTime::from(moment).subsec_nanos())
}

/// Returns how long ago `then` was; nothing where the clocks disagree.
pub fn since(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

/// Writes a time span as people say it, in its two largest units.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn moments_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "2024-02-29T23:59:59Z"),
            (100_000_000, "2024-02-29T23:59:59.1Z"),
            (120_000_000, "2024-02-29T23:59:59.12Z"),
            (123_456_000, "2024-02-29T23:59:59.123456Z"),
            (123_456_789, "2024-02-29T23:59:59.123456789Z"),
            (1, "2024-02-29T23:59:59.000000001Z"),
            (10, "2024-02-29T23:59:59.00000001Z"),
        ] {
            let moment = at(1_709_251_199, nanoseconds);
            assert_eq!(rfc3339(moment), text);
            assert_eq!(parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn an_offset_is_read_and_nonsense_is_not() {
        assert_eq!(parse("2024-03-01T00:59:59+01:00"), Some(at(1_709_251_199, 0)));
        assert!(parse("0001-01-01T00:00:00Z").is_some());
        for wrong in ["", "yesterday", "2024-02-30T00:00:00Z", "2024-02-29"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_sort_as_their_moments_do() {
        assert_eq!(sortable(at(1_709_251_199, 5)), "20240229T235959.000000005Z");
        assert!(sortable(at(1_709_251_199, 999_999_999)) < sortable(at(1_709_251_200, 0)));
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (176_400, "2 d 1 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
