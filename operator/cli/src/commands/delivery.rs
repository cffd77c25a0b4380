//! Waiting until a version has arrived where it is used.

use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use strongroom_crds::period::Period;
use strongroom_crds::v1alpha1::ManagedSecret;

use super::consumers;
use super::key::cluster;
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::people::People;

/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Patience {
    /// Waits so long until the version has arrived in the native Secret and in the volumes of running pods; 0s does not wait
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = patience)]
    wait: Duration,
}

fn patience(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    text.parse::<Period>()
        .ok()
        .and_then(|period| u64::try_from(period.seconds()).ok())
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is not a time like 5s or 2m"))
}

/// Returns once the version has this stage, the native Secret follows, and every volume of a connected node shows it.
///
/// Whoever may not see ManagedSecrets sees by the API that the version has its stage, and is told that he sees no more.
///
/// # Errors
/// [`Failure::NotDelivered`] with what the object says, where it does not in time.
pub(super) async fn wait(
    people: &People,
    name: &str,
    stage: &str,
    version: &str,
    patience: Patience,
    out: &Output,
) -> Result<(), Failure> {
    if patience.wait.is_zero() {
        return Ok(());
    }
    let api: Api<ManagedSecret> = Api::namespaced(people.cluster.client.clone(), people.namespace());
    let mut said = "no ManagedSecret declares it".to_owned();
    let looking = async {
        loop {
            let seen = match declaring(&api, name).await {
                Ok(Some(object)) => standing(&object, stage, version),
                Ok(None) => Seen::NotYet(said.clone()),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    staged(people, name, stage, version).await?
                }
                Err(error) => return Err(cluster(error)),
            };
            match seen {
                Seen::Arrived => match behind(people, name, stage, version).await? {
                    None => return Ok(format!("version {version} has arrived")),
                    Some(pods) => said = pods,
                },
                Seen::Staged => match behind(people, name, stage, version).await? {
                    None => {
                        return Ok(format!(
                            "version {version} is {stage}; whether its native Secret follows is seen by whoever may get managedsecrets"
                        ));
                    }
                    Some(pods) => said = pods,
                },
                Seen::Nothing => {
                    return Ok(
                        "whether it has arrived is seen by whoever may describe the secret".to_owned(),
                    );
                }
                Seen::NotYet(why) => said = why,
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(patience.wait, looking).await {
        Ok(outcome) => {
            out.progress(&outcome?);
            Ok(())
        }
        Err(_) => Err(Failure::NotDelivered(format!(
            "version {version} has not arrived within {} s: {said}",
            patience.wait.as_secs()
        ))),
    }
}

/// The pods that do not show the version yet, in words; none where all do, or where it may not be seen.
async fn behind(people: &People, name: &str, stage: &str, version: &str) -> Result<Option<String>, Failure> {
    let pods = match people.consumers(name).await {
        Ok(answer) => consumers::behind(&answer, stage, version),
        Err(Failure::Refused(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok((!pods.is_empty()).then(|| format!("these pods do not show it yet: {}", pods.join(", "))))
}

/// How far a version has come, as far as it can be seen.
enum Seen {
    Arrived,
    /// It has its stage; more may not be seen.
    Staged,
    /// Nothing may be seen.
    Nothing,
    NotYet(String),
}

/// By the API, for whoever may not see the object.
async fn staged(people: &People, name: &str, stage: &str, version: &str) -> Result<Seen, Failure> {
    match people.read(name, "", &[]).await {
        Ok(secret) if field(field(&secret, "stages"), stage) == version => Ok(Seen::Staged),
        Ok(_) => Ok(Seen::NotYet(format!("another version is {stage}"))),
        Err(Failure::Refused(_)) => Ok(Seen::Nothing),
        Err(error) => Err(error),
    }
}

async fn declaring(api: &Api<ManagedSecret>, name: &str) -> Result<Option<ManagedSecret>, kube::Error> {
    let declares =
        |object: &ManagedSecret| object.spec.store_name.as_deref().unwrap_or(&object.name_any()) == name;
    // Nearly always it is named as the secret is.
    if !name.contains(['/', '_', '+', '=', '.', '@'])
        && let Some(object) = api.get_opt(name).await?.filter(declares)
    {
        return Ok(Some(object));
    }
    Ok(api.list(&ListParams::default()).await?.into_iter().find(declares))
}

/// By what the object says.
fn standing(object: &ManagedSecret, stage: &str, version: &str) -> Seen {
    let Some(status) = &object.status else {
        return Seen::NotYet("the controller has not looked at it yet".to_owned());
    };
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let staged = status.stages.get(stage).is_some_and(|id| id == version);
    match ready {
        Some(ready) if ready.status == "True" && staged => Seen::Arrived,
        Some(ready) if ready.status == "True" => Seen::NotYet(format!("another version is {stage}")),
        Some(ready) => Seen::NotYet(format!("{}: {}", ready.reason, ready.message)),
        None => Seen::NotYet("its ManagedSecret has no condition yet".to_owned()),
    }
}
