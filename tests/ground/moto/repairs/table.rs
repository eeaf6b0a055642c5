//! Tables: what is said of one that is not there.

use super::Repaired;
use crate::ground::http::{Answer, Request};
use crate::ground::proxy::{Dialect, error};

impl Repaired {
    /// Describes a table's time to live. The emulator has a code of its own for a missing table.
    pub(super) async fn describe_time_to_live(&self, request: &Request) -> Answer {
        let answer = self.upstream.send(request).await;
        if !answer.text().contains("\"ResourceNotFound\"") {
            return answer;
        }
        error(Dialect::Json, 400, "ResourceNotFoundException", "Requested resource not found")
    }
}
