//! One walk over a JSON text that notes where the wanted values stand.
//!
//! serde_json drives it, so nothing is built for what is not wanted: keys are compared where they stand,
//! values that no path needs are skipped without recursion, and a wanted value is a slice of the text.
//!
//! serde_json's visitor has one fault for this use: where a path expects an object and the document has a
//! scalar, the scalar is decoded before it can be passed over, and `1e400` or `"\ud800"`, both good JSON,
//! fail there. Keys, the other way round, must be read as bytes to let such escapes pass, and then a raw
//! control character passes, too. So a walk that fails, or meets a key with a control character, is done
//! again with care: each level is first checked as a whole and cut out as text, which is exact and reads a
//! level once more for each segment above it. Only that second walk decides that a document is bad.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::json_trie::{Node, Trie};

/// The text of the value in each slot, if it is there. The last of several equal keys counts.
///
/// # Errors
/// The text is not one JSON value with nothing but white space around it.
pub(super) fn find<'de>(trie: &Trie, text: &'de str) -> Result<Vec<Option<&'de str>>, serde_json::Error> {
    let mut walk = Walk { trie, found: vec![None; trie.slots], careful: false };
    if walk.document(text).is_err() {
        walk.careful = true;
        walk.found.fill(None);
        walk.document(text)?;
    }
    Ok(walk.found)
}

struct Walk<'t, 'de> {
    trie: &'t Trie,
    found: Vec<Option<&'de str>>,
    careful: bool,
}

impl<'de> Walk<'_, 'de> {
    fn document(&mut self, text: &'de str) -> Result<(), serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        Place { walk: self, node: 0 }.deserialize(&mut json)?;
        json.end()
    }

    /// Drops what an earlier, equal key led to.
    fn forget_below(&mut self, node: usize) {
        let trie = self.trie;
        for child in &trie.nodes[node].children {
            if let Some(slot) = trie.nodes[child.node].slot {
                self.found[slot] = None;
            }
            self.forget_below(child.node);
        }
    }
}

/// A value that some path ends at or passes through.
struct Place<'w, 't, 'de> {
    walk: &'w mut Walk<'t, 'de>,
    node: usize,
}

impl<'t> Place<'_, 't, '_> {
    fn node(&self) -> &'t Node {
        &self.walk.trie.nodes[self.node]
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let node = self.node();
        if node.slot.is_none() && !node.children.is_empty() && !self.walk.careful {
            return json.deserialize_any(self);
        }
        let raw = <&'de RawValue>::deserialize(json)?.get();
        if let Some(slot) = node.slot {
            self.walk.found[slot] = Some(raw);
        }
        if !node.children.is_empty() && raw.starts_with(['{', '[']) {
            serde_json::Deserializer::from_str(raw).deserialize_any(self).map_err(D::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let node = self.node();
        while let Some(wanted) = map.next_key_seed(Key { of: node, careful: self.walk.careful })? {
            match wanted {
                Some(child) => {
                    self.walk.forget_below(child);
                    map.next_value_seed(Place { walk: &mut *self.walk, node: child })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let node = self.node();
        for index in 0..node.elements_wanted() {
            let more = match node.at_index(index) {
                Some(child) => {
                    array.next_element_seed(Place { walk: &mut *self.walk, node: child })?.is_some()
                }
                None => array.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
        }
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    // A scalar has nothing below it: the path leads nowhere.

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A key of an object: the child that it leads to, if any.
struct Key<'t> {
    of: &'t Node,
    careful: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: serde::de::Error>(self, key: &[u8]) -> Result<Option<usize>, E> {
        if !self.careful && key.iter().any(|byte| *byte < b' ') {
            return Err(E::custom("a control character in a key, escaped or not"));
        }
        Ok(self.of.named(key))
    }
}
