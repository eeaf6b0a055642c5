//! Keys: how often they rotate.

use serde_json::Value;

use super::Repaired;
use crate::ground::http::{Answer, Request};
use crate::ground::proxy::Name;

/// Days between rotations unless told otherwise.
const DEFAULT_DAYS: u64 = 365;

impl Repaired {
    /// Keeps the rotation period, which the emulator forgets.
    pub(super) async fn keep_rotation_period(&self, name: &Name, request: &Request) -> Answer {
        let mut answer = self.upstream.send(request).await;
        if !answer.status.is_success() {
            return answer;
        }
        let key = &name.resource;
        match name.operation.as_str() {
            "kms:EnableKeyRotation" => {
                let days = request.json()["RotationPeriodInDays"].as_u64().unwrap_or(DEFAULT_DAYS);
                self.held().rotation_days.insert(key.clone(), days);
            }
            "kms:DisableKeyRotation" => drop(self.held().rotation_days.remove(key)),
            _ => {
                let days = self.held().rotation_days.get(key).copied();
                let mut body: Value =
                    serde_json::from_slice(&answer.body).expect("the emulator answers JSON");
                if let (Some(days), true) = (days, body["KeyRotationEnabled"] == true) {
                    body["RotationPeriodInDays"] = days.into();
                    answer.body = body.to_string().into();
                }
            }
        }
        answer
    }
}
