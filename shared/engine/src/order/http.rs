//! The texts of an `http` step, wherever in it they are.

use serde_json::Value;
use slipway_domain::manifest::{ContainedText, Expect, HeaderValue, Http};

use super::Render;

/// The call with every text rendered.
pub(super) fn rendered(call: &Http, render: Render<'_>) -> Result<Http, String> {
    let header = |(name, value): (&String, &HeaderValue)| {
        let value = match value {
            HeaderValue::Is(text) => HeaderValue::Is(render(text)?),
            HeaderValue::Contains(text) => HeaderValue::Contains(ContainedText { contains: render(&text.contains)? }),
        };
        Ok((name.clone(), value))
    };
    let expect = Expect {
        status: call.expect.status.clone(),
        headers: call.expect.headers.iter().map(header).collect::<Result<_, String>>()?,
        json: call
            .expect
            .json
            .iter()
            .map(|(path, v)| Ok((path.clone(), json(v, render)?)))
            .collect::<Result<_, String>>()?,
        body_contains: call.expect.body_contains.as_deref().map(render).transpose()?,
    };
    Ok(Http {
        url: render(&call.url)?,
        headers: call.headers.iter().map(|(k, v)| Ok((k.clone(), render(v)?))).collect::<Result<_, String>>()?,
        body: call.body.as_deref().map(render).transpose()?,
        json: call.json.as_ref().map(|value| json(value, render)).transpose()?,
        ca: call.ca.as_deref().map(render).transpose()?,
        expect,
        ..call.clone()
    })
}

fn json(value: &Value, render: Render<'_>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(render(text)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| json(item, render)).collect::<Result<_, _>>()?),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(key, value)| Ok((key.clone(), json(value, render)?))).collect::<Result<_, String>>()?,
        ),
        plain => plain.clone(),
    })
}

/// Its templates.
pub(super) fn texts(call: &Http) -> Vec<&str> {
    let mut texts = vec![call.url.as_str()];
    texts.extend(call.headers.values().map(String::as_str));
    texts.extend(call.body.as_deref());
    texts.extend(call.ca.as_deref());
    texts.extend(call.expect.headers.values().map(HeaderValue::text));
    texts.extend(call.expect.body_contains.as_deref());
    call.json.iter().chain(call.expect.json.values()).for_each(|value| within(value, &mut texts));
    texts
}

fn within<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| within(item, texts)),
        Value::Object(fields) => fields.values().for_each(|value| within(value, texts)),
        _ => {}
    }
}
