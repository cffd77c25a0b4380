//! Waiting until a version has arrived where it is used.

use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;
use strongroom_api::v1::SecretAnswer;
use strongroom_crds::condition::ConditionType;
use strongroom_crds::period::Period;
use strongroom_crds::v1alpha1::ManagedSecret;

use super::consumers;
use crate::api_client::ApiClient;
use crate::failure::Failure;

/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct WaitArguments {
    /// How long to wait until the version has arrived in the native Secret and in the volumes of running
    /// pods; 0s: do not wait
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_wait)]
    wait: Duration,
}

pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    text.parse::<Period>()
        .ok()
        .and_then(|period| u64::try_from(period.seconds()).ok())
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is not a time like 5s or 2m"))
}

/// How far a version came while it was waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The version has the stage.
    pub(super) staged: bool,
    /// Volumes that follow the stage, where they may be seen: all of them show the version.
    volumes: Option<usize>,
    /// What could not be seen, and by whom it is.
    unseen: Option<&'static str>,
}

impl Arrival {
    /// Of what nobody has to wait for.
    pub(super) fn at_once() -> Self {
        Self {
            staged: true,
            ..Self::default()
        }
    }

    /// The same of a version that is known to have the stage.
    pub(super) fn and_staged(self) -> Self {
        Self { staged: true, ..self }
    }

    /// The outcome, to be appended to a sentence: nothing, or text with its separator.
    pub(super) fn in_words(&self) -> String {
        let volumes = match self.volumes {
            None | Some(0) => String::new(),
            Some(1) => "; the one volume shows it".to_owned(),
            Some(count) => format!("; {count} of {count} volumes show it"),
        };
        let unseen = self
            .unseen
            .map(|unseen| format!("; {unseen}"))
            .unwrap_or_default();
        format!("{volumes}{unseen}")
    }

    /// The same as fields of an answer.
    pub(super) fn add_to(&self, answer: &mut Value) {
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("done".to_owned(), self.staged.into());
            if let Some(count) = self.volumes {
                answer.insert("volumes".to_owned(), count.into());
            }
        }
    }
}

/// Returns once the version has this stage, the native Secret follows, and every volume of a connected node
/// shows it.
///
/// A person who may not see ManagedSecrets sees by the API that the version has its stage, and is told that
/// they see no more.
///
/// # Errors
/// [`Failure::NotDelivered`] with what the object says, where it does not in time.
pub(super) async fn wait(
    client: &ApiClient,
    name: &str,
    stage: &str,
    version: &str,
    waiting: WaitArguments,
) -> Result<Arrival, Failure> {
    if waiting.wait.is_zero() {
        return Ok(Arrival::default());
    }
    let api: Api<ManagedSecret> = Api::namespaced(client.cluster.client.clone(), client.namespace());
    let mut said = "no ManagedSecret declares it".to_owned();
    let looking = async {
        loop {
            let seen = match declaring(&api, name).await {
                Ok(Some(object)) => progress_of(&object, stage, version),
                Ok(None) => Progress::NotYet(said.clone()),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    staged(client, name, stage, version).await?
                }
                Err(error) => return Err(client.cluster.failure(error)),
            };
            match seen {
                Progress::Arrived | Progress::Staged => match behind(client, name, stage, version).await? {
                    Ok(volumes) => {
                        let unseen = matches!(seen, Progress::Staged).then_some(
                            "only users who may get managedsecrets can see whether its native Secret is up to date",
                        );
                        return Ok(Arrival {
                            staged: true,
                            volumes,
                            unseen,
                        });
                    }
                    Err(pods) => said = pods,
                },
                Progress::Nothing => {
                    return Ok(Arrival {
                        unseen: Some("only users who may describe the secret can see whether it has arrived"),
                        ..Arrival::default()
                    });
                }
                Progress::NotYet(why) => said = why,
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    match tokio::time::timeout(waiting.wait, looking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::NotDelivered(format!(
            "version {version} has not arrived within {} s: {said}",
            waiting.wait.as_secs()
        ))),
    }
}

/// How many volumes follow the stage, where it may be seen, if all of them show the version; else, in words,
/// the pods of those that do not.
async fn behind(
    client: &ApiClient,
    name: &str,
    stage: &str,
    version: &str,
) -> Result<Result<Option<usize>, String>, Failure> {
    let answer = match client.consumers(name).await {
        Ok(answer) => answer,
        Err(Failure::Refused(_) | Failure::Forbidden(_)) => return Ok(Ok(None)),
        Err(error) => return Err(error),
    };
    let pods = consumers::behind(&answer, stage, version);
    Ok(if pods.is_empty() {
        Ok(Some(consumers::following(&answer, stage)))
    } else {
        Err(format!("these pods do not show it yet: {}", pods.join(", ")))
    })
}

/// How far a version has come, as far as it can be seen.
enum Progress {
    Arrived,
    /// It has its stage; more may not be seen.
    Staged,
    /// Nothing may be seen.
    Nothing,
    NotYet(String),
}

/// By the API, for whoever may not see the object.
async fn staged(client: &ApiClient, name: &str, stage: &str, version: &str) -> Result<Progress, Failure> {
    match client.read::<SecretAnswer>(name, "", &[]).await {
        Ok(secret) if secret.stages.get(stage).is_some_and(|id| id == version) => Ok(Progress::Staged),
        Ok(_) => Ok(Progress::NotYet(format!("another version is {stage}"))),
        Err(Failure::Refused(_)) => Ok(Progress::Nothing),
        Err(error) => Err(error),
    }
}

pub(super) async fn declaring(
    api: &Api<ManagedSecret>,
    name: &str,
) -> Result<Option<ManagedSecret>, kube::Error> {
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
fn progress_of(object: &ManagedSecret, stage: &str, version: &str) -> Progress {
    let Some(status) = &object.status else {
        return Progress::NotYet("the controller has not processed it yet".to_owned());
    };
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let staged = status.stages.get(stage).is_some_and(|id| id == version);
    match ready {
        // The native Secret, of which Ready speaks, follows Current alone.
        _ if staged && stage != "Current" => Progress::Arrived,
        Some(ready) if ready.status == "True" && staged => Progress::Arrived,
        Some(ready) if ready.status == "True" => Progress::NotYet(format!("another version is {stage}")),
        Some(ready) => Progress::NotYet(format!("{}: {}", ready.reason, ready.message)),
        None => Progress::NotYet("its ManagedSecret has no condition yet".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_is_said_of_the_volumes_that_were_seen() {
        let arrival = |volumes, unseen| Arrival {
            staged: true,
            volumes,
            unseen,
        };
        for (volumes, unseen, said) in [
            (None, None, ""),
            (Some(0), None, ""),
            (Some(1), None, "; the one volume shows it"),
            (Some(3), None, "; 3 of 3 volumes show it"),
            (
                Some(2),
                Some("no more is seen"),
                "; 2 of 2 volumes show it; no more is seen",
            ),
        ] {
            assert_eq!(arrival(volumes, unseen).in_words(), said);
        }
        let mut answer = json!({"versionId": "v-1", "done": false});
        arrival(Some(3), None).add_to(&mut answer);
        assert_eq!(answer, json!({"versionId": "v-1", "done": true, "volumes": 3}));
        let mut answer = json!({"versionId": "v-1"});
        Arrival::default().add_to(&mut answer);
        assert_eq!(answer["done"], false, "nothing was waited for");
    }

    #[test]
    fn another_stage_than_current_does_not_wait_for_the_native_secret() {
        let object = |ready: &str| -> ManagedSecret {
            serde_json::from_value(json!({
                "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": "db"},
                "spec": {"source": {"external": {}}},
                "status": {
                    "stages": {"Current": "v-2", "canary": "v-1"},
                    "conditions": [{"type": "Ready", "status": ready, "reason": "TargetNotOwned", "message": "m",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                },
            }))
            .unwrap()
        };
        assert!(matches!(
            progress_of(&object("False"), "canary", "v-1"),
            Progress::Arrived
        ));
        assert!(matches!(
            progress_of(&object("False"), "Current", "v-2"),
            Progress::NotYet(_)
        ));
        assert!(matches!(
            progress_of(&object("True"), "Current", "v-2"),
            Progress::Arrived
        ));
        assert!(matches!(
            progress_of(&object("True"), "Current", "v-1"),
            Progress::NotYet(_)
        ));
    }
}
