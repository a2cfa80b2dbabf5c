//! The emulated AWS: a process of its own, which ends with whoever started it.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// It imports a great deal of Python, on machines that are busy with other tests.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// A dump of thousands of resources takes a second.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// States of what AWS shows for a while after it is gone, or that is on its way there. What has failed is not gone.
const GONE: [&str; 5] = ["cancelled", "deleted", "deleting", "shutting-down", "terminated"];

/// A resource that the emulated AWS holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Its service: `ec2`.
    pub service: String,
    /// Its type, in the service's words: `vpc`.
    pub kind: String,
    /// What it is told by: `vpc-1`, an ARN, a name.
    pub id: String,
    /// Its name, where it has one apart.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its state, where it has one: `available`.
    pub state: String,
}

impl Held {
    /// Whether it is there, and not only still shown.
    #[must_use]
    pub fn lives(&self) -> bool {
        !GONE.contains(&self.state.to_lowercase().as_str())
    }

    /// What a dump says of one. Texts that are missing are empty; tags may be an object or AWS's list of keys and values.
    fn from_json(value: &Value) -> Self {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        Self {
            service: text("service"),
            kind: text("type"),
            id: text("id"),
            name: text("name"),
            tags: tags(&value["tags"]),
            state: ["state", "status", "lifecycle"]
                .map(text)
                .into_iter()
                .find(|state| !state.is_empty())
                .unwrap_or_default(),
        }
    }
}

fn tags(value: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_object = |tags: &Map<String, Value>| tags.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    let of_list = |tags: &Vec<Value>| {
        let either = |tag: &Value, upper: &str, lower: &str| text(tag.get(upper).unwrap_or(&tag[lower]));
        tags.iter().map(|tag| (either(tag, "Key", "key"), either(tag, "Value", "value"))).collect()
    };
    value.as_object().map(of_object).or_else(|| value.as_array().map(of_list)).unwrap_or_default()
}

/// A running emulator; dropping it ends it.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    address: SocketAddr,
}

impl Emulator {
    /// The program, in the repository.
    #[must_use]
    pub fn program() -> PathBuf {
        crate::repository().join("tests/emulator/serve.py")
    }

    /// Starts one at a port of the system's choice, with the Python of the virtual environment.
    ///
    /// # Panics
    /// When it does not listen in time; with what it printed.
    #[must_use]
    pub fn start() -> Self {
        let mut command = Command::new(crate::python());
        command.arg(Self::program()).args(["--port", "0", "--until-stdin-closes"]).current_dir(crate::repository());
        Self::of(command)
    }

    /// One from a command that prints `{"port": N, …}` when it listens, and ends when its input does.
    ///
    /// # Panics
    /// When it does not listen in time; with what it printed.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        // A file and no pipe: nobody reads it unless something is wrong, and a full pipe would stop it.
        let talk = tempfile::NamedTempFile::new().expect("a file for what it prints");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stderr(File::create(talk.path()).expect("a file for what it prints"));
        let mut child = command.spawn().expect("the emulator starts");
        let stdout = child.stdout.take().expect("its output is a pipe");
        let (told, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let mut stdout = BufReader::new(stdout);
            // What went wrong is in the other output.
            let _ = stdout.read_line(&mut line);
            let _ = told.send(line);
            // It must be able to print more.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let mut emulator = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let line = first.recv_timeout(STARTS_WITHIN).unwrap_or_default();
        let port = serde_json::from_str::<Value>(&line).ok().and_then(|line| line["port"].as_u64());
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
            let talk = std::fs::read_to_string(talk.path()).unwrap_or_default();
            panic!("the emulator does not listen within {STARTS_WITHIN:?}; it printed {line:?} and\n{talk}");
        };
        emulator.address.set_port(port);
        emulator
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    ///
    /// # Panics
    /// When its number is none, which no system has.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Every resource that it holds, but for those of a fresh account, in order.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn dump(&self) -> Vec<Held> {
        let dump = self.ask("GET", "dump", None);
        let list = dump.as_array().or_else(|| dump["resources"].as_array());
        let list = list.unwrap_or_else(|| panic!("a dump is a list: {dump}"));
        let mut held: Vec<_> = list.iter().map(Held::from_json).collect();
        held.sort();
        held
    }

    /// Makes it a fresh account.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn reset(&self) {
        self.ask("POST", "reset", Some(&Value::Object(Map::new())));
    }

    /// Changes settings; those that are not named stay.
    ///
    /// # Panics
    /// When it does not take them.
    pub fn settings(&self, settings: &Value) {
        self.ask("POST", "settings", Some(settings));
    }

    /// Requests that it has had, by service and action.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn counts(&self) -> Value {
        self.ask("GET", "counts", None)
    }

    /// What S3 says to somebody who is not forge: status and body.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn s3(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let key =
            "AWS4-HMAC-SHA256 Credential=other/20260101/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [("host", "s3.us-west-2.amazonaws.com"), ("authorization", key)];
        let (status, body) = exchange(self.address, method, path, &headers, body.to_owned());
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Makes a bucket that is not forge's.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_bucket(&self, name: &str) {
        let body = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>us-west-2\
                    </LocationConstraint></CreateBucketConfiguration>";
        let (status, answer) = self.s3("PUT", &format!("/{name}"), body);
        assert_eq!(status, 200, "{answer}");
    }

    fn ask(&self, method: &str, what: &str, body: Option<&Value>) -> Value {
        let path = format!("/_emulator/{what}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("content-type", "application/json")];
        let (status, answer) = exchange(self.address, method, &path, &headers, body);
        let text = String::from_utf8_lossy(&answer);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        if text.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request, on a connection of its own; status and body.
fn exchange(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> (u16, Bytes) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchange = async {
        let request = Request::builder().method(method).uri(format!("http://{to}{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let response = Client::builder(TokioExecutor::new()).build_http().request(request).await;
        let response = response.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        (status, body.to_bytes())
    };
    let answered = runtime.block_on(async { tokio::time::timeout(ANSWERS_WITHIN, exchange).await });
    answered.unwrap_or_else(|_| panic!("{method} {path}: no answer within {ANSWERS_WITHIN:?}"))
}
