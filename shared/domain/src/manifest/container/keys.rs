//! How `docker-run` is read: its own keys, and beside them those that all containers have.
//!
//! What serde's `flatten` does would lose the lines of mistakes and the list of known keys, because it keeps all
//! values aside first. Here the keys of [`Container`] are handed on to it one by one, as they come.

use std::fmt;

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, Visitor},
};

use super::{Container, DockerRun, Health, Restart, Switch};

/// The keys of `docker-run` alone.
const OWN: [&str; 7] = ["name", "ports", "secrets", "health", "restart", "switch", "create-only"];

/// The values of those keys.
#[derive(Default)]
struct Own {
    name: Option<Option<String>>,
    ports: Option<Vec<String>>,
    secrets: Option<IndexMap<String, String>>,
    health: Option<Option<Health>>,
    restart: Option<Restart>,
    switch: Option<Option<Switch>>,
    create_only: Option<bool>,
}

impl Own {
    /// Reads the value of a key if it is one of them.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "name" => once(&mut self.name, "name", map)?,
            "ports" => once(&mut self.ports, "ports", map)?,
            "secrets" => once(&mut self.secrets, "secrets", map)?,
            "health" => once(&mut self.health, "health", map)?,
            "restart" => once(&mut self.restart, "restart", map)?,
            "switch" => once(&mut self.switch, "switch", map)?,
            "create-only" => once(&mut self.create_only, "create-only", map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    key: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(A::Error::duplicate_field(key));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

impl<'de> Deserialize<'de> for DockerRun {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Own::default();
        let container = Container::deserialize(Peel { deserializer, own: &mut own })?;
        Ok(Self {
            container,
            name: own.name.flatten(),
            ports: own.ports.unwrap_or_default(),
            secrets: own.secrets.unwrap_or_default(),
            health: own.health.flatten(),
            restart: own.restart.unwrap_or_default(),
            switch: own.switch.flatten(),
            create_only: own.create_only.unwrap_or_default(),
        })
    }
}

/// A source of a struct's keys that takes some of them for itself.
struct Peel<'a, D> {
    deserializer: D,
    own: &'a mut Own,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Peel<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserializer.deserialize_map(Peeled { visitor, known, own: self.own })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// What is left of the keys.
struct Peeled<'a, V> {
    visitor: V,
    known: &'static [&'static str],
    own: &'a mut Own,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Peeled<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct DockerRun")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Rest { map, known: self.known, own: self.own })
    }
}

struct Rest<'a, A> {
    map: A,
    known: &'static [&'static str],
    own: &'a mut Own,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key_seed(KnownKey(self.known))? {
            if !self.own.take(&key, &mut self.map)? {
                return seed.deserialize(key.as_str().into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A key, refused where it stands if nobody knows it.
#[derive(Clone, Copy)]
struct KnownKey(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        let mut known = self.0.iter().chain(&OWN);
        if known.any(|known| *known == key) {
            return Ok(key.to_owned());
        }
        // In serde's words, which are put into ours where they are shown.
        let known: Vec<String> = self.0.iter().chain(&OWN).map(|key| format!("`{key}`")).collect();
        Err(E::custom(format!("unknown field `{key}`, expected one of {}", known.join(", "))))
    }
}
