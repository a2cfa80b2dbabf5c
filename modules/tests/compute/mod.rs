//! Kinds of target aws, in an emulated account: what every one of them must do, whatever it is.

#![allow(dead_code)]

use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::kind::{AnyKind, KindError, Observed, Readiness, Recovery, Tags};
use forge_modules::aws::Cloud;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The region of the emulated account.
pub const REGION: &str = "us-west-2";
/// The deployment that the tests work for.
pub const DEPLOYMENT: &str = "dep";
/// For how long something may take: with a stuck emulator a test fails and does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// An emulated account. It ends with this.
pub struct Emulator {
    child: Child,
    /// The emulator ends when this closes, however this process ends.
    _stdin: ChildStdin,
    port: u16,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    /// A fresh account.
    pub fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut child = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("tests/emulator/serve.py"))
            .args(["--port", "0", "--speed", "0.001", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator's environment is there: see tests/emulator/README.md");
        let stdin = child.stdin.take().expect("it is piped");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the emulator says where it listens");
        let said: Json = serde_json::from_str(&line).expect("the emulator says where it listens");
        let port = said["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        Self { child, _stdin: stdin, port }
    }

    /// The account, as kinds reach it.
    pub fn cloud(&self) -> Arc<Cloud> {
        Cloud::at(REGION, &format!("http://127.0.0.1:{}", self.port))
    }

    /// Changes what the emulator does.
    pub fn settings(&self, settings: &Json) {
        self.control("POST", "settings", &settings.to_string());
    }

    /// What the account holds.
    pub fn dump(&self) -> Json {
        serde_json::from_str(&self.control("GET", "dump", "")).expect("a dump is JSON")
    }

    /// What a service with the query protocol answers, as XML: for what no kind of forge's does.
    pub fn ask(&self, service: &str, query: &str) -> String {
        let scope = format!("Credential=emulated/20260101/{REGION}/{service}/aws4_request");
        let headers = format!(
            "Authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none\r\nContent-Type: application/x-www-form-urlencoded"
        );
        self.call("POST", "/", &headers, query)
    }

    /// Subnets of the account's default network.
    pub fn subnets(&self) -> Vec<String> {
        let answer = self.ask("ec2", "Action=DescribeSubnets&Version=2016-11-15");
        let ids = answer.split("<subnetId>").skip(1).filter_map(|rest| rest.split('<').next());
        ids.map(str::to_owned).collect()
    }

    fn control(&self, method: &str, what: &str, body: &str) -> String {
        self.call(method, &format!("/_emulator/{what}"), "Content-Type: application/json", body)
    }

    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the emulator listens");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the emulator reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the emulator answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

/// Whose a resource is.
pub fn tags(address: &str, operation: &str) -> Tags {
    let (deployment, operation) = (Deployment(DEPLOYMENT.to_owned()), OperationId(operation.to_owned()));
    Tags { deployment, address: Address::new(address), operation }
}

/// A kind, driven as the engine drives it, without its patience for errors.
pub struct Driven<'a> {
    kind: &'a dyn AnyKind,
    identified: Mutex<Vec<String>>,
}

impl<'a> Driven<'a> {
    /// The kind.
    pub fn new(kind: &'a dyn AnyKind) -> Self {
        Self { kind, identified: Mutex::default() }
    }

    /// A specification in normal form.
    pub fn normal(&self, spec: &Json) -> Json {
        self.kind.normalize(spec).expect("the specification fits")
    }

    /// Creates it; tells what came of that.
    pub async fn try_create(&self, spec: &Json, tags: &Tags) -> Result<Observed, KindError> {
        let note = |id: &str| self.identified.lock().expect("nobody panicked").push(id.to_owned());
        self.kind.create(&self.normal(spec), tags, &note).await
    }

    /// Creates it and waits until it is ready; asserts that it then is what was asked for.
    pub async fn create(&self, spec: &Json, tags: &Tags) -> Observed {
        let made = self.try_create(spec, tags).await.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()));
        assert_eq!(self.identified.lock().expect("nobody panicked").last(), Some(&made.id), "the identifier is told");
        let ready = self.ready(&made.id).await;
        self.is(&ready, spec, tags);
        ready
    }

    /// Updates it and waits until it is ready; asserts that it then is what was asked for.
    pub async fn update(&self, id: &str, before: &Json, after: &Json, tags: &Tags) -> Observed {
        let (before, after) = (self.normal(before), self.normal(after));
        let update = self.kind.update(id, Some(&before), &after, tags).await;
        let updated = update.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()));
        assert_eq!(updated.id, id);
        let ready = self.ready(id).await;
        self.is(&ready, &after, tags);
        ready
    }

    /// What there is.
    pub async fn read(&self, id: &str) -> Option<Observed> {
        self.kind.read(id).await.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()))
    }

    /// Waits until it is ready.
    pub async fn ready(&self, id: &str) -> Observed {
        let start = Instant::now();
        loop {
            let seen = self.read(id).await.unwrap_or_else(|| panic!("{id} is not there"));
            match &seen.readiness {
                Readiness::Ready => return seen,
                Readiness::Waiting(_) if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }

    /// The identifiers of all that the deployment has of this kind.
    pub async fn list(&self) -> Vec<String> {
        let listed = self.kind.list(&Deployment(DEPLOYMENT.to_owned())).await;
        let listed = listed.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()));
        listed.into_iter().map(|seen| seen.id).collect()
    }

    /// Deletes it, twice, and waits until it is gone.
    pub async fn delete(&self, id: &str) {
        for _ in 0..2 {
            self.kind.delete(id).await.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()));
        }
        let start = Instant::now();
        while self.read(id).await.is_some() {
            assert!(start.elapsed() < PATIENCE, "{id} does not go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kind.delete(id).await.unwrap_or_else(|error| panic!("{}: {error}", self.kind.name()));
        assert!(!self.list().await.contains(&id.to_owned()), "{id} is gone and listed");
    }

    /// The whole life of one: created, created again by the same operation, moved, changed to each of `changes`, deleted.
    pub async fn live(&self, spec: &Json, changes: &[Json]) {
        let name = self.kind.name();
        let born = tags("pool.thing[0]", "op1");
        let made = self.create(spec, &born).await;
        for output in self.kind.outputs() {
            assert!(made.outputs.get(*output).is_some_and(|value| !value.is_null()), "{name}: no output {output}");
        }
        if self.kind.recovery() == Recovery::Token {
            assert_eq!(self.create(spec, &born).await.id, made.id, "{name}: the same operation makes the same");
        }
        assert_eq!(self.list().await, [made.id.clone()]);
        let moved = tags("other.thing", "op1");
        let before = self.read(&made.id).await;
        let after = self.update(&made.id, spec, spec, &moved).await;
        assert_eq!(before.map(|seen| seen.outputs), Some(after.outputs), "{name}: moving it changes nothing else");
        let mut before = spec.clone();
        for change in changes {
            let mut after = before.clone();
            for (field, value) in change.as_object().expect("a change is an object") {
                after[field.as_str()] = value.clone();
            }
            self.update(&made.id, &before, &after, &moved).await;
            before = after;
        }
        self.delete(&made.id).await;
    }

    /// Asserts that what is there is what was asked for.
    fn is(&self, seen: &Observed, spec: &Json, tags: &Tags) {
        let spec = self.normal(spec);
        for (field, value) in &seen.spec {
            assert_eq!(Some(value), spec.get(field), "{}: {field} of {}", self.kind.name(), seen.id);
        }
        assert_eq!(seen.tags.as_ref(), Some(tags), "{}: {}", self.kind.name(), seen.id);
        assert!(seen.spec.contains_key("tags"), "tags can always be read");
    }
}

/// The fields that were read back, so that a test can say which ones must be.
pub fn fields(seen: &Observed) -> Json {
    json!(seen.spec.keys().collect::<Vec<_>>())
}
