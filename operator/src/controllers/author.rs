//! Facts about the author of an object that the store does not have: whether it was this process itself, and
//! whether the author may stand in for a product.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};
use strongroom_crds::v1alpha1::SecretProduct;
use strongroom_store::audit::Author;
use tokio::sync::OnceCell;

/// The verb on a SecretProduct of whoever stands in for its managers.
const MANAGE: &str = "manage";

/// The user that this process is for the API server, once it was asked.
#[derive(Debug, Default)]
pub(crate) struct OwnUser(OnceCell<String>);

impl OwnUser {
    /// Whether this is the process itself. While the API server does not say who that is, it is not.
    pub(crate) async fn is(&self, client: &Client, user: &str) -> bool {
        let asked = self.0.get_or_try_init(|| own_user(client)).await;
        asked.is_ok_and(|own| own == user)
    }
}

async fn own_user(client: &Client) -> Result<String, ()> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let info = answer.ok().and_then(|review| review.status?.user_info);
    info.and_then(|info| info.username).ok_or(())
}

/// Whether RBAC, or whatever else the API server asks, lets this author manage a product.
///
/// # Errors
/// The API server's.
pub(crate) async fn may_manage(client: &Client, author: &Author, code: &str) -> Result<bool, kube::Error> {
    let review = SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SubjectAccessReviewSpec {
            user: Some(author.user.clone()),
            groups: Some(author.groups.clone()),
            uid: Some(author.uid.clone()).filter(|uid| !uid.is_empty()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(SecretProduct::group(&()).into_owned()),
                resource: Some(SecretProduct::plural(&()).into_owned()),
                name: Some(code.to_owned()),
                verb: Some(MANAGE.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        status: None,
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_testing::api_server::ApiServer;

    use super::*;

    #[tokio::test]
    async fn the_api_server_says_who_we_are_and_who_may_manage_what() {
        let api = ApiServer::default();
        api.script("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", |_| {
            let user = json!({"username": "system:serviceaccount:strongroom:strongroom"});
            async move { Ok((201, json!({"status": {"userInfo": user}}))) }
        });
        api.script("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", |request| {
            let spec = &request.body["spec"];
            let allowed = spec["groups"] == json!(["platform"])
                && spec["resourceAttributes"]
                    == json!({"group": "strongroom.dev", "resource": "secretproducts", "name": "pg", "verb": "manage"});
            async move { Ok((201, json!({"spec": {}, "status": {"allowed": allowed}}))) }
        });
        let client = api.client();
        let own = OwnUser::default();
        assert!(
            own.is(&client, "system:serviceaccount:strongroom:strongroom")
                .await
        );
        assert!(!own.is(&client, "jane").await);
        let author = |group: &str| Author {
            user: "jane".to_owned(),
            groups: vec![group.to_owned()],
            uid: String::new(),
        };
        assert!(may_manage(&client, &author("platform"), "pg").await.unwrap());
        assert!(!may_manage(&client, &author("shop"), "pg").await.unwrap());
        assert!(!may_manage(&client, &author("platform"), "aigw").await.unwrap());
    }

    #[tokio::test]
    async fn while_nobody_says_who_we_are_we_are_nobody() {
        let api = ApiServer::default();
        assert!(!OwnUser::default().is(&api.client(), "").await);
    }
}
