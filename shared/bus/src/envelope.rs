//! Envelopes as bytes: JSON, compressed with zstd.

use std::cell::RefCell;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use slipway_domain::event::{Address, Entry};
use uuid::Uuid;

/// Most bytes that an envelope may have, compressed.
pub const MAX_ENVELOPE: usize = 512 * 1024;

/// Most bytes that a message may grow to when it is unpacked.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// Fast, and within a few percent of the next levels on JSON of this size.
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<(zstd::bulk::Decompressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

/// Compresses. The context is kept per thread: making one costs more than a small message.
pub(crate) fn compress(plain: &[u8]) -> std::io::Result<Bytes> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(zstd::bulk::Compressor::new(LEVEL)?);
        }
        let compressor = slot.as_mut().expect("invariant: set above");
        compressor.compress(plain).map(Bytes::from)
    })
}

/// Decompresses into a buffer of this thread and reads from there.
pub(crate) fn decompressed<T>(packed: &[u8], read: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, String> {
    let size = match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(size)) if size <= MAX_UNPACKED => size as usize,
        Ok(Some(size)) => return Err(format!("it unpacks to {size} bytes, more than the {MAX_UNPACKED} allowed")),
        Ok(None) | Err(_) => return Err("it is not a zstd frame of known size".to_owned()),
    };
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            let decompressor = zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?;
            *slot = Some((decompressor, Vec::new()));
        }
        let (decompressor, buffer) = slot.as_mut().expect("invariant: set above");
        buffer.clear();
        buffer.reserve(size);
        decompressor.decompress_to_buffer(packed, buffer).map_err(|e| e.to_string())?;
        read(buffer)
    })
}

/// An entry as bytes. The same entry gives the same bytes.
pub(crate) fn pack(entry: &Entry) -> Result<Bytes, String> {
    let json = entry.to_json().map_err(|e| e.to_string())?;
    compress(&json).map_err(|e| e.to_string())
}

/// What the bytes of a message are.
#[derive(Debug, PartialEq)]
pub(crate) enum Unpacked {
    /// The envelope itself.
    Entry(Entry),
    /// The name of the blob that holds the packed envelope.
    Blob(String),
}

/// What stands in the log for an envelope that is too large for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    id: Uuid,
    blob: String,
}

/// The entry that belongs to an address, or where it is, from bytes.
pub(crate) fn unpack(address: &Address, packed: &[u8]) -> Result<Unpacked, String> {
    decompressed(packed, |json| match Entry::from_json(address, json) {
        Ok(entry) => Ok(Unpacked::Entry(entry)),
        Err(error) => match serde_json::from_slice::<Reference>(json) {
            Ok(reference) => Ok(Unpacked::Blob(reference.blob)),
            Err(_) => Err(error.to_string()),
        },
    })
}

/// The bytes that stand for an envelope which is in a blob. They carry its id, by which a race is settled.
pub(crate) fn refer(id: Uuid, blob: String) -> Result<Bytes, String> {
    let json = serde_json::to_vec(&Reference { id, blob }).map_err(|e| e.to_string())?;
    compress(&json).map_err(|e| e.to_string())
}

/// The envelope's id alone, whatever its family and events.
pub(crate) fn id(packed: &[u8]) -> Result<Uuid, String> {
    #[derive(Deserialize)]
    struct Head {
        id: Uuid,
    }
    decompressed(packed, |json| serde_json::from_slice::<Head>(json).map(|head| head.id).map_err(|e| e.to_string()))
}

#[cfg(test)]
mod tests {
    use slipway_domain::{
        event::{Actor, Envelope, PlanEvent, SCHEMA},
        id::DeploymentId,
    };

    use super::*;

    fn entry() -> Entry {
        Entry::Plan(Envelope {
            id: Uuid::from_u128(7),
            schema: SCHEMA,
            at: chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            actor: Actor::Planner { id: "planner-1".into() },
            trace: None,
            events: vec![PlanEvent::Started { policy: 0 }],
        })
    }

    #[test]
    fn an_entry_survives_and_packs_to_the_same_bytes() {
        let packed = pack(&entry()).unwrap();
        assert_eq!(packed, pack(&entry()).unwrap());
        let address = Address::Plan(DeploymentId(Uuid::nil()));
        assert_eq!(unpack(&address, &packed).unwrap(), Unpacked::Entry(entry()));
        assert_eq!(id(&packed).unwrap(), Uuid::from_u128(7));
        let reference = refer(entry().id(), "b".into()).unwrap();
        assert_eq!(unpack(&address, &reference).unwrap(), Unpacked::Blob("b".into()));
        assert_eq!(id(&reference).unwrap(), Uuid::from_u128(7));
    }

    #[test]
    fn garbage_and_bombs_are_refused() {
        assert!(id(b"{\"id\":1}").is_err());
        assert!(id(&compress(b"[]").unwrap()).is_err());
        let bomb = compress(&vec![0; MAX_UNPACKED as usize + 1]).unwrap();
        assert!(id(&bomb).unwrap_err().contains("unpacks to"));
    }
}
