//! A specification as the blueprint gives it, read by its kind as it stands.

use crate::value::{Output, Value};
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value as Json};
use std::fmt;

/// A specification together with the outputs that are known by now: reads as its JSON would ([`Value::resolve`]), which
/// nobody has to make for that. It may be refused where its JSON is not (for keys that are no texts), and is read as the
/// same where it is not refused.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    value: &'a Value,
    outputs: &'a dyn Fn(&Output) -> Option<&'a Json>,
}

impl fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// What a value reads as.
enum Read<'a> {
    As(&'a Value),
    Known(&'a Json),
    Made(Json),
}

impl<'a> Given<'a> {
    /// `value`, with the outputs that `outputs` knows.
    #[must_use]
    pub fn new(value: &'a Value, outputs: &'a dyn Fn(&Output) -> Option<&'a Json>) -> Self {
        Self { value, outputs }
    }

    /// What the blueprint says.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// An output, when it is known.
    pub(crate) fn output(&self, output: &Output) -> Option<&'a Json> {
        (self.outputs)(output)
    }

    /// The JSON that it stands for.
    ///
    /// # Errors
    /// The first output that is not known.
    pub fn resolve(&self) -> Result<Json, Output> {
        self.value.resolve(&|output: &Output| (self.outputs)(output).cloned())
    }

    fn of(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }

    fn read(self) -> Result<Read<'a>, Error> {
        let unknown = |output: &Output| Error::custom(format!("{output} is not known"));
        match self.value {
            Value::Output(output) => (self.outputs)(output).map(Read::Known).ok_or_else(|| unknown(output)),
            Value::Concat(_) | Value::Secret(_) => self.resolve().map(Read::Made).map_err(|output| unknown(&output)),
            value => Ok(Read::As(value)),
        }
    }
}

impl<'a> IntoDeserializer<'a, Error> for Given<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Given<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = match self.read()? {
            Read::Known(json) => return json.deserialize_any(visitor),
            Read::Made(json) => return json.deserialize_any(visitor),
            Read::As(value) => value,
        };
        match value {
            Value::Null | Value::Output(_) | Value::Concat(_) | Value::Secret(_) => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(value) => value.deserialize_any(visitor),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::List(items) => {
                let mut items = SeqDeserializer::new(items.iter().map(|item| self.of(item)));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Map(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, item)| (BorrowedStrDeserializer::new(key), self.of(item)));
                let mut entries = MapDeserializer::new(entries);
                let read = visitor.visit_map(&mut entries)?;
                entries.end().map(|()| read)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.read()? {
            Read::Known(json) => json.deserialize_option(visitor),
            Read::Made(json) => json.deserialize_option(visitor),
            Read::As(Value::Null) => visitor.visit_none(),
            Read::As(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.read()? {
            Read::Known(json) => json.deserialize_enum(name, variants, visitor),
            Read::Made(json) => json.deserialize_enum(name, variants, visitor),
            Read::As(Value::String(variant)) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
            Read::As(Value::Map(entries)) if entries.len() == 1 => {
                let entries = entries.iter();
                let entries = entries.map(|(key, item)| (BorrowedStrDeserializer::new(key), self.of(item)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            Read::As(_) => Err(Error::custom(format!("it is no {name}"))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}
