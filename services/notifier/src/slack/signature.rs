//! Whether a request really comes from Slack: version 0 of its request signing.
//!
//! Slack signs `v0:<timestamp>:<raw body>` with the app's signing secret, and a request is good for
//! five minutes. Nothing of the body may be looked at before this said yes. The clock is an argument.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far the request's timestamp may be from now, in seconds, either way. From Slack's documentation.
pub const WINDOW_SECS: i64 = 300;

/// Why a request is not believed. Said to the caller, so it tells nothing about the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is not there.
    #[error("the request lacks the headers X-Slack-Signature and X-Slack-Request-Timestamp")]
    Missing,
    /// The timestamp is no number of seconds, or too far from now.
    #[error("the request's timestamp is not within five minutes of this server's clock")]
    Stale,
    /// The signature is of another body, another time or another secret.
    #[error("the request's signature does not fit its body")]
    Forged,
}

/// Checks the signature of a raw body. `now` is in seconds since 1970.
pub fn verify(
    secret: &[u8],
    timestamp: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    now: i64,
) -> Result<(), Unsigned> {
    let (Some(timestamp), Some(signature)) = (timestamp, signature) else { return Err(Unsigned::Missing) };
    let sent: i64 = timestamp.parse().map_err(|_| Unsigned::Stale)?;
    if now.abs_diff(sent) > WINDOW_SECS.unsigned_abs() {
        return Err(Unsigned::Stale);
    }
    let signature = signature.strip_prefix("v0=").and_then(from_hex).ok_or(Unsigned::Forged)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("invariant: HMAC takes keys of any length");
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac.verify_slice(&signature).map_err(|_| Unsigned::Forged)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "kiln-and-harbour";
    const SENT: i64 = 1_795_000_000;
    const BODY: &[u8] = b"payload=%7B%22type%22%3A%22block_actions%22%7D";
    /// The signatures of this module were computed with Python's `hmac`.
    const SIGNATURE: &str = "v0=c4aaba13fb3dbafecaf75f40d0920597d00ad56d9e9df37f9c48e141bc5c38a0";

    struct Case {
        name: &'static str,
        secret: &'static str,
        timestamp: Option<&'static str>,
        signature: Option<&'static str>,
        body: &'static [u8],
        now: i64,
        expect: Result<(), Unsigned>,
    }

    /// A good request; each test case changes one thing.
    const GOOD: Case = Case {
        name: "as sent",
        secret: SECRET,
        timestamp: Some("1795000000"),
        signature: Some(SIGNATURE),
        body: BODY,
        now: SENT,
        expect: Ok(()),
    };

    #[test]
    fn only_a_fresh_request_signed_over_its_raw_body_is_believed() {
        use Unsigned::{Forged, Missing, Stale};
        let cases = [
            GOOD,
            Case { name: "five minutes later", now: SENT + 300, ..GOOD },
            Case { name: "a clock five minutes behind", now: SENT - 300, ..GOOD },
            Case {
                name: "empty body",
                body: b"",
                signature: Some("v0=9a3479d678b079a57b4cc174ab3c22d4b6ba6956fc085e144e177997db582ae1"),
                ..GOOD
            },
            Case {
                name: "body beyond ASCII",
                body: "text=bär ✓".as_bytes(),
                signature: Some("v0=a377b838ebfd30dbf08a052e48d88a0da6b15812af7bcd61d831f11a163702fc"),
                ..GOOD
            },
            Case { name: "too late", now: SENT + 301, expect: Err(Stale), ..GOOD },
            Case { name: "from the future", now: SENT - 301, expect: Err(Stale), ..GOOD },
            Case {
                name: "timestamp is a word, though signed",
                timestamp: Some("later"),
                signature: Some("v0=c4ed3e0b988715b1a63e1a356d11b7769ad15bc7e53482385230bad919b677d5"),
                body: b"a=b",
                expect: Err(Stale),
                ..GOOD
            },
            Case {
                name: "timestamp beyond all numbers",
                timestamp: Some("99999999999999999999"),
                expect: Err(Stale),
                ..GOOD
            },
            Case { name: "earliest number", timestamp: Some("-9223372036854775808"), expect: Err(Stale), ..GOOD },
            Case { name: "another second than signed", timestamp: Some("1795000001"), expect: Err(Forged), ..GOOD },
            Case { name: "no timestamp", timestamp: None, expect: Err(Missing), ..GOOD },
            Case { name: "no signature", signature: None, expect: Err(Missing), ..GOOD },
            Case {
                name: "one byte more",
                body: b"payload=%7B%22type%22%3A%22block_actions%22%7D ",
                expect: Err(Forged),
                ..GOOD
            },
            Case { name: "another secret", secret: "kiln-and-harbor", expect: Err(Forged), ..GOOD },
            Case {
                name: "signed with another secret",
                signature: Some("v0=1273ee80192694e0227df1550293bbaae3057ef80bb4a5f47072b8f968de691b"),
                expect: Err(Forged),
                ..GOOD
            },
            Case { name: "no version", signature: SIGNATURE.strip_prefix("v0="), expect: Err(Forged), ..GOOD },
            Case { name: "another version", signature: Some("v1=00"), expect: Err(Forged), ..GOOD },
            Case { name: "cut off", signature: SIGNATURE.get(..20), expect: Err(Forged), ..GOOD },
            Case { name: "cut off at half a byte", signature: SIGNATURE.get(..21), expect: Err(Forged), ..GOOD },
            Case { name: "not hex", signature: Some("v0=zz"), expect: Err(Forged), ..GOOD },
            Case { name: "nothing after the version", signature: Some("v0="), expect: Err(Forged), ..GOOD },
        ];
        for case in cases {
            let seen = verify(case.secret.as_bytes(), case.timestamp, case.signature, case.body, case.now);
            assert_eq!(seen, case.expect, "{}", case.name);
        }
    }
}
