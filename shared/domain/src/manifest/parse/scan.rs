//! A first look over a text as YAML: where its documents are, what kind each is, and what must not
//! be in it. Reads no values but `kind` and `apiVersion`.

use std::{collections::HashMap, fmt, marker::PhantomData};

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde_saphyr::granit_parser::{Event, Parser, ScanError, Span};

use super::Found;
use crate::secret::has_marker_chars;

/// Why a text with the characters of secret markers is refused.
pub(super) const MARKERS: &str =
    "the characters U+F8F0 and U+F8F1 are Slipway's own marks for secrets and can not be used: remove them";

/// What a text consists of.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) documents: Vec<Document>,
    pub(super) problems: Vec<Found>,
}

/// One document that is not empty.
pub(super) struct Document {
    /// Line of its first content, from 1.
    pub(super) line: u64,
    /// Its text, after as many line ends as there are lines before it, so that lines count from the file's first.
    pub(super) text: String,
    /// The value of `kind` and its line.
    pub(super) kind: Option<(u64, String)>,
    /// The value of `apiVersion` and its line.
    pub(super) api_version: Option<(u64, String)>,
    /// Whether YAML dropped a value of it, so that what is left was not meant like this.
    pub(super) incomplete: bool,
    items: HashMap<(String, usize), u64>,
}

impl Document {
    /// The line of the n-th item of a list under a top key, such as the third of `steps`.
    pub(super) fn item_line(&self, section: &str, index: usize) -> Option<u64> {
        self.items.get(&(section.to_owned(), index)).copied()
    }
}

/// Looks over a text. A syntax error ends the look; documents before it are there.
pub(super) fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut walk = Walk::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => walk.event(text, &event, span, &mut scan),
            Err(error) => {
                scan.problems.push(syntax(&error));
                break;
            }
        }
    }
    scan
}

fn syntax(error: &ScanError) -> Found {
    let info = error.info();
    let info = info.split(" at byte ").next().unwrap_or(&info);
    Found { line: error.marker().line() as u64, message: format!("this is not YAML: {info}") }
}

/// Where the walk is inside nested values.
enum Frame {
    Map { key: Option<String>, at_key: bool },
    Seq { next: usize },
}

#[derive(Default)]
struct Walk {
    frames: Vec<Frame>,
    start: Option<(usize, usize)>,
    line: Option<u64>,
    kind: Option<(u64, String)>,
    api_version: Option<(u64, String)>,
    incomplete: bool,
    items: HashMap<(String, usize), u64>,
}

impl Walk {
    fn event(&mut self, text: &str, event: &Event<'_>, span: Span, scan: &mut Scan) {
        let line = span.start.line() as u64;
        match event {
            Event::Comment(comment, _) if comment.starts_with('{') && drops_value(text, line) => {
                self.incomplete = true;
                scan.problems.push(Found { line, message: dropped(comment) });
            }
            Event::DocumentStart(..) => {
                *self = Self { start: Some((byte(text, span), span.start.line())), ..Self::default() };
            }
            Event::DocumentEnd => scan.documents.extend(self.finish(text, span)),
            Event::Scalar(value, ..) => {
                if has_marker_chars(value) {
                    scan.problems.push(Found { line, message: MARKERS.to_owned() });
                }
                self.node(line, Some(value));
            }
            Event::Alias(_) => self.node(line, None),
            Event::SequenceStart(..) => {
                self.node(line, None);
                self.frames.push(Frame::Seq { next: 0 });
            }
            Event::MappingStart(..) => {
                self.node(line, None);
                self.frames.push(Frame::Map { key: None, at_key: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
            }
            _ => {}
        }
    }

    /// A value, a key or an item begins here.
    fn node(&mut self, line: u64, scalar: Option<&str>) {
        let depth = self.frames.len();
        let section = match self.frames.first() {
            Some(Frame::Map { key: Some(key), .. }) => Some(key.clone()),
            _ => None,
        };
        match self.frames.last_mut() {
            None if !matches!(scalar, Some("" | "~" | "null")) => self.line = Some(line),
            None => {}
            Some(Frame::Map { key, at_key }) if *at_key => {
                *key = scalar.map(str::to_owned);
                *at_key = false;
            }
            Some(Frame::Map { key, at_key }) => {
                *at_key = true;
                if depth == 1 {
                    let value = || Some((line, scalar.unwrap_or_default().to_owned()));
                    match key.as_deref() {
                        Some("kind") => self.kind = value(),
                        Some("apiVersion") => self.api_version = value(),
                        _ => {}
                    }
                }
            }
            Some(Frame::Seq { next }) => {
                if let (2, Some(section)) = (depth, section) {
                    self.items.insert((section, *next), line);
                }
                *next += 1;
            }
        }
    }

    fn finish(&mut self, text: &str, end: Span) -> Option<Document> {
        let (start, start_line) = self.start.take()?;
        let line = self.line.take()?;
        let end = end.end.byte_offset().unwrap_or(text.len()).clamp(start, text.len());
        let mut lined = "\n".repeat(start_line.saturating_sub(1));
        lined.push_str(&text[start..end]);
        Some(Document {
            line,
            text: lined,
            kind: self.kind.take(),
            api_version: self.api_version.take(),
            incomplete: self.incomplete,
            items: std::mem::take(&mut self.items),
        })
    }
}

fn byte(text: &str, span: Span) -> usize {
    span.start.byte_offset().unwrap_or(0).min(text.len())
}

/// Whether the comment of that line stands where a value was meant: after something on its line, or
/// alone under a key that has no value.
fn drops_value(text: &str, line: u64) -> bool {
    let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    let Some(this) = text.lines().nth(index) else { return false };
    if !this.trim_start().starts_with('#') {
        return true;
    }
    let before = text.lines().take(index).filter(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#')).last();
    before.is_some_and(|l| l.trim_end().ends_with(':'))
}

fn dropped(comment: &str) -> String {
    let shown: String = comment.chars().take(40).collect();
    format!("YAML takes `#{}` for a comment and drops it: quote this value, such as \"… #{{Name}}\"", shown.trim_end())
}

/// Reads a mapping into `T` past the keys that every document may have.
pub(super) struct Body<T>(PhantomData<T>);

impl<T> Body<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Body<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys with values, beginning with `kind`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(PastHeader(map)))
    }
}

/// A map without its `kind` and `apiVersion`.
struct PastHeader<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for PastHeader<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            match self.0.next_key_seed(Key(&mut seed))? {
                None => return Ok(None),
                Some(Some(key)) => return Ok(Some(key)),
                Some(None) => {
                    self.0.next_value::<IgnoredAny>()?;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// Hands a key to the struct from inside the reader's own call, so that an error gets the key's line.
struct Key<'a, K>(&'a mut Option<K>);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = Option<K::Value>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Key<'_, K> {
    type Value = Option<K::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        if matches!(key, "kind" | "apiVersion") {
            return Ok(None);
        }
        let seed = self.0.take().expect("invariant: a seed is used for one key only");
        seed.deserialize(key.to_owned().into_deserializer()).map(Some)
    }
}
