//! What stands at the beginning of a state: which version of Terraform wrote it, as its how manieth.
//!
//! A state may be hundreds of megabytes long, and every engine writes these fields before the outputs and resources.

use super::StateKey;
use super::objects::{Objects, Written};
use crate::aws::AwsError;

/// Where the contents of a state begin: nothing behind it is about the state itself.
const CONTENTS: &str = "\"outputs\"";

/// Who wrote a state, as far as the state says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The version of Terraform or OpenTofu; an encrypted state does not say it.
    pub terraform_version: Option<String>,
    /// Its number.
    pub serial: Option<u64>,
    /// What names it through all of its versions.
    pub lineage: Option<String>,
    /// The format that it is in; an encrypted state does not say it.
    pub format: Option<u64>,
}

impl Beginning {
    /// Reads the beginning of a state's text.
    fn parse(text: &str) -> Self {
        let text = text.split_once(CONTENTS).map_or(text, |(beginning, _)| beginning);
        let value = |name: &str| -> Option<serde_json::Value> {
            let (_, rest) = text.split_once(&format!("\"{name}\""))?;
            let mut values =
                serde_json::Deserializer::from_str(rest.trim_start().strip_prefix(':')?).into_iter();
            values.next()?.ok()
        };
        let number = |name| value(name).as_ref().and_then(serde_json::Value::as_u64);
        let string = |name| match value(name) {
            Some(serde_json::Value::String(text)) => Some(text),
            _ => None,
        };
        Self {
            terraform_version: string("terraform_version"),
            serial: number("serial"),
            lineage: string("lineage"),
            format: number("version"),
        }
    }
}

impl Objects {
    /// Reads who wrote a state.
    pub async fn beginning(&self, state: &StateKey, written: Written) -> Result<Option<Beginning>, AwsError> {
        self.beginning_of(state, None, written.size).await
    }

    /// Reads who wrote a version of a state, or the newest, that is `size` bytes long.
    pub(super) async fn beginning_of(
        &self,
        state: &StateKey,
        version: Option<&str>,
        size: u64,
    ) -> Result<Option<Beginning>, AwsError> {
        let text = self.read_beginning(state.as_str(), version, size).await?;
        Ok(text.map(|text| Beginning::parse(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_read_whether_the_rest_is_there_or_not() {
        let state = "{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": 12,\n  \"lineage\": \"x\",\n  \"outputs\": {\"serial\": {\"val";
        let expected = Beginning {
            terraform_version: Some("1.11.4".to_owned()),
            serial: Some(12),
            lineage: Some("x".to_owned()),
            format: Some(4),
        };
        assert_eq!(Beginning::parse(state), expected);

        let encrypted = "{\"serial\":3,\"lineage\":\"x\",\"meta\":{},\"encrypted_data\":\"terra";
        let expected = Beginning { serial: Some(3), lineage: Some("x".to_owned()), ..Beginning::default() };
        assert_eq!(Beginning::parse(encrypted), expected);

        for nothing in ["", "{", "{\"serial\":", "{\"outputs\":{\"serial\":1}}", "\u{fffd}"] {
            assert_eq!(Beginning::parse(nothing), Beginning::default(), "{nothing}");
        }
    }
}
