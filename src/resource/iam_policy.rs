//! A customer managed IAM policy: what one level of access to one environment allows.
//!
//! It lies under the path `/underpin/PROJECT/BACKEND/`, which is how it is known as ours. Its document names the key,
//! so it is written once the key's ARN is known.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_iam::config::retry::RetryConfig;
use aws_sdk_iam::types::{EntityType, PolicyVersion, Tag};
use percent_encoding::percent_decode_str;
use tokio::sync::OnceCell;

use super::{
    Address, Difference, KNOWN_AFTER_APPLY, Known, Outputs, Owner, Resource, Step, StepLine, Tags,
    replaced_tags, tags_text,
};
use crate::aws::wait::{IAM_PROPAGATION, retry_while};
use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::KeyArn;
use crate::policy::{self, Document, InvalidDocument, Level, Scope};

/// How many versions of a policy IAM keeps; a further one is refused until one is deleted.
const MOST_VERSIONS: usize = 5;

/// The policy that one level of access to an environment wants.
#[derive(Debug, Clone)]
pub struct IamPolicy {
    /// Whose policy it is.
    pub owner: Owner,
    /// What it allows.
    pub level: Level,
    /// Where it allows it.
    pub scope: Scope,
    /// Its name, unique in the account.
    pub name: String,
}

/// What was read of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedPolicy {
    document: Document,
    /// The versions that are not in force, oldest first; read only where the document is not as desired.
    older_versions: Vec<String>,
    /// `None` where they were not read: the listing of all policies has no tags.
    tags: Option<Tags>,
}

/// One call that changes the policy.
#[derive(Debug, Clone)]
pub enum PolicyStep {
    /// Makes the policy.
    Create {
        /// The tags that ride on the call.
        tags: Tags,
        /// What it allows, in words.
        summary: String,
    },
    /// Deletes a version that is not in force, to make room.
    DeleteVersion {
        /// The version's id.
        version: String,
    },
    /// Makes a version and puts it in force.
    CreateVersion {
        /// The document now.
        from: Document,
        /// The document wanted; `None` while the key is not known.
        to: Option<Document>,
    },
    /// Adds or corrects tags.
    Tag {
        /// Their values now.
        from: Option<String>,
        /// The tags to put.
        tags: Tags,
    },
}

impl Step for PolicyStep {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "iam:CreatePolicy",
            Self::DeleteVersion { .. } => "iam:DeletePolicyVersion",
            Self::CreateVersion { .. } => "iam:CreatePolicyVersion",
            Self::Tag { .. } => "iam:TagPolicy",
        }
    }

    fn permissions(&self) -> Vec<&'static str> {
        match self {
            Self::Create { .. } => vec!["iam:CreatePolicy", "iam:TagPolicy"],
            other => vec![other.operation()],
        }
    }

    fn line(&self) -> StepLine {
        let line = |summary: &str, setting, from: Option<String>, to: Option<String>| StepLine {
            summary: summary.to_owned(),
            setting,
            from,
            to,
        };
        match self {
            Self::Create { tags: _, summary } => {
                line("create the policy", "policy", None, Some(summary.clone()))
            }
            Self::DeleteVersion { version } => {
                line("delete the policy's oldest version", "version", Some(version.clone()), None)
            }
            Self::CreateVersion { from, to } => {
                let summary = "replace the policy's document";
                match to.as_ref().map(|to| to.difference_from(Some(from))) {
                    Some(policy::Difference { from, to }) => line(summary, "document", from, Some(to)),
                    None => line(summary, "document", None, Some(KNOWN_AFTER_APPLY.to_owned())),
                }
            }
            Self::Tag { from, tags } => line("tag the policy", "tags", from.clone(), Some(tags_text(tags))),
        }
    }

    fn creates(&self) -> bool {
        matches!(self, Self::Create { .. })
    }

    fn needs_key(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::CreateVersion { .. })
    }
}

impl Resource for IamPolicy {
    type Observed = ObservedPolicy;
    type Step = PolicyStep;

    fn address(&self) -> Address {
        Address { kind: "iam_policy", name: self.name.clone() }
    }

    async fn observe(&self, aws: &Clients, outputs: &Outputs) -> Result<Option<ObservedPolicy>, AwsError> {
        if let Some(listing) = &outputs.policies
            && let Some(policies) = listing.read(aws).await?
        {
            let key = outputs.found_key.wait().await;
            return Ok(policies.get(&self.arn()).map(|listed| {
                let as_desired = self.is_as_desired(&listed.document, key.as_ref());
                let older_versions = if as_desired { Vec::new() } else { listed.older_versions.clone() };
                ObservedPolicy { document: listed.document.clone(), older_versions, tags: None }
            }));
        }
        self.find_policy(aws, outputs).await
    }

    fn diff(&self, observed: Option<&ObservedPolicy>, known: &Known) -> Difference<PolicyStep> {
        let Some(ObservedPolicy { document, older_versions, tags }) = observed else {
            return Difference::steps(vec![PolicyStep::Create {
                tags: self.owner.tags(),
                summary: self.summary(),
            }]);
        };
        let mut steps = Vec::new();
        if !self.is_as_desired(document, known.key.as_ref()) {
            // One version is in force, so this many others fill the policy up.
            if older_versions.len() + 1 >= MOST_VERSIONS
                && let Some(oldest) = older_versions.first()
            {
                steps.push(PolicyStep::DeleteVersion { version: oldest.clone() });
            }
            let to = known.key.as_ref().map(|key| self.document(key));
            steps.push(PolicyStep::CreateVersion { from: document.clone(), to });
        }
        if let Some(tags) = tags {
            let missing = self.owner.missing_tags(tags);
            if !missing.is_empty() {
                steps.push(PolicyStep::Tag { from: replaced_tags(tags, &missing), tags: missing });
            }
        }
        Difference::steps(steps)
    }

    async fn perform(&self, aws: &Clients, step: &PolicyStep, outputs: &Outputs) -> Result<(), AwsError> {
        let call = step.operation();
        let document = async || {
            let key = outputs.key.wait().await.ok_or_else(|| AwsError::missing(call, "PolicyDocument"))?;
            Ok::<_, AwsError>(self.document(&key).to_string())
        };
        match step {
            PolicyStep::Create { tags, .. } => self.create(aws, call, tags, &document().await?).await,
            PolicyStep::DeleteVersion { version } => {
                let request = aws.iam.delete_policy_version().policy_arn(self.arn()).version_id(version);
                // Deleted by someone else meanwhile: there is room all the same.
                request.send().await.during(call).optional().map(drop)
            }
            PolicyStep::CreateVersion { .. } => self.create_version(aws, call, &document().await?).await,
            PolicyStep::Tag { tags, .. } => self.tag(aws, call, tags).await,
        }
    }

    fn settles_within(&self) -> Duration {
        IAM_PROPAGATION
    }
}

impl IamPolicy {
    fn arn(&self) -> String {
        let Scope { partition, account_id, .. } = &self.scope;
        format!("arn:{partition}:iam::{account_id}:policy{}{}", self.owner.iam_path(), self.name)
    }

    fn document(&self, key: &KeyArn) -> Document {
        policy::environment::document(self.level, &self.scope, key)
    }

    fn summary(&self) -> String {
        format!("{} access to the Terraform state of {}", self.level, self.scope.environment)
    }

    fn is_as_desired(&self, document: &Document, key: Option<&KeyArn>) -> bool {
        key.is_some_and(|key| document.means_the_same(&self.document(key)))
    }

    async fn create(
        &self,
        aws: &Clients,
        call: &'static str,
        tags: &Tags,
        document: &str,
    ) -> Result<(), AwsError> {
        aws.iam
            .create_policy()
            .policy_name(&self.name)
            .path(self.owner.iam_path())
            .description(self.summary())
            .policy_document(document)
            .set_tags(Some(sdk_tags(call, tags)?))
            .send()
            .await
            .during(call)
            .map(drop)
    }

    /// Makes a version. The call has no idempotency token, so the SDK must not repeat one whose answer was lost: the
    /// version may be there, and a sixth one is refused. What is there is read again instead.
    async fn create_version(
        &self,
        aws: &Clients,
        call: &'static str,
        document: &str,
    ) -> Result<(), AwsError> {
        let once = || aws_sdk_iam::config::Builder::new().retry_config(RetryConfig::disabled());
        let request = aws
            .iam
            .create_policy_version()
            .policy_arn(self.arn())
            .policy_document(document)
            .set_as_default(true);
        let goes_by = |error: &AwsError| passes(error) || error.class == Class::Throttled;
        let send = || async { request.clone().customize().config_override(once()).send().await.during(call) };
        match retry_while(IAM_PROPAGATION, goes_by, send).await {
            Err(error) if error.may_have_taken_effect() || error.class == Class::LimitExceeded => {
                Err(AwsError::changed_meanwhile(call, "the policy's versions"))
            }
            answer => answer.map(drop),
        }
    }

    async fn tag(&self, aws: &Clients, call: &'static str, tags: &Tags) -> Result<(), AwsError> {
        let request = aws.iam.tag_policy().policy_arn(self.arn()).set_tags(Some(sdk_tags(call, tags)?));
        retry_while(IAM_PROPAGATION, passes, || async { request.clone().send().await.during(call) })
            .await
            .map(drop)
    }

    async fn find_policy(
        &self,
        aws: &Clients,
        outputs: &Outputs,
    ) -> Result<Option<ObservedPolicy>, AwsError> {
        const GET: &str = "iam:GetPolicy";
        const GET_VERSION: &str = "iam:GetPolicyVersion";
        let arn = self.arn();
        let answer = aws.iam.get_policy().policy_arn(&arn).send().await.during(GET).optional()?;
        let Some(answer) = answer else { return Ok(None) };
        let policy = answer.policy.ok_or_else(|| AwsError::missing(GET, "Policy"))?;
        let version = policy.default_version_id.ok_or_else(|| AwsError::missing(GET, "DefaultVersionId"))?;
        let answer = aws
            .iam
            .get_policy_version()
            .policy_arn(&arn)
            .version_id(&version)
            .send()
            .await
            .during(GET_VERSION)
            .optional()?;
        // A policy that was made a moment ago may be known here and not there: it is not there yet.
        let Some(answer) = answer else { return Ok(None) };
        let document = answer
            .policy_version
            .and_then(|version| version.document)
            .ok_or_else(|| AwsError::missing(GET_VERSION, "Document"))?;
        let document = parse_document(GET_VERSION, &document)?;
        let tags = policy.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        let key = outputs.found_key.wait().await;
        let older_versions = if self.is_as_desired(&document, key.as_ref()) {
            Vec::new()
        } else {
            list_older_versions(aws, &arn).await?
        };
        Ok(Some(ObservedPolicy { document, older_versions, tags: Some(tags) }))
    }
}

/// Every policy under one IAM path, read in one listing of the account by whoever needs them first.
///
/// Two calls for each policy are many where there are many policies: IAM allows few calls a second for a whole account.
/// A listing that fails has failed for all.
#[derive(Debug)]
pub struct PolicyListing {
    path: String,
    policies: OnceCell<Result<Option<Listed>, AwsError>>,
}

/// Listed policies by their ARNs.
type Listed = BTreeMap<String, ListedPolicy>;

#[derive(Debug)]
struct ListedPolicy {
    document: Document,
    older_versions: Vec<String>,
}

impl PolicyListing {
    /// Makes ready to list the policies of `owner`.
    pub fn of(owner: &Owner) -> Self {
        Self { path: owner.iam_path(), policies: OnceCell::new() }
    }

    /// Returns the policies; `None` where the caller may not list them.
    async fn read(&self, aws: &Clients) -> Result<Option<&Listed>, AwsError> {
        let list = async || match list_policies(aws, &self.path).await {
            Ok(policies) => Ok(Some(policies)),
            // One by one, then.
            Err(error) if error.class == Class::AccessDenied => Ok(None),
            Err(error) => Err(error),
        };
        self.policies.get_or_init(list).await.as_ref().map(Option::as_ref).map_err(AwsError::clone)
    }
}

async fn list_policies(aws: &Clients, path: &str) -> Result<Listed, AwsError> {
    const CALL: &str = "iam:GetAccountAuthorizationDetails";
    /// The largest page that it gives.
    const PAGE: i32 = 1_000;
    let ours = format!(":policy{path}");
    let mut policies = Listed::new();
    let mut pages = aws
        .iam
        .get_account_authorization_details()
        .filter(EntityType::LocalManagedPolicy)
        .max_items(PAGE)
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        for policy in page.during(CALL)?.policies.unwrap_or_default() {
            let Some(arn) = policy.arn.filter(|arn| arn.contains(&ours)) else { continue };
            let versions = policy.policy_version_list.unwrap_or_default();
            let document = versions
                .iter()
                .find(|version| version.is_default_version)
                .and_then(|version| version.document.as_deref())
                .ok_or_else(|| AwsError::missing(CALL, "Document"))?;
            let document = parse_document(CALL, document)?;
            policies.insert(arn, ListedPolicy { document, older_versions: older(versions) });
        }
    }
    Ok(policies)
}

async fn list_older_versions(aws: &Clients, arn: &str) -> Result<Vec<String>, AwsError> {
    let mut versions = Vec::new();
    let mut pages = aws.iam.list_policy_versions().policy_arn(arn).into_paginator().items().send();
    while let Some(version) = pages.next().await {
        let Some(version) = version.during("iam:ListPolicyVersions").optional()? else { break };
        versions.push(version);
    }
    Ok(older(versions))
}

/// Returns the ids of the versions that are not in force, oldest first.
fn older(mut versions: Vec<PolicyVersion>) -> Vec<String> {
    versions.retain(|version| !version.is_default_version);
    // Ids are `v1`, `v2` and so on: by length first they sort as numbers.
    versions.sort_by_cached_key(|version| {
        let id = version.version_id.clone().unwrap_or_default();
        (id.len(), id)
    });
    versions.into_iter().filter_map(|version| version.version_id).collect()
}

/// IAM gives documents URL-encoded (RFC 3986).
fn parse_document(call: &'static str, text: &str) -> Result<Document, AwsError> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|error| AwsError::garbled(call, format!("the document is no text: {error}")))?;
    text.parse().map_err(|error: InvalidDocument| AwsError::garbled(call, error.to_string()))
}

fn sdk_tags(call: &'static str, tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| {
            Tag::builder()
                .key(key)
                .value(value)
                .build()
                .map_err(|error| AwsError::garbled(call, error.to_string()))
        })
        .collect()
}

/// Returns whether IAM will take the call later: it does not know the policy everywhere yet, or is busy with it.
fn passes(error: &AwsError) -> bool {
    matches!(error.class, Class::NotFound | Class::Conflict)
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::Client;
    use aws_sdk_iam::operation::create_policy_version::{
        CreatePolicyVersionError, CreatePolicyVersionOutput,
    };
    use aws_sdk_iam::operation::get_account_authorization_details::GetAccountAuthorizationDetailsOutput;
    use aws_sdk_iam::operation::get_policy::GetPolicyOutput;
    use aws_sdk_iam::operation::get_policy_version::{GetPolicyVersionError, GetPolicyVersionOutput};
    use aws_sdk_iam::operation::list_policy_versions::ListPolicyVersionsOutput;
    use aws_sdk_iam::types::error::NoSuchEntityException;
    use aws_sdk_iam::types::{ManagedPolicyDetail, Policy};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::super::tests::{KEY, known, owner};
    use super::*;
    use crate::policy::Locking;

    const ARN: &str = "arn:aws:iam::111122223333:policy/underpin/acme/main/acme-tfstate-dev-plan";

    fn desired() -> IamPolicy {
        IamPolicy {
            owner: owner(),
            level: Level::Plan,
            scope: Scope {
                partition: "aws".parse().unwrap(),
                account_id: "111122223333".parse().unwrap(),
                region: "eu-west-1".parse().unwrap(),
                bucket: "acme-tfstate".parse().unwrap(),
                table: "acme-tfstate-locks".parse().unwrap(),
                locking: Locking::Table,
                environment: "dev".parse().unwrap(),
            },
            name: "acme-tfstate-dev-plan".to_owned(),
        }
    }

    fn matching() -> ObservedPolicy {
        ObservedPolicy {
            document: desired().document(&KEY.parse().unwrap()),
            older_versions: Vec::new(),
            tags: Some(owner().tags()),
        }
    }

    /// A document that allows more than it should.
    fn too_wide() -> Document {
        matching().document.to_string().replace("dev/*.tfstate-md5", "*").parse().unwrap()
    }

    fn operations(observed: Option<&ObservedPolicy>, known: &Known) -> Vec<&'static str> {
        desired().diff(observed, known).steps.iter().map(Step::operation).collect()
    }

    /// Returns clients of which IAM's alone can answer, and only as `rules` say, one after the other.
    fn clients(rules: &[&Rule]) -> Clients {
        Clients { iam: mock_client!(aws_sdk_iam, RuleMode::Sequential, rules), ..Clients::unconnected() }
    }

    fn outputs() -> Outputs {
        let outputs = Outputs::default();
        outputs.found_key.publish(Some(KEY.parse().unwrap()));
        outputs.key.publish(Some(KEY.parse().unwrap()));
        outputs
    }

    fn no_such_entity() -> NoSuchEntityException {
        let meta = aws_smithy_types::error::ErrorMetadata::builder().code("NoSuchEntity").build();
        NoSuchEntityException::builder().meta(meta).build()
    }

    fn policy() -> Rule {
        mock!(Client::get_policy).match_requests(|request| request.policy_arn() == Some(ARN)).then_output(
            || {
                let policy = Policy::builder()
                    .default_version_id("v3")
                    .set_tags(Some(sdk_tags("", &owner().tags()).unwrap()));
                GetPolicyOutput::builder().policy(policy.build()).build()
            },
        )
    }

    fn version(document: Document) -> Rule {
        mock!(Client::get_policy_version)
            .match_requests(|request| request.policy_arn() == Some(ARN) && request.version_id() == Some("v3"))
            .then_output(move || {
                let document = utf8_percent_encode(&document.to_string(), NON_ALPHANUMERIC).to_string();
                let version = PolicyVersion::builder().document(document);
                GetPolicyVersionOutput::builder().policy_version(version.build()).build()
            })
    }

    #[test]
    fn a_policy_that_is_as_desired_needs_nothing() {
        let mut observed = matching();
        // As IAM may give it back, or a person may write it.
        observed.document =
            observed.document.to_string().replace("s3:GetObject", "S3:getobject").parse().unwrap();

        assert_eq!(operations(Some(&observed), &known()), Vec::<&str>::new());
    }

    #[test]
    fn a_policy_that_is_not_there_is_made_with_its_tags() {
        let difference = desired().diff(None, &Known::default());

        let [PolicyStep::Create { tags, .. }] = difference.steps.as_slice() else { panic!("{difference:?}") };
        assert_eq!(*tags, owner().tags());
    }

    #[test]
    fn another_document_is_replaced_and_the_line_names_its_statement() {
        let observed = ObservedPolicy { document: too_wide(), ..matching() };

        let difference = desired().diff(Some(&observed), &known());

        let [step @ PolicyStep::CreateVersion { .. }] = difference.steps.as_slice() else {
            panic!("{difference:?}")
        };
        assert_eq!(step.line().from.as_deref(), Some("UnderpinReadDigest with other Condition"));
        assert_eq!(step.line().to.as_deref(), Some("UnderpinReadDigest"));
    }

    #[test]
    fn of_five_versions_the_oldest_that_is_not_in_force_makes_room() {
        let older = |ids: &[&str]| ObservedPolicy {
            document: too_wide(),
            older_versions: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..matching()
        };

        assert_eq!(operations(Some(&older(&["v8", "v9", "v10"])), &known()), ["iam:CreatePolicyVersion"]);
        let difference = desired().diff(Some(&older(&["v8", "v9", "v10", "v11"])), &known());
        let [PolicyStep::DeleteVersion { version }, PolicyStep::CreateVersion { .. }] =
            difference.steps.as_slice()
        else {
            panic!("{difference:?}")
        };
        assert_eq!(version, "v8");
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let version =
            |id: &str, in_force| PolicyVersion::builder().version_id(id).is_default_version(in_force).build();

        assert_eq!(
            older(vec![version("v10", false), version("v11", true), version("v9", false)]),
            ["v9", "v10"]
        );
    }

    #[test]
    fn a_lost_tag_is_put_back_and_a_foreign_one_stays() {
        let mut observed = matching();
        let tags = observed.tags.as_mut().unwrap();
        tags.insert("theirs".to_owned(), "kept".to_owned());
        tags.remove("team");

        let difference = desired().diff(Some(&observed), &known());

        let [PolicyStep::Tag { tags, .. }] = difference.steps.as_slice() else { panic!("{difference:?}") };
        assert_eq!(tags_text(tags), "team = platform");
    }

    #[tokio::test]
    async fn a_policy_is_read_in_two_calls_where_it_is_as_desired() {
        let aws = clients(&[&policy(), &version(matching().document)]);

        assert_eq!(desired().observe(&aws, &outputs()).await.unwrap(), Some(matching()));
    }

    #[tokio::test]
    async fn its_versions_are_read_where_one_will_be_made() {
        let versions = mock!(Client::list_policy_versions).then_output(|| {
            let version =
                |id: &str| PolicyVersion::builder().version_id(id).is_default_version(id == "v3").build();
            ListPolicyVersionsOutput::builder().versions(version("v3")).versions(version("v2")).build()
        });
        let aws = clients(&[&policy(), &version(too_wide()), &versions]);

        let observed = desired().observe(&aws, &outputs()).await.unwrap();

        let older_versions = vec!["v2".to_owned()];
        assert_eq!(observed, Some(ObservedPolicy { document: too_wide(), older_versions, ..matching() }));
    }

    #[tokio::test]
    async fn a_policy_that_iam_knows_in_part_is_not_there_yet() {
        let version = mock!(Client::get_policy_version)
            .then_error(|| GetPolicyVersionError::NoSuchEntityException(no_such_entity()));
        let aws = clients(&[&policy(), &version]);

        assert_eq!(desired().observe(&aws, &outputs()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_others_wrote_under_their_path_is_not_read() {
        let details = mock!(Client::get_account_authorization_details).then_output(|| {
            let detail = |arn: &str, document: &str| {
                let version = PolicyVersion::builder().document(document).is_default_version(true).build();
                ManagedPolicyDetail::builder().arn(arn).policy_version_list(version).build()
            };
            let ours = utf8_percent_encode(&matching().document.to_string(), NON_ALPHANUMERIC).to_string();
            GetAccountAuthorizationDetailsOutput::builder()
                .policies(detail(&ARN.replace("/acme/", "/other/"), "no document"))
                .policies(detail(ARN, &ours))
                .build()
        });
        let outputs = Outputs { policies: Some(PolicyListing::of(&owner())), ..outputs() };

        let observed = desired().observe(&clients(&[&details]), &outputs).await.unwrap();

        assert_eq!(observed, Some(ObservedPolicy { tags: None, ..matching() }));
    }

    #[tokio::test]
    async fn a_listing_that_failed_is_not_asked_for_again() {
        let broken = mock!(Client::get_account_authorization_details)
            .then_http_response(|| HttpResponse::new(400.try_into().unwrap(), SdkBody::from("no answer")));
        let aws = clients(&[&broken]);
        let outputs = Outputs { policies: Some(PolicyListing::of(&owner())), ..outputs() };

        desired().observe(&aws, &outputs).await.unwrap_err();
        desired().observe(&aws, &outputs).await.unwrap_err();

        assert_eq!(broken.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_waits_until_iam_knows_the_policy() {
        let unknown = mock!(Client::create_policy_version)
            .then_error(|| CreatePolicyVersionError::NoSuchEntityException(no_such_entity()));
        let made = mock!(Client::create_policy_version)
            .match_requests(|request| {
                let document = desired().document(&KEY.parse().unwrap()).to_string();
                request.set_as_default() == Some(true) && request.policy_document() == Some(document.as_str())
            })
            .then_output(|| CreatePolicyVersionOutput::builder().build());
        let aws = clients(&[&unknown, &made]);
        let step = PolicyStep::CreateVersion { from: too_wide(), to: None };

        desired().perform(&aws, &step, &outputs()).await.unwrap();

        assert_eq!((unknown.num_calls(), made.num_calls()), (1, 1));
    }
}
