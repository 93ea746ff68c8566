//! Obtaining the secrets of a claimed task, sealed to the claim's key.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use nkeys::XKey;
use slipway_bus::Bus;
use slipway_domain::{
    event::{Failure, FailureKind},
    name::HolderName,
    order::Doorbell,
    secret::{SecretAnswer, SecretRef, SecretRequest},
};

use crate::Held;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Asks until there is an answer. Whoever waits bounds the time.
pub(crate) async fn obtain(
    bus: &Bus,
    held: &Held,
    holder: &HolderName,
    doorbell: &Doorbell,
    key: &XKey,
) -> Result<BTreeMap<SecretRef, String>, Failure> {
    let secrets = &doorbell.order.secrets;
    let request = SecretRequest {
        deployment: doorbell.deployment,
        task: doorbell.task.clone(),
        epoch: held.epoch(),
        holder: holder.clone(),
        secrets: secrets.clone(),
    };
    let mut pause = FIRST_RETRY;
    let mut told = false;
    loop {
        match bus.ask_secrets(&request).await {
            Ok(Some(SecretAnswer::Sealed { sender, sealed })) => {
                let values = open(key, &sender, &sealed).map_err(refusal)?;
                if values.len() != secrets.len() {
                    return Err(refusal("the answer has another number of values than was asked for".to_owned()));
                }
                return Ok(secrets.iter().cloned().zip(values).collect());
            }
            Ok(Some(SecretAnswer::Refused { reason })) => return Err(refusal(reason)),
            Ok(Some(SecretAnswer::Later)) => {}
            Ok(None) if told => {}
            Ok(None) => {
                told = true;
                held.say("secrets are not available yet: no release service answers; asking again");
            }
            Err(error) => return Err(refusal(error.to_string())),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_RETRY);
    }
}

fn refusal(reason: String) -> Failure {
    Failure {
        kind: FailureKind::Order,
        message: format!("the secrets of this step are not to be had: {reason}"),
        tail: Vec::new(),
    }
}

/// The values in the box. The errors say nothing of what is in it.
fn open(key: &XKey, sender: &str, sealed: &str) -> Result<Vec<String>, String> {
    let unreadable = |what: &str| format!("the release service's answer can not be opened ({what})");
    let sender = XKey::from_public_key(sender).map_err(|_| unreadable("its key is not an xkey"))?;
    let sealed = BASE64.decode(sealed).map_err(|_| unreadable("it is not base64"))?;
    let opened = key.open(&sealed, &sender).map_err(|_| unreadable("it was not sealed to this claim"))?;
    serde_json::from_slice(&opened).map_err(|_| unreadable("it is not a list of values"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_with_the_claims_key_only_and_errors_show_nothing() {
        let (claim, other, release) = (XKey::new(), XKey::new(), XKey::new());
        let recipient = XKey::from_public_key(&claim.public_key()).unwrap();
        let sealed = BASE64.encode(release.seal(br#"["hunter2"]"#, &recipient).unwrap());
        assert_eq!(open(&claim, &release.public_key(), &sealed).unwrap(), ["hunter2"]);
        let error = open(&other, &release.public_key(), &sealed).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
