//! What Slack tells when somebody presses a button: a form with one field, `payload`, that holds JSON.
//!
//! Reads only what is needed of it. The signature was checked before; the rights are checked later.

use serde::Deserialize;
use slipway_domain::event::Verdict;

use super::message::ButtonValue;

/// `action_id` of the button that approves.
pub const APPROVE: &str = "slipway-approve";
/// `action_id` of the button that rejects.
pub const REJECT: &str = "slipway-reject";

/// What an interaction is.
#[derive(Debug, Clone, PartialEq)]
pub enum Interaction {
    /// A button of a gate's announcement was pressed.
    Press(Box<Press>),
    /// Something else that Slack may send and that has no meaning here.
    Other,
}

/// A person pressed Approve or Reject.
#[derive(Debug, Clone, PartialEq)]
pub struct Press {
    /// What the button was for.
    pub button: ButtonValue,
    /// Which button.
    pub verdict: Verdict,
    /// Slack's id of the person.
    pub user: String,
    /// Slack's id of this one press; the same when Slack sends it again.
    pub trigger: String,
    /// The message that the button belongs to: channel and ts.
    pub message: Option<(String, String)>,
    /// Where an answer for the person can be posted.
    pub response_url: Option<String>,
}

/// Why a body is not an interaction.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The form has no such field.
    #[error("the form has no field `payload`")]
    NoPayload,
    /// The field is not the JSON that Slack sends.
    #[error("the field `payload` can not be read: {0}")]
    Payload(#[source] serde_json::Error),
    /// A button of ours with a value that is not ours.
    #[error("the button's value can not be read: {0}")]
    Value(#[source] serde_json::Error),
    /// A button of ours without a value.
    #[error("the button has no value")]
    NoValue,
    /// Nobody pressed it.
    #[error("the payload names no user")]
    NoUser,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: Option<Id>,
    #[serde(default)]
    actions: Vec<PayloadAction>,
    trigger_id: Option<String>,
    response_url: Option<String>,
    container: Option<Container>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct PayloadAction {
    #[serde(default)]
    action_id: String,
    value: Option<String>,
    action_ts: Option<String>,
}

#[derive(Deserialize)]
struct Container {
    message_ts: Option<String>,
    channel_id: Option<String>,
}

/// Reads the body of a request to `/slack/interactions`.
pub fn parse(body: &[u8]) -> Result<Interaction, Malformed> {
    let (_, json) = form_urlencoded::parse(body).find(|(name, _)| name == "payload").ok_or(Malformed::NoPayload)?;
    let payload: Payload = serde_json::from_str(&json).map_err(Malformed::Payload)?;
    if payload.kind != "block_actions" {
        return Ok(Interaction::Other);
    }
    let pressed = payload.actions.into_iter().find_map(|action| {
        let verdict = match action.action_id.as_str() {
            APPROVE => Verdict::Approve,
            REJECT => Verdict::Reject,
            _ => return None,
        };
        Some((verdict, action))
    });
    let Some((verdict, action)) = pressed else { return Ok(Interaction::Other) };
    let value = action.value.ok_or(Malformed::NoValue)?;
    let button = serde_json::from_str(&value).map_err(Malformed::Value)?;
    let user = payload.user.filter(|user| !user.id.is_empty()).ok_or(Malformed::NoUser)?.id;
    let message = payload.container.and_then(|c| Some((c.channel_id?, c.message_ts?)));
    Ok(Interaction::Press(Box::new(Press {
        button,
        verdict,
        user,
        trigger: payload.trigger_id.or(action.action_ts).unwrap_or_default(),
        message,
        response_url: payload.response_url,
    })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use slipway_domain::{id::DeploymentId, name::StepName};

    use super::*;

    fn value() -> ButtonValue {
        ButtonValue {
            deployment: DeploymentId::derive(&["interaction"]),
            step: StepName::new("sign-off").unwrap(),
            opened: 17,
            plan: "sha256:abc".to_owned(),
        }
    }

    /// The shape of Slack's `block_actions` payload, with fields that are of no interest too.
    fn payload() -> Value {
        json!({
            "type": "block_actions",
            "team": {"id": "T0HARBOUR", "domain": "harbour"},
            "user": {"id": "U0ANA", "username": "ana", "name": "ana", "team_id": "T0HARBOUR"},
            "api_app_id": "A0SLIPWAY",
            "token": "legacy",
            "container": {"type": "message", "message_ts": "1795000000.000100", "channel_id": "C0DEPLOYS", "is_ephemeral": false},
            "trigger_id": "100.200.press",
            "channel": {"id": "C0DEPLOYS", "name": "deploys"},
            "message": {"type": "message", "ts": "1795000000.000100", "blocks": []},
            "state": {"values": {}},
            "response_url": "https://hooks.slack.example/actions/1",
            "actions": [{
                "type": "button", "block_id": "b", "action_id": APPROVE, "action_ts": "1795000009.1",
                "text": {"type": "plain_text", "text": "Approve", "emoji": true},
                "value": serde_json::to_string(&value()).unwrap(),
            }],
        })
    }

    fn form(payload: &Value) -> Vec<u8> {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload.to_string())
            .finish()
            .into_bytes()
    }

    #[test]
    fn a_press_tells_who_pressed_what_and_where() {
        let expected = Press {
            button: value(),
            verdict: Verdict::Approve,
            user: "U0ANA".to_owned(),
            trigger: "100.200.press".to_owned(),
            message: Some(("C0DEPLOYS".to_owned(), "1795000000.000100".to_owned())),
            response_url: Some("https://hooks.slack.example/actions/1".to_owned()),
        };
        assert_eq!(parse(&form(&payload())).unwrap(), Interaction::Press(Box::new(expected)));
    }

    #[test]
    fn the_button_decides_the_verdict() {
        let mut rejecting = payload();
        rejecting["actions"][0]["action_id"] = REJECT.into();
        let Interaction::Press(press) = parse(&form(&rejecting)).unwrap() else { panic!("not a press") };
        assert_eq!(press.verdict, Verdict::Reject);
    }

    #[test]
    fn a_press_without_the_optional_fields_is_one_too() {
        let mut bare = payload();
        for field in ["trigger_id", "response_url", "container", "message", "channel"] {
            bare.as_object_mut().unwrap().remove(field);
        }
        let Interaction::Press(press) = parse(&form(&bare)).unwrap() else { panic!("not a press") };
        assert_eq!((press.trigger.as_str(), press.message, press.response_url), ("1795000009.1", None, None));
    }

    #[test]
    fn what_is_not_for_us_is_no_error() {
        let mut other_button = payload();
        other_button["actions"][0]["action_id"] = "open-dashboard".into();
        let mut no_actions = payload();
        no_actions["actions"] = json!([]);
        for other in [other_button, no_actions, json!({"type": "view_submission", "user": {"id": "U0ANA"}})] {
            assert_eq!(parse(&form(&other)).unwrap(), Interaction::Other, "{other}");
        }
    }

    #[test]
    fn a_malformed_body_is_refused_with_the_reason() {
        let with = |change: fn(&mut Value)| {
            let mut changed = payload();
            change(&mut changed);
            form(&changed)
        };
        let cases: [(&str, Vec<u8>); 8] = [
            ("no field `payload`", b"".to_vec()),
            ("no field `payload`", b"text=hello".to_vec()),
            ("`payload` can not be read", b"payload=%7Bbroken".to_vec()),
            ("`payload` can not be read", b"payload=%FF%FE".to_vec()),
            ("`payload` can not be read", b"payload=[]".to_vec()),
            ("value can not be read", with(|p| p["actions"][0]["value"] = "{\"deployment\":\"x\"}".into())),
            ("has no value", with(|p| p["actions"][0]["value"] = Value::Null)),
            ("names no user", with(|p| p["user"] = Value::Null)),
        ];
        for (expected, body) in cases {
            let error = parse(&body).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}: expected {expected}");
        }
    }
}
