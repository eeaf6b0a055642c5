//! The root elements of S3's answers, which the emulator takes from another model than S3's own. Strict clients mind.

use crate::ground::http::Answer;

/// What the emulator says, and what S3 does.
const ROOTS: [(&str, &str); 4] = [
    ("GetBucketAccelerateConfigurationResponse", "AccelerateConfiguration"),
    ("GetBucketNotificationResponse", "NotificationConfiguration"),
    ("GetBucketVersioningResponse", "VersioningConfiguration"),
    ("ListPartsResponse", "ListPartsResult"),
];

/// Gives an answer the root that S3 gives it.
pub(super) fn rename(mut answer: Answer) -> Answer {
    if !answer.body.starts_with(b"<?xml") {
        return answer;
    }
    let text = answer.text();
    if let Some((wrong, right)) = ROOTS.iter().find(|(wrong, _)| text.contains(&format!("<{wrong} "))) {
        let opened = text.replace(&format!("<{wrong} "), &format!("<{right} "));
        answer.body = opened.replace(&format!("</{wrong}>"), &format!("</{right}>")).into();
    }
    answer
}
