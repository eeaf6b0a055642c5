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
}

impl Beginning {
    /// Reads the beginning of a state's text.
    fn parse(text: &str) -> Self {
        let text = text.split_once(CONTENTS).map_or(text, |(beginning, _)| beginning);
        let value = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\""))?;
            let mut values =
                serde_json::Deserializer::from_str(rest.trim_start().strip_prefix(':')?).into_iter();
            values.next()?.ok()
        };
        let version = value("terraform_version");
        Self {
            terraform_version: version.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
            serial: value("serial").and_then(|serial| serial.as_u64()),
        }
    }
}

impl Objects {
    /// Reads who wrote a state.
    pub async fn beginning(&self, state: &StateKey, written: Written) -> Result<Option<Beginning>, AwsError> {
        let text = self.read_beginning(state.as_str(), written.size).await?;
        Ok(text.map(|text| Beginning::parse(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_read_whether_the_rest_is_there_or_not() {
        let state = "{\n  \"version\": 4,\n  \"terraform_version\": \"1.11.4\",\n  \"serial\": 12,\n  \"lineage\": \"x\",\n  \"outputs\": {\"serial\": {\"val";
        let expected = Beginning { terraform_version: Some("1.11.4".to_owned()), serial: Some(12) };
        assert_eq!(Beginning::parse(state), expected);

        let encrypted = "{\"serial\":3,\"lineage\":\"x\",\"meta\":{},\"encrypted_data\":\"terra";
        assert_eq!(Beginning::parse(encrypted), Beginning { terraform_version: None, serial: Some(3) });

        for nothing in ["", "{", "{\"serial\":", "{\"outputs\":{\"serial\":1}}", "\u{fffd}"] {
            assert_eq!(Beginning::parse(nothing), Beginning::default(), "{nothing}");
        }
    }
}
