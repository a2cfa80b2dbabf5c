//! Compares what a value is as JSON with JSON that is there, without making the one from the other.
//!
//! Nearly all specifications of nearly all plans are as they were recorded, and a tree of JSON costs more to make than all
//! that is asked of it. So the value is serialised into a comparison. It may say no where [`serde_json::to_value`] would
//! make the very same (of keys that are no texts, of mappings of more than [`LARGEST`] entries), and never yes where that
//! would make something else: whoever is told no makes the JSON, and looks.

use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};
use serde_json::{Map, Value as Json};
use std::fmt;

/// As many entries have a bit each.
const LARGEST: usize = u128::BITS as usize;

/// True only when `value` is `json` once it is JSON.
pub(super) fn is_same(value: &impl Serialize, json: &Json) -> bool {
    value.serialize(Comparison(json)).is_ok()
}

/// It is something else, or that cannot be told.
#[derive(Debug)]
struct Differs;

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is something else")
    }
}

impl std::error::Error for Differs {}

impl Error for Differs {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Same = Result<(), Differs>;

fn when(same: bool) -> Same {
    if same { Ok(()) } else { Err(Differs) }
}

struct Comparison<'a>(&'a Json);

impl<'a> Comparison<'a> {
    fn scalar(self, value: impl Into<Json>) -> Same {
        when(value.into() == *self.0)
    }

    fn items(self) -> Result<Items<'a>, Differs> {
        Ok(Items(self.0.as_array().ok_or(Differs)?.iter()))
    }

    fn entries(self) -> Result<Entries<'a>, Differs> {
        let all = self.0.as_object().filter(|entries| entries.len() <= LARGEST).ok_or(Differs)?;
        Ok(Entries { all, met: 0, key: None })
    }

    /// What a mapping with nothing but this entry has there.
    fn only(self, key: &str) -> Result<Self, Differs> {
        let entries = self.0.as_object().filter(|entries| entries.len() == 1).ok_or(Differs)?;
        entries.get(key).map(Comparison).ok_or(Differs)
    }
}

/// What is left of a sequence.
struct Items<'a>(std::slice::Iter<'a, Json>);

impl Items<'_> {
    fn next(&mut self, value: &(impl Serialize + ?Sized)) -> Same {
        value.serialize(Comparison(self.0.next().ok_or(Differs)?))
    }

    fn end(mut self) -> Same {
        when(self.0.next().is_none())
    }
}

/// A mapping, and which of its entries were met.
struct Entries<'a> {
    all: &'a Map<String, Json>,
    met: u128,
    /// That of which the value comes next.
    key: Option<String>,
}

impl Entries<'_> {
    fn next(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Same {
        let (position, (_, json)) = self.all.iter().enumerate().find(|(_, (name, _))| *name == key).ok_or(Differs)?;
        // The later one of two with one key would count.
        let bit = 1 << position;
        when(self.met & bit == 0)?;
        self.met |= bit;
        value.serialize(Comparison(json))
    }

    fn end(self) -> Same {
        when(self.met.count_ones() as usize == self.all.len())
    }
}

impl<'a> Serializer for Comparison<'a> {
    type Ok = ();
    type Error = Differs;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Entries<'a>;
    type SerializeStructVariant = Entries<'a>;

    fn serialize_bool(self, value: bool) -> Same {
        when(self.0.as_bool() == Some(value))
    }

    fn serialize_i8(self, value: i8) -> Same {
        self.scalar(value)
    }

    fn serialize_i16(self, value: i16) -> Same {
        self.scalar(value)
    }

    fn serialize_i32(self, value: i32) -> Same {
        self.scalar(value)
    }

    fn serialize_i64(self, value: i64) -> Same {
        self.scalar(value)
    }

    fn serialize_u8(self, value: u8) -> Same {
        self.scalar(value)
    }

    fn serialize_u16(self, value: u16) -> Same {
        self.scalar(value)
    }

    fn serialize_u32(self, value: u32) -> Same {
        self.scalar(value)
    }

    fn serialize_u64(self, value: u64) -> Same {
        self.scalar(value)
    }

    fn serialize_f32(self, value: f32) -> Same {
        self.scalar(value)
    }

    fn serialize_f64(self, value: f64) -> Same {
        self.scalar(value)
    }

    fn serialize_char(self, value: char) -> Same {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Same {
        when(self.0.as_str() == Some(value))
    }

    fn serialize_bytes(self, _: &[u8]) -> Same {
        Err(Differs)
    }

    fn serialize_none(self) -> Same {
        when(self.0.is_null())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Same {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Same {
        when(self.0.is_null())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Same {
        when(self.0.is_null())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Same {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Same {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Same {
        value.serialize(self.only(variant)?)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Differs> {
        self.items()
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'a>, Differs> {
        self.items()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'a>, Differs> {
        self.items()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a>, Differs> {
        self.only(variant)?.items()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Differs> {
        self.entries()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries<'a>, Differs> {
        self.entries()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries<'a>, Differs> {
        self.only(variant)?.entries()
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Same {
        self.next(value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Same {
        self.next(value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Same {
        self.next(value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Same {
        self.next(value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Same {
        let Ok(Json::String(key)) = serde_json::to_value(key) else { return Err(Differs) };
        self.key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Same {
        let key = self.key.take().ok_or(Differs)?;
        self.next(&key, value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeStruct for Entries<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Same {
        self.next(key, value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

impl SerializeStructVariant for Entries<'_> {
    type Ok = ();
    type Error = Differs;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Same {
        self.next(key, value)
    }

    fn end(self) -> Same {
        self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, Serialize)]
    struct Unit;

    #[derive(Debug, Clone, Serialize)]
    struct Pair(i8, u64);

    #[derive(Debug, Clone, Serialize)]
    enum Choice {
        Plain,
        One(f64),
        Two(bool, char),
        Fields { name: Option<String>, rest: Vec<f32> },
    }

    /// Everything that serde can tell apart.
    #[derive(Debug, Clone, Serialize)]
    struct Everything {
        unit: Unit,
        pair: Pair,
        choices: Vec<Choice>,
        #[serde(skip_serializing_if = "Option::is_none")]
        perhaps: Option<i64>,
        texts: BTreeMap<String, (u8, String)>,
        json: Json,
    }

    fn choice() -> impl Strategy<Value = Choice> {
        prop_oneof![
            Just(Choice::Plain),
            any::<f64>().prop_map(Choice::One),
            any::<(bool, char)>().prop_map(|(one, two)| Choice::Two(one, two)),
            (any::<Option<String>>(), prop::collection::vec(any::<f32>(), 0..3))
                .prop_map(|(name, rest)| Choice::Fields { name, rest }),
        ]
    }

    prop_compose! {
        fn everything()(
            pair in any::<(i8, u64)>(),
            choices in prop::collection::vec(choice(), 0..4),
            perhaps in any::<Option<i64>>(),
            texts in prop::collection::btree_map("[a-c]{0,2}", any::<(u8, String)>(), 0..4),
            json in prop_oneof![Just(json!(null)), Just(json!({"a": [1, -2.5, {"b": true}]})), Just(json!(["x"]))],
        ) -> Everything {
            Everything { unit: Unit, pair: Pair(pair.0, pair.1), choices, perhaps, texts, json }
        }
    }

    /// The same JSON with something in it changed, found by counting.
    fn spoil(json: &mut Json, at: &mut usize) {
        match json {
            _ if *at == 0 => {
                *json = if *json == json!("spoiled") { json!(0) } else { json!("spoiled") };
                *at = usize::MAX;
            }
            Json::Array(items) => {
                *at -= 1;
                if *at == 0 {
                    items.push(Json::Null);
                    *at = usize::MAX;
                    return;
                }
                items.iter_mut().for_each(|item| spoil(item, at));
            }
            Json::Object(entries) => {
                *at -= 1;
                if *at == 0 {
                    entries.insert("more".to_owned(), Json::Null);
                    *at = usize::MAX;
                    return;
                }
                entries.values_mut().for_each(|item| spoil(item, at));
            }
            _ => *at -= 1,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_it_becomes_and_nothing_else(value in everything(), other in everything(), at in 0_usize..40) {
            let json = serde_json::to_value(&value).unwrap();
            prop_assert!(is_same(&value, &json));
            prop_assert_eq!(is_same(&other, &json), serde_json::to_value(&other).unwrap() == json);
            let (mut spoiled, mut at) = (json.clone(), at);
            spoil(&mut spoiled, &mut at);
            prop_assert_eq!(is_same(&value, &spoiled), spoiled == json);
        }
    }

    #[test]
    fn a_key_that_comes_twice_stands_for_no_other() {
        struct Twice;
        impl Serialize for Twice {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("a", &1)?;
                map.serialize_entry("a", &1)?;
                map.end()
            }
        }
        assert!(!is_same(&Twice, &json!({"a": 1, "b": 1})));
        assert!(!is_same(&Twice, &json!({"a": 1})), "it may say no");
    }

    #[test]
    fn what_it_cannot_tell_is_not_the_same() {
        let numbered = BTreeMap::from([(1, 2)]);
        assert!(!is_same(&numbered, &serde_json::to_value(&numbered).unwrap()));
        let many: BTreeMap<String, usize> = (0..=LARGEST).map(|n| (n.to_string(), n)).collect();
        assert!(!is_same(&many, &serde_json::to_value(&many).unwrap()));
        let fewer: BTreeMap<String, usize> = many.into_iter().take(LARGEST).collect();
        assert!(is_same(&fewer, &serde_json::to_value(&fewer).unwrap()));
    }
}
