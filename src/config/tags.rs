//! Tags: what S3, DynamoDB, KMS and IAM all take, and what leaves room for our own.

use std::collections::BTreeMap;

use super::mistake::{Findings, Rule, quoted};
use super::reader::Written;
use super::resolve::unique;

/// How many tags AWS takes on a resource.
const MOST_TAGS: usize = 50;

/// Our own: `underpin:project`, `underpin:backend`, `underpin:protected`, `underpin:sandbox`, `underpin:expires-at`.
const OUR_TAGS: usize = 5;

/// Beside letters, digits and spaces, what every service takes.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules>
const PUNCTUATION: &str = "_.:/=+-@";

/// Resolves the tags.
pub(super) fn resolve(
    tags: &[(Written<String>, Written<String>)],
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    unique("tag", tags.iter().map(|(key, _)| key), findings);
    for (key, value) in tags {
        check(key, "tag key", 1..=128, findings);
        check(value, "tag value", 0..=256, findings);
        if key.value.to_lowercase().starts_with("underpin:") {
            let what = format!("the tag key {} begins with `underpin:`", quoted(&key.value));
            let hint = "These tags say what belongs to us, and are set by underpin alone.".to_owned();
            findings.mistake(Rule::Tag, &key.span, what, hint);
        }
    }
    let most = MOST_TAGS - OUR_TAGS;
    if let Some((key, _)) = tags.get(most) {
        let what = format!("there are {} tags, and {most} fit", tags.len());
        let hint = format!("A resource takes {MOST_TAGS} tags; {OUR_TAGS} are for underpin's own.");
        findings.mistake(Rule::TagCount, &key.span, what, hint);
    }
    tags.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect()
}

fn check(
    text: &Written<String>,
    role: &str,
    lengths: std::ops::RangeInclusive<usize>,
    findings: &mut Findings,
) {
    let Written { value, span } = text;
    // S3 counts in UTF-16. https://docs.aws.amazon.com/AmazonS3/latest/userguide/tagging-managing.html
    let length = value.encode_utf16().count();
    let fault = if !lengths.contains(&length) {
        format!("has {length} characters; it can have {} to {}", lengths.start(), lengths.end())
    } else if let Some(character) = value.chars().find(|character| !is_allowed(*character)) {
        format!("has a `{}`", character.escape_debug())
    } else if value.to_lowercase().starts_with("aws:") {
        "begins with `aws:`, which AWS keeps for itself".to_owned()
    } else {
        return;
    };
    let hint = fault
        .starts_with("has a `")
        .then(|| format!("Letters, digits, spaces and `{PUNCTUATION}` are allowed."));
    findings.mistake(Rule::Tag, span, format!("the {role} {} {fault}", quoted(value)), hint);
}

fn is_allowed(character: char) -> bool {
    character.is_alphanumeric()
        || PUNCTUATION.contains(character)
        || (character.is_whitespace() && !character.is_control())
}
