//! The emulated AWS for tests of kinds, and what every kind must do there.
//!
//! `tests/emulator/serve.py` is started for each test and ends with it. Its Python is that of `.venv` where there is one
//! (`tests/emulator/requirements.txt`), or `FORGE_EMULATOR_PYTHON`.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use forge_engine::address::{Address, Deployment, OperationId};
use forge_engine::kind::{ErrorClass, Kind, KindError, Observed, Readiness, Recovery, Tags};
use forge_modules::aws::{Cloud, Live, Resource};
use serde_json::Value as Json;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const REGION: &str = "us-west-2";

/// An emulated AWS of its own.
pub(crate) struct Emulator {
    process: Child,
    /// It ends when this is closed, however the test ends.
    _stdin: Option<ChildStdin>,
    pub(crate) port: u16,
}

impl Emulator {
    pub(crate) fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let from = |name: &str, otherwise: PathBuf| env::var_os(name).map_or(otherwise, PathBuf::from);
        let own = root.join(".venv/bin/python3");
        let python = from("FORGE_EMULATOR_PYTHON", if own.exists() { own } else { "python3".into() });
        let script = from("FORGE_EMULATOR", root.join("tests/emulator/serve.py"));
        let mut command = Command::new(&python);
        command.arg(&script).args(["--port", "0", "--until-stdin-closes"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Json = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("{} {} has not started: install tests/emulator/requirements.txt", python.display(), script.display())
        });
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        Self { _stdin: process.stdin.take(), process, port }
    }

    pub(crate) fn cloud(&self) -> Arc<Cloud> {
        self.cloud_in(REGION)
    }

    pub(crate) fn cloud_in(&self, region: &str) -> Arc<Cloud> {
        Cloud::at(region, &format!("http://127.0.0.1:{}", self.port))
    }

    /// A request to the emulator itself.
    pub(crate) fn ask(&self, method: &str, what: &str, body: &Json) -> Json {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let head = format!("{method} /_emulator/{what} HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// A request of somebody else to EC2, as its query protocol writes it; the answer's element of that name.
    pub(crate) fn ec2(&self, query: &str, element: &str) -> String {
        self.element("ec2", &format!("ec2.{REGION}"), &format!("{query}&Version=2016-11-15"), element)
    }

    /// The same to IAM.
    pub(crate) fn iam(&self, query: &str, element: &str) -> String {
        self.element("iam", "iam", &format!("{query}&Version=2010-05-08"), element)
    }

    /// A request of somebody else to a service with the query protocol; the answer.
    pub(crate) fn query(&self, service: &str, body: &str) -> String {
        self.form(service, &format!("{service}.{REGION}"), body)
    }

    fn form(&self, service: &str, host: &str, body: &str) -> String {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.send("POST", "/", service, &format!("{host}.amazonaws.com"), form, body)
    }

    fn element(&self, service: &str, host: &str, body: &str, element: &str) -> String {
        let answer = self.form(service, host, body);
        let value = answer.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once('<'));
        value.unwrap_or_else(|| panic!("{body}: {answer}")).0.to_owned()
    }

    /// A request of somebody else to S3.
    pub(crate) fn s3(&self, method: &str, path: &str, body: &str) -> String {
        self.send(method, path, "s3", &format!("s3.{REGION}.amazonaws.com"), "", body)
    }

    fn send(&self, method: &str, path: &str, service: &str, host: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let credential = format!("AWS4-HMAC-SHA256 Credential=other/20260101/{REGION}/{service}/aws4_request");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\
             Authorization: {credential}, SignedHeaders=host, Signature=0\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// How many requests there were since the last time that this was asked, by action.
    pub(crate) fn requests(&self, service: &str) -> Vec<(String, u64)> {
        let counts = self.ask("GET", "counts", &Json::Null);
        self.ask("DELETE", "counts", &Json::Null);
        let of_service = counts[service].as_object().cloned().unwrap_or_default();
        of_service.into_iter().map(|(action, count)| (action, count.as_u64().unwrap())).collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn deployment() -> Deployment {
    Deployment("trial".to_owned())
}

/// The tags of what stands at an address.
pub(crate) fn tags(address: &str, operation: &str) -> Tags {
    let operation = OperationId(operation.to_owned());
    Tags { deployment: deployment(), address: Address::new(address), operation }
}

/// A kind in an emulated account.
pub(crate) struct Trial<S> {
    pub(crate) kind: Live<S>,
}

impl<S: Resource> Trial<S> {
    pub(crate) fn new(cloud: &Arc<Cloud>) -> Self {
        Self { kind: Live::new(cloud, Some(REGION)) }
    }

    fn spec(spec: &Json) -> S {
        S::deserialize(spec).unwrap_or_else(|error| panic!("{}: {error}: {spec}", S::NAME))
    }

    /// Creates something; the identifier is said before the answer.
    pub(crate) async fn try_create(&self, spec: &Json, tags: &Tags) -> Result<Observed, KindError> {
        let said = Mutex::new(Vec::new());
        let on_identifier = |id: &str| said.lock().unwrap().push(id.to_owned());
        let created = self.kind.create(&Self::spec(spec), tags, &on_identifier).await?;
        assert_eq!(*said.lock().unwrap(), std::slice::from_ref(&created.id), "{}", S::NAME);
        Ok(created)
    }

    /// Creates something as an engine would: again, for as long as AWS has not got round to showing what it is about.
    pub(crate) async fn persists(&self, spec: &Json, tags: &Tags) -> Observed {
        let mut ids = Vec::new();
        for _ in 0..1000 {
            let said = Mutex::new(Vec::new());
            let on_identifier = |id: &str| said.lock().unwrap().push(id.to_owned());
            let created = self.kind.create(&Self::spec(spec), tags, &on_identifier).await;
            ids.extend(said.into_inner().unwrap());
            match created {
                Ok(created) => {
                    ids.dedup();
                    assert_eq!(ids, std::slice::from_ref(&created.id), "{}", S::NAME);
                    return created;
                }
                Err(error) if error.class == ErrorClass::Terminal => panic!("{}: {}", S::NAME, error.message),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("{}: its creation does not come to an end", S::NAME);
    }

    pub(crate) async fn create(&self, spec: &Json, tags: &Tags) -> Observed {
        self.try_create(spec, tags).await.unwrap_or_else(|error| panic!("{}: {}", S::NAME, error.message))
    }

    pub(crate) async fn read(&self, id: &str) -> Option<Observed> {
        self.kind.read(id).await.unwrap_or_else(|error| panic!("{}: {}", S::NAME, error.message))
    }

    /// What it is once it can be used.
    pub(crate) async fn ready(&self, id: &str) -> Observed {
        for _ in 0..1000 {
            let seen = self.read(id).await.unwrap_or_else(|| panic!("{}: {id} is not there", S::NAME));
            match &seen.readiness {
                Readiness::Ready => return seen,
                Readiness::Failed(why) => panic!("{}: {id} has failed: {why}", S::NAME),
                Readiness::Waiting(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("{}: {id} does not become ready", S::NAME);
    }

    /// Checks that a plan would find nothing to change and nobody else's tags.
    pub(crate) fn as_asked(seen: &Observed, spec: &Json, tags: &Tags) {
        let normal = serde_json::to_value(Self::spec(spec)).unwrap();
        for (field, value) in &seen.spec {
            assert_eq!(Some(value), normal.get(field), "{} {}: {field}", S::NAME, seen.id);
        }
        assert_eq!(seen.tags.as_ref(), Some(tags), "{} {}", S::NAME, seen.id);
        for output in S::OUTPUTS {
            assert!(seen.outputs.contains_key(*output), "{} {}: {output}", S::NAME, seen.id);
        }
    }

    /// Makes something, as often as it may be repeated; what is there is what was asked for, and is found by its tags.
    pub(crate) async fn makes(&self, spec: &Json, tags: &Tags) -> Observed {
        let created = self.create(spec, tags).await;
        if S::RECOVERY == Recovery::Token {
            assert_eq!(self.create(spec, tags).await.id, created.id, "{}", S::NAME);
        }
        let seen = self.ready(&created.id).await;
        Self::as_asked(&seen, spec, tags);
        let found = self.kind.list(&tags.deployment).await.unwrap();
        let found: Vec<&Observed> = found.iter().filter(|found| found.id == seen.id).collect();
        assert_eq!(found, [&seen], "{}", S::NAME);
        let nobody = Deployment("nobody".to_owned());
        assert_eq!(self.kind.list(&nobody).await.unwrap(), [], "{}", S::NAME);
        seen
    }

    /// Changes something, twice; it is then what was asked for. What has to wait for another change is asked for again.
    pub(crate) async fn changes(&self, id: &str, before: &Json, after: &Json, tags: &Tags) -> Observed {
        let (before, wanted) = (Self::spec(before), Self::spec(after));
        for before in [Some(&before), None] {
            let mut tries = 0..1000;
            let changed = loop {
                match self.kind.update(id, before, &wanted, tags).await {
                    Err(error) if error.class == ErrorClass::Busy && tries.next().is_some() => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    changed => break changed.unwrap_or_else(|error| panic!("{}: {}", S::NAME, error.message)),
                }
            };
            assert_eq!(changed.id, id, "{}", S::NAME);
            Self::as_asked(&self.ready(id).await, after, tags);
        }
        self.ready(id).await
    }

    /// Deletes something, and once more; it is then gone.
    pub(crate) async fn deletes(&self, id: &str) {
        let delete = async || {
            let gone = self.kind.delete(id).await;
            gone.unwrap_or_else(|error| panic!("{}: {}", S::NAME, error.message));
        };
        delete().await;
        for _ in 0..1000 {
            if self.read(id).await.is_none() {
                delete().await;
                return assert_eq!(self.kind.read_many(&[id.to_owned()]).await.unwrap(), [None]);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{}: {id} does not go", S::NAME);
    }
}
