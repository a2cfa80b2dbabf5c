//! The agent's program in a bucket of the emulated AWS.

mod aws;

use aws::{Emulator, REGION, Trial, tags};
use forge_engine::kind::{Kind, Readiness};
use forge_modules::aws::agent_package;
use forge_modules::instance_types::Architecture;
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

/// SHA-256 of `a`, and of nothing.
const SHA256: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A program for machines unlike this one, beside this test; gone with it.
struct Program(PathBuf);

impl Program {
    fn for_others() -> (Self, Architecture) {
        let other = if cfg!(target_arch = "x86_64") { Architecture::Arm } else { Architecture::X86 };
        let path = std::env::current_exe().unwrap().with_file_name(format!("forge-agent-{}", other.name()));
        fs::write(&path, "a").unwrap();
        (Self(path), other)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A request of somebody else to S3; the answer's first line.
fn s3(emulator: &Emulator, method: &str, path: &str, body: &str) -> String {
    let port = emulator.port;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let credential = format!("AWS4-HMAC-SHA256 Credential=other/20260101/{REGION}/s3/aws4_request");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Authorization: {credential}, SignedHeaders=host, Signature=0\r\n"
    );
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_package_is_put_there_once_and_taken_away() {
    let emulator = Emulator::start();
    let (_program, architecture) = Program::for_others();
    let packages = Trial::<agent_package::Spec>::new(&emulator.cloud());
    let place = format!(
        "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    );
    assert!(s3(&emulator, "PUT", "/agents-of-forge", &place).contains(" 200"));

    let spec = json!({
        "bucket": "agents-of-forge", "prefix": "nodes/gpus/", "architecture": architecture, "sha256": SHA256,
    });
    let tags = tags("gpus.startup.agent", "o1");
    let created = packages.create(&spec, &tags).await;
    assert_eq!(created.id, format!("agents-of-forge/nodes/gpus/agent/{SHA256}/forge-agent"));
    assert_eq!(json!(created.spec), spec);
    assert_eq!(created.outputs["url"], json!(format!("s3://{}", created.id)));
    assert_eq!(created.readiness, Readiness::Ready);
    assert_eq!(packages.create(&spec, &tags).await, created, "a repeated creation finds its own work");
    assert_eq!(packages.read(&created.id).await, Some(created.clone()));

    packages.kind.delete(&created.id).await.unwrap();
    packages.kind.delete(&created.id).await.unwrap();
    assert_eq!(packages.read(&created.id).await, None);

    let mut other = spec.clone();
    other["sha256"] = json!(EMPTY);
    match packages.try_create(&other, &tags).await {
        Err(error) => {
            assert!(error.message.ends_with("has changed since it was planned"), "{}", error.message);
            assert!(error.help.is_some_and(|help| help.contains("same command again")));
        }
        // S3 refuses it; an emulation that does not look shows what it was told.
        Ok(created) => println!("this emulation takes any digest: {}", created.id),
    }
}
