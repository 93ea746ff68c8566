//! What Slipway's messages look like: Block Kit JSON, and the values that the buttons carry.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slipway_domain::{
    id::DeploymentId,
    name::{EnvironmentName, ProjectName, StepName},
};

use super::interaction::{APPROVE, REJECT};

/// Slack's limits, in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;

/// What a button carries, so that a press names exactly the opening that the person saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ButtonValue {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The approval step.
    pub step: StepName,
    /// The sequence of the gate's `Opened`.
    pub opened: u64,
    /// The plan's digest.
    pub plan: String,
}

/// A message: blocks, and the text for notifications and screen readers.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Plain text of all of it.
    pub text: String,
    /// Block Kit blocks; a message of text alone has none.
    pub blocks: Vec<Value>,
}

/// The first line of a gate's message.
pub fn title(project: &ProjectName, release: &str, environment: &EnvironmentName, step: &StepName) -> String {
    format!("{project} {release} to {environment}: {step}")
}

/// A message of text alone, in Slack's mrkdwn.
pub fn plain(text: &str) -> Message {
    Message { text: text.to_owned(), blocks: Vec::new() }
}

/// A gate that asks, with buttons.
pub fn announcement(title: &str, text: &str, button: &ButtonValue) -> Message {
    let value = serde_json::to_string(button).expect("invariant: a button's value has only string keys");
    let press = |action: &str, label: &str, style: &str| {
        json!({
            "type": "button",
            "action_id": action,
            "style": style,
            "text": {"type": "plain_text", "text": label},
            "value": value,
        })
    };
    let mut blocks = vec![header(title)];
    if !text.trim().is_empty() {
        blocks.push(section(text));
    }
    blocks.push(json!({
        "type": "actions",
        "elements": [press(APPROVE, "Approve", "primary"), press(REJECT, "Reject", "danger")],
    }));
    Message { text: format!("{title} waits for a decision"), blocks }
}

/// A gate that was decided: nothing left to press. `result` is mrkdwn.
pub fn closed(title: &str, result: &str) -> Message {
    Message { text: format!("{title}: {result}"), blocks: vec![header(title), section(result)] }
}

/// Makes text of people safe within mrkdwn: no mention, link or channel comes to life.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn header(text: &str) -> Value {
    json!({"type": "header", "text": {"type": "plain_text", "text": cut(text, HEADER_MAX)}})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION_MAX)}})
}

fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn button() -> ButtonValue {
        ButtonValue {
            deployment: DeploymentId::derive(&["message"]),
            step: StepName::new("sign-off").unwrap(),
            opened: 9,
            plan: "sha256:00".to_owned(),
        }
    }

    #[test]
    fn both_buttons_carry_what_is_decided() {
        let message = announcement("shop 1.0.0 to production: sign-off", "Look at staging", &button());
        let buttons = message.blocks[2]["elements"].as_array().unwrap();
        assert_eq!(buttons.len(), 2);
        for pressed in buttons {
            let value: ButtonValue = serde_json::from_str(pressed["value"].as_str().unwrap()).unwrap();
            assert_eq!(value, button());
        }
    }

    #[test]
    fn a_section_is_left_out_when_there_is_nothing_to_say() {
        let kinds: Vec<_> =
            announcement("t", " ", &button()).blocks.iter().map(|b| b["type"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["header", "actions"]);
    }

    #[test]
    fn long_texts_are_cut_to_what_slack_takes() {
        let message = announcement(&"ä".repeat(200), &"ö".repeat(4000), &button());
        let length = |block: &Value| block["text"]["text"].as_str().unwrap().chars().count();
        assert_eq!((length(&message.blocks[0]), length(&message.blocks[1])), (HEADER_MAX, SECTION_MAX));
    }

    #[test]
    fn what_people_write_can_not_mention_or_link() {
        assert_eq!(escape("<!channel> & <https://x|y>"), "&lt;!channel&gt; &amp; &lt;https://x|y&gt;");
    }
}
