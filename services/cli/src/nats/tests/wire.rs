//! The NATS protocol, as little of it as shows what the server refuses: it tells so at once, where a
//! client library would wait for an answer that never comes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use nkeys::KeyPair;

/// A connection of one user.
pub struct Wire {
    reader: BufReader<TcpStream>,
    subscriptions: u32,
}

impl Wire {
    /// Connects with the key of a seed, or with none. Errs with the server's words.
    pub fn connect(address: &str, seed: Option<&str>) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
        let mut wire = Self { reader: BufReader::new(stream), subscriptions: 0 };
        let info = wire.line()?;
        let info: serde_json::Value =
            serde_json::from_str(info.trim_start_matches("INFO ")).map_err(|e| format!("{e}: {info}"))?;
        let mut connect = serde_json::json!({"verbose": false, "pedantic": false, "lang": "test", "version": "0"});
        if let Some(seed) = seed {
            let key = KeyPair::from_seed(seed).map_err(|e| e.to_string())?;
            let nonce = info["nonce"].as_str().unwrap_or_default();
            let signature = key.sign(nonce.as_bytes()).map_err(|e| e.to_string())?;
            connect["nkey"] = key.public_key().into();
            connect["sig"] = BASE64_URL_SAFE_NO_PAD.encode(signature).into();
        }
        wire.send(&format!("CONNECT {connect}\r\n"))?;
        match wire.settle()? {
            None => Ok(wire),
            Some(error) => Err(error),
        }
    }

    /// Whether the server takes a message on the subject.
    pub fn may_publish(&mut self, subject: &str) -> bool {
        self.send(&format!("PUB {subject} 0\r\n\r\n")).expect("the connection is open");
        self.is_taken("Publish", subject)
    }

    /// Whether the server takes a subscription to the subject.
    pub fn may_subscribe(&mut self, subject: &str) -> bool {
        self.subscriptions += 1;
        self.send(&format!("SUB {subject} {}\r\n", self.subscriptions)).expect("the connection is open");
        self.is_taken("Subscription", subject)
    }

    fn is_taken(&mut self, what: &str, subject: &str) -> bool {
        match self.settle().expect("the connection is open") {
            None => true,
            Some(error) => {
                let expected = format!("Permissions Violation for {what} to \"{subject}\"").to_lowercase();
                assert!(error.to_lowercase().contains(&expected), "{subject}: {error}");
                false
            }
        }
    }

    /// Everything sent before is dealt with when the ping comes back; the first error until then.
    fn settle(&mut self) -> Result<Option<String>, String> {
        self.send("PING\r\n")?;
        let mut error = None;
        loop {
            let line = self.line()?;
            match line.split_once(' ').map_or(line.as_str(), |(verb, _)| verb) {
                "PONG" => return Ok(error),
                "PING" => self.send("PONG\r\n")?,
                "-ERR" if line.contains("Authorization") => return Err(line),
                "-ERR" => error = error.or(Some(line)),
                _ => {}
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<(), String> {
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|e| e.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}
