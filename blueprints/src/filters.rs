//! The functions and filters of expressions beyond the engine's own: what those who write about clusters compute.
//!
//! Addresses are IPv4 or IPv6 networks in CIDR notation (RFC 4632, RFC 4291). Every result is bounded, because a few
//! characters must not be able to ask for gigabytes.

use crate::unknown::{BOOK, Book, Budget, Handle, leave};
use forge_engine::address::Address;
use forge_engine::value::{Output, Secret, Value};
use minijinja::value::{Rest, Value as Jinja, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The most networks that one expression may make; a VPC has at most 200 subnets by default.
const MAX_NETWORKS: u32 = 4096;

/// The most values of one text of JSON; the longest text that an expression may give holds fewer.
const MAX_JSON: usize = 64 << 10;

/// The least length that a text is cut to: a dash, eight digits, and something to know it by.
const SHORTEST: usize = 16;

/// Adds them.
pub(crate) fn add(environment: &mut Environment<'static>) {
    watch(environment);
    environment.add_function("secret", |state: &State<'_, '_>, reference: String| {
        ticket(state, &Value::Secret(Secret { secret: reference }))
    });
    environment.add_function("output", |state: &State<'_, '_>, address: String, name: String| {
        ticket(state, &Value::Output(Output { address: Address::new(address), name }))
    });
    environment.add_function("instance_type", |state: &State<'_, '_>, name: String| {
        let facts = book(state).and_then(|book| book.facts.instance_type(&name));
        facts.as_ref().map_or(Jinja::from(()), from_json)
    });
    environment.add_function("agent_digest", |state: &State<'_, '_>, architecture: String| {
        book(state).and_then(|book| book.facts.agent_digest(&architecture)).map_or(Jinja::from(()), Jinja::from)
    });
    environment.add_filter("cidr_subnet", cidr_subnet);
    environment.add_filter("cidr_subnets", cidr_subnets);
    environment.add_filter("cidr_host", cidr_host);
    environment.add_filter("cidr_size", |text: String| {
        let network = Network::parse(&text)?;
        let free = network.width - network.prefix;
        1_u64
            .checked_shl(free)
            .filter(|_| free < 64)
            .ok_or_else(|| refuse(format!("{text} has more than 2^63 addresses")))
    });
    environment.add_filter("cidr_contains", |text: String, others: Jinja| {
        let outer = Network::parse(&text)?;
        let inside = |inner: &Network| outer.prefix <= inner.prefix && outer.overlaps(inner);
        Ok::<_, Error>(networks(&others)?.iter().all(inside))
    });
    environment.add_filter("cidr_overlaps", |text: String, others: Jinja| {
        let one = Network::parse(&text)?;
        Ok::<_, Error>(networks(&others)?.iter().any(|other| one.overlaps(other)))
    });
    environment.add_filter("sha256", |text: String| {
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    });
    environment.add_filter("short", short);
    environment.add_filter("json", |state: &State<'_, '_>, value: Jinja| {
        if let Some(book) = book(state) {
            book.look_at(&value);
        }
        to_json(&value).map(|json| json.to_string())
    });
    environment.add_filter("from_json", |text: String| {
        serde_json::from_str::<serde_json::Value>(&text)
            .map(|json| from_json(&json))
            .map_err(|error| refuse(format!("this is not JSON: {error}")))
    });
    environment.add_filter("merge", merge);
    environment.add_filter("flatten", flatten);
    environment
        .add_filter("keys", |value: Jinja| entries(&value).map(|entries| entries.into_keys().collect::<Vec<_>>()));
    environment
        .add_filter("values", |value: Jinja| entries(&value).map(|entries| entries.into_values().collect::<Vec<_>>()));
    environment.add_filter("ceil", |number: f64| whole(number.ceil()));
    environment.add_filter("floor", |number: f64| whole(number.floor()));
    environment.add_filter("pluck", pluck);
}

fn refuse(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// The engine's filters that put items into an order or choose among them. Each looks at its items, or at one attribute of
/// them, and gives them back, so that no ticket would be missing afterwards.
fn watch(environment: &mut Environment<'static>) {
    use minijinja::filters;
    fn hidden(name: &str) -> String {
        format!("\0{name}")
    }
    environment.add_filter(hidden("dictsort"), filters::dictsort);
    environment.add_filter(hidden("groupby"), filters::groupby);
    environment.add_filter(hidden("reject"), filters::reject);
    environment.add_filter(hidden("rejectattr"), filters::rejectattr);
    environment.add_filter(hidden("select"), filters::select);
    environment.add_filter(hidden("selectattr"), filters::selectattr);
    environment.add_filter(hidden("sort"), filters::sort);
    environment.add_filter(hidden("unique"), filters::unique);
    for name in ["dictsort", "groupby", "reject", "rejectattr", "select", "selectattr", "sort", "unique"] {
        environment.add_filter(name, move |state: &mut State<'_, '_>, value: Jinja, rest: Rest<ValueOrKwargs>| {
            let mut arguments = vec![value];
            arguments.extend(rest.into_values());
            let keywords = arguments.last().filter(|last| last.is_kwargs()).cloned();
            let keyword = |name: &str| keywords.as_ref()?.get_attr(name).ok()?.as_str().map(str::to_owned);
            let attribute = match name {
                "groupby" | "rejectattr" | "selectattr" => {
                    arguments.get(1).and_then(Jinja::as_str).map(str::to_owned).or_else(|| keyword("attribute"))
                }
                _ => keyword("attribute"),
            };
            if let Some(book) = book(state) {
                if name == "dictsort" {
                    if keyword("by").is_some_and(|by| by == "value") {
                        book.look_at(&arguments[0]);
                    }
                } else if let Ok(items) = arguments[0].try_iter() {
                    // Some can be gone over only once.
                    let items: Vec<Jinja> = items.collect();
                    for item in &items {
                        match &attribute {
                            None => book.look_at(item),
                            Some(attributes) => attributes.split(',').for_each(|attribute| {
                                let part = attribute.trim().split('.').try_fold(item.clone(), |item, step| match step
                                    .parse::<usize>(
                                ) {
                                    Ok(index) => item.get_item_by_index(index),
                                    Err(_) => item.get_attr(step),
                                });
                                part.iter().for_each(|part| book.look_at(part));
                            }),
                        }
                    }
                    arguments[0] = Jinja::from(items);
                }
            }
            state.apply_filter(&hidden(name), &arguments)
        });
    }
}

fn ticket(state: &State<'_, '_>, value: &Value) -> Result<Jinja, Error> {
    book(state).map(|book| book.hand_out(value)).ok_or_else(|| refuse("it cannot be called here"))
}

/// The book of the evaluation that this is called in.
fn book(state: &State<'_, '_>) -> Option<Arc<Book>> {
    Some(Arc::clone(&state.lookup(BOOK)?.downcast_object_ref::<Handle>()?.0))
}

fn whole(number: f64) -> Result<i64, Error> {
    // 2^53: from there on a float no longer holds every whole number.
    if number.abs() < 9_007_199_254_740_992.0 { Ok(number as i64) } else { Err(refuse("the number is too large")) }
}

fn entries(value: &Jinja) -> Result<BTreeMap<String, Jinja>, Error> {
    if value.kind() != ValueKind::Map {
        return Err(refuse(format!("it needs a mapping, not {}", value.kind())));
    }
    value
        .try_iter()?
        .map(|key| {
            let item = value.get_item(&key)?;
            Ok((key.as_str().map_or_else(|| key.to_string(), str::to_owned), item))
        })
        .collect()
}

fn merge(value: Jinja, others: Rest<Jinja>) -> Result<Jinja, Error> {
    let mut merged = entries(&value)?;
    for other in others.iter() {
        merged.extend(entries(other)?);
    }
    Ok(Jinja::from(merged))
}

fn flatten(value: Jinja) -> Result<Jinja, Error> {
    let mut flat = Vec::new();
    for item in value.try_iter()? {
        if matches!(item.kind(), ValueKind::Seq | ValueKind::Iterable) {
            flat.extend(item.try_iter()?);
        } else {
            flat.push(item);
        }
    }
    Ok(Jinja::from(flat))
}

fn pluck(value: Jinja, name: String) -> Result<Jinja, Error> {
    let of = |item: &Jinja| {
        let part = item.get_attr(&name)?;
        if part.is_undefined() { Err(refuse(format!("an item has no `{name}`"))) } else { Ok(part) }
    };
    match value.kind() {
        ValueKind::Map => entries(&value)?.values().map(of).collect::<Result<Vec<_>, _>>().map(Jinja::from),
        _ => value.try_iter()?.map(|item| of(&item)).collect::<Result<Vec<_>, _>>().map(Jinja::from),
    }
}

/// A value as JSON, mappings ordered by key. Objects that stand for unknown values are none.
fn to_json(value: &Jinja) -> Result<serde_json::Value, Error> {
    let mut tickets = Vec::new();
    let value = leave(value, &mut tickets, &Budget::new(MAX_JSON)).map_err(refuse)?;
    value.to_json().ok_or_else(|| refuse("a part of it is known only after apply"))
}

fn from_json(json: &serde_json::Value) -> Jinja {
    use serde_json::Value as Json;
    match json {
        Json::Null => Jinja::from(()),
        Json::Bool(value) => Jinja::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Jinja::from(number),
            (None, Some(number)) => Jinja::from(number),
            (None, None) => Jinja::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Jinja::from(text.as_str()),
        Json::Array(items) => Jinja::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| (key.clone(), from_json(item)));
            Jinja::from(entries.collect::<BTreeMap<_, _>>())
        }
    }
}

/// A network: its first address as a number, and how many bits of it are fixed.
struct Network {
    first: u128,
    prefix: u32,
    width: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || refuse(format!("{text:?} is no network such as 10.0.0.0/16"));
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (bits, width) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|prefix| digits && *prefix <= width).ok_or_else(wrong)?;
        Ok(Self { first: bits & Self::mask(prefix, width), prefix, width })
    }

    fn mask(prefix: u32, width: u32) -> u128 {
        let all = u128::MAX >> (128 - width);
        all & !all.checked_shr(prefix).unwrap_or(0)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let mask = Self::mask(self.prefix.min(other.prefix), self.width);
        self.width == other.width && self.first & mask == other.first & mask
    }

    fn subnet(&self, newbits: u32, index: u64) -> Result<Self, Error> {
        let prefix = self.prefix.checked_add(newbits).filter(|prefix| *prefix <= self.width);
        let prefix = prefix.ok_or_else(|| {
            refuse(format!("{self} has no room for {newbits} more bits: {} are free", self.width - self.prefix))
        })?;
        if newbits < 64 && index >= 1 << newbits {
            return Err(refuse(format!(
                "{self} has {} networks of {newbits} more bits; {index} is not one",
                1_u64 << newbits
            )));
        }
        let first = self.first | u128::from(index).checked_shl(self.width - prefix).unwrap_or(0);
        Ok(Self { first, prefix, width: self.width })
    }

    fn address(&self, bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if self.width == 32 => Ipv4Addr::from(bits).into(),
            _ => Ipv6Addr::from(bits).into(),
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(self.first), self.prefix)
    }
}

/// A network, or each of a list.
fn networks(value: &Jinja) -> Result<Vec<Network>, Error> {
    let parse = |value: &Jinja| {
        let text = value.as_str().ok_or_else(|| refuse(format!("a network is text, not {}", value.kind())))?;
        Network::parse(text)
    };
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.map(|item| parse(&item)).collect(),
        _ => Ok(vec![parse(value)?]),
    }
}

/// A text of at most `length` characters that is another for another text: where it is cut, a digest of all of it stands.
fn short(text: String, length: usize) -> Result<String, Error> {
    if length < SHORTEST {
        return Err(refuse(format!("{length} characters are too few; {SHORTEST} are the least")));
    }
    if text.chars().count() <= length {
        return Ok(text);
    }
    let digest = Sha256::digest(text.as_bytes());
    let mut cut: String = text.chars().take(length - 9).collect();
    cut.push('-');
    for byte in digest.iter().take(4) {
        let _ = write!(cut, "{byte:02x}");
    }
    Ok(cut)
}

/// `"10.0.0.0/16" | cidr_subnet(8, 101)` is `10.0.101.0/24`.
fn cidr_subnet(text: String, newbits: u32, index: u64) -> Result<String, Error> {
    Ok(Network::parse(&text)?.subnet(newbits, index)?.to_string())
}

/// The first `count` networks with `newbits` more bits.
fn cidr_subnets(text: String, newbits: u32, count: u32) -> Result<Vec<String>, Error> {
    if count > MAX_NETWORKS {
        return Err(refuse(format!("{count} networks are too many; {MAX_NETWORKS} are the most")));
    }
    let network = Network::parse(&text)?;
    (0..count).map(|index| Ok(network.subnet(newbits, index.into())?.to_string())).collect()
}

/// The address with number `index`; negative ones count from the end.
fn cidr_host(text: String, index: i64) -> Result<String, Error> {
    let network = Network::parse(&text)?;
    let span = u128::MAX.checked_shr(128 - (network.width - network.prefix)).unwrap_or(0);
    let offset = match u128::try_from(index) {
        Ok(offset) => Some(offset),
        Err(_) => (span + 1).checked_sub(u128::from(index.unsigned_abs())),
    };
    let offset = offset.filter(|offset| *offset <= span);
    let offset = offset.ok_or_else(|| refuse(format!("{network} has no address number {index}")))?;
    Ok(network.address(network.first | offset).to_string())
}
