//! The same state with another serial, and every other byte as it was.
//!
//! Terraform loses what it does not know when it writes a state again; a restore must not. So the number is replaced in
//! the text, and nothing is written anew.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Unreadable;

#[derive(Deserialize)]
struct Numbered<'a> {
    #[serde(borrow)]
    serial: Option<&'a RawValue>,
}

/// Returns `bytes` with the state's serial replaced.
///
/// # Errors
/// The state has no serial that could be replaced.
pub fn with_serial(mut bytes: Vec<u8>, serial: u64) -> Result<Vec<u8>, Unreadable> {
    let place = place(&bytes)?;
    bytes.splice(place, serial.to_string().into_bytes());
    Ok(bytes)
}

/// Returns whether two states are the same but for their serials, byte for byte.
pub fn differ_in_serial_alone(one: &[u8], other: &[u8]) -> bool {
    let around = |bytes| {
        let Range { start, end } = place(bytes).ok()?;
        Some((bytes.get(..start)?, bytes.get(end..)?))
    };
    around(one).is_some_and(|one| Some(one) == around(other))
}

/// Returns where in a state its serial stands.
fn place(bytes: &[u8]) -> Result<Range<usize>, Unreadable> {
    let numbered: Numbered<'_> =
        serde_json::from_slice(bytes).map_err(|error| super::unreadable(&error, bytes))?;
    let found = numbered.serial.ok_or(Unreadable::WrongShape("serial"))?.get();
    // What was found points into the bytes: the distance is its place.
    let start = found.as_ptr().addr() - bytes.as_ptr().addr();
    Ok(start..start + found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_but_the_serial_stays() {
        for (before, after) in [
            (
                "{ \"serial\" : 7 ,\n\"x\": {\"serial\": 1}}\n",
                "{ \"serial\" : 1234 ,\n\"x\": {\"serial\": 1}}\n",
            ),
            (
                "{\"a\":\"\\u003cserial\\\":9\",\"serial\":99999}",
                "{\"a\":\"\\u003cserial\\\":9\",\"serial\":1234}",
            ),
            ("{\"z\":[{\"serial\":5}],\"serial\":0}", "{\"z\":[{\"serial\":5}],\"serial\":1234}"),
        ] {
            let rewritten = with_serial(before.as_bytes().to_vec(), 1234).unwrap();
            assert_eq!(String::from_utf8(rewritten).unwrap(), after);
        }
    }

    #[test]
    fn only_the_serial_may_differ() {
        let one = b"{\"serial\": 7, \"a\": 1}";
        assert!(differ_in_serial_alone(one, b"{\"serial\": 123, \"a\": 1}"));
        assert!(differ_in_serial_alone(one, one));
        assert!(!differ_in_serial_alone(one, b"{\"serial\": 7, \"a\": 2}"));
        assert!(!differ_in_serial_alone(b"{}", b"{}"));
    }

    #[test]
    fn a_state_without_a_serial_is_refused() {
        assert_eq!(with_serial(b"{\"version\":4}".to_vec(), 1), Err(Unreadable::WrongShape("serial")));
    }
}
