//! Errors as each service words them: status, code, and the form of the answer.
//!
//! Sources: "Common errors" and the models of the services; for EC2, "Error codes for the Amazon EC2 API" (`Response`
//! around `Errors`, throttled with 503); for IAM, STS and Auto Scaling the query protocol's `ErrorResponse` (throttled with
//! 400); S3's "Error responses" (throttled with 503, no body for `HEAD`).

use super::operation::{Form, Operation};
use hyper::Response;
use hyper::body::Bytes;
use serde_json::json;

/// An error that a service answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What programs tell it by.
    pub code: String,
    /// What people read.
    pub message: String,
}

impl Refusal {
    /// One with these words.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// Too many requests, as the operation's service says it.
    #[must_use]
    pub fn throttled(operation: &Operation) -> Self {
        match (operation.form, operation.service.as_str()) {
            (Form::Ec2, _) => Self::new(503, "RequestLimitExceeded", "Request limit exceeded."),
            (Form::Query, _) => Self::new(400, "Throttling", "Rate exceeded"),
            (Form::Json(_), "tagging") => Self::new(400, "ThrottledException", "Rate exceeded"),
            (Form::Json(_), _) => Self::new(400, "ThrottlingException", "Rate exceeded"),
            (Form::RestJson, _) => Self::new(429, "TooManyRequestsException", "Too Many Requests"),
            (Form::RestXml, _) => Self::new(503, "SlowDown", "Please reduce your request rate."),
        }
    }

    /// A failure inside of the operation's service, with status 500.
    #[must_use]
    pub fn internal(operation: &Operation) -> Self {
        let code = match (operation.form, operation.service.as_str()) {
            (Form::Ec2 | Form::RestXml, _) => "InternalError",
            (Form::Query, "iam") => "ServiceFailure",
            (Form::Query, _) => "InternalFailure",
            (Form::Json(_), "fsx" | "ssm") => "InternalServerError",
            (Form::Json(_), "servicequotas") => "ServiceException",
            (Form::Json(_), "pricing") => "InternalErrorException",
            (Form::Json(_), "tagging") => "InternalServiceException",
            (Form::Json(_), _) => "InternalFailure",
            (Form::RestJson, _) => "ServerException",
        };
        Self::new(500, code, "An internal error has occurred")
    }

    /// The session's credentials have run out. EC2 has a code of its own for that.
    #[must_use]
    pub fn expired(operation: &Operation) -> Self {
        let gone = "The security token included in the request is expired";
        match operation.form {
            Form::Ec2 => Self::new(400, "RequestExpired", "Request has expired."),
            Form::Query => Self::new(403, "ExpiredToken", gone),
            Form::Json(_) => Self::new(400, "ExpiredTokenException", gone),
            Form::RestJson => Self::new(403, "ExpiredTokenException", gone),
            Form::RestXml => Self::new(400, "ExpiredToken", "The provided token has expired."),
        }
    }

    /// The answer of the operation's service with this error, as the response to its request number `n`.
    ///
    /// # Panics
    /// When the status is none of HTTP.
    #[must_use]
    pub fn response(&self, operation: &Operation, n: usize) -> Response<Bytes> {
        let id = format!("00000000-0000-4000-8000-{n:012}");
        let (content_type, body) = self.body(operation, &id);
        let mut response = Response::builder().status(self.status).header("content-type", content_type);
        response = match operation.form {
            Form::RestXml => response.header("x-amz-request-id", id.as_str()).header("x-amz-id-2", id.as_str()),
            _ => response.header("x-amzn-requestid", id.as_str()),
        };
        if operation.form == Form::RestJson {
            response = response.header("x-amzn-errortype", self.code.as_str());
        }
        let body = if operation.action.starts_with("Head") { Bytes::new() } else { Bytes::from(body) };
        response.body(body).expect("a status of HTTP, and text without line ends")
    }

    fn body(&self, operation: &Operation, id: &str) -> (String, String) {
        let (code, message) = (escaped(&self.code), escaped(&self.message));
        let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        match operation.form {
            Form::Ec2 => (
                "text/xml;charset=UTF-8".to_owned(),
                format!(
                    "{declaration}\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>\
                     </Errors><RequestID>{id}</RequestID></Response>"
                ),
            ),
            Form::Query => {
                let namespace = match operation.service.as_str() {
                    "iam" => "https://iam.amazonaws.com/doc/2010-05-08/",
                    "sts" => "https://sts.amazonaws.com/doc/2011-06-15/",
                    _ => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
                };
                let fault = if self.status < 500 { "Sender" } else { "Receiver" };
                let body = format!(
                    "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
                );
                ("text/xml".to_owned(), body)
            }
            Form::Json(version) => {
                let body = json!({ "__type": self.code, "message": self.message });
                (format!("application/x-amz-json-{version}"), body.to_string())
            }
            Form::RestJson => ("application/json".to_owned(), json!({ "message": self.message }).to_string()),
            Form::RestXml => (
                "application/xml".to_owned(),
                format!(
                    "{declaration}\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{id}</RequestId>\
                     <HostId>{id}</HostId></Error>"
                ),
            ),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
