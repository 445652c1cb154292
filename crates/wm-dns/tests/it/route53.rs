//! Route 53, played by moto, with every request put before botocore, and by scripted answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::executor::block_on;
use serde_json::{Value, json};
use wm_core::Timestamp;
use wm_core::traits::{Clock, DnsName, Record, RecordData, Txt};
use wm_dns::http::{HttpClient, HttpError, Request, Response};
use wm_dns::provider::route53::{Credentials, Route53};
use wm_dns::provider::{DnsProvider, Plan, ProviderError};
use wm_dns::{DomainSettings, RequiredRecords, Service};

/// moto with one hosted zone, `example.com`, in a process of its own.
struct Moto {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    endpoint: String,
    zone: String,
}

impl Moto {
    /// `None` where the tools are absent, which in CI is a failure.
    fn start() -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/bin/python");
        if !python.exists() {
            println!("skipped: moto is absent; .ci/tools installs it");
            assert!(std::env::var_os("CI").is_none(), "moto is absent");
            return None;
        }
        let mut process = Command::new(python)
            .arg(here.join("tests/python/route53.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut moto = Self {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            endpoint: String::new(),
            zone: String::new(),
        };
        let place = moto.read();
        moto.endpoint = place["endpoint"].as_str().unwrap().to_owned();
        moto.zone = place["zone"].as_str().unwrap().to_owned();
        Some(moto)
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        self.read()
    }

    /// `NAME TYPE TTL VALUE` of each record, without what every zone has.
    fn records(&mut self) -> Vec<String> {
        let sets = self.ask(&json!({"sets": true}));
        let mut lines = Vec::new();
        for set in sets.as_array().unwrap() {
            let word = |name: &str| set[name].as_str().unwrap().to_owned();
            if !matches!(word("Type").as_str(), "NS" | "SOA") {
                for record in set["ResourceRecords"].as_array().unwrap() {
                    let value = record["Value"].as_str().unwrap();
                    lines.push(format!(
                        "{} {} {} {value}",
                        word("Name"),
                        word("Type"),
                        set["TTL"]
                    ));
                }
            }
        }
        lines
    }

    fn create(&mut self, name: &str, record_type: &str, values: &[&str]) {
        self.ask(&json!({"create": [set(name, record_type, values)]}));
    }
}

fn set(name: &str, record_type: &str, values: &[&str]) -> Value {
    let values: Vec<Value> = values.iter().map(|value| json!({"Value": value})).collect();
    json!({"Name": name, "Type": record_type, "TTL": 300, "ResourceRecords": values})
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// HTTP/1.1 over plain connections, one request on each; keeps what it sent.
#[derive(Default)]
struct Plain {
    sent: Mutex<Vec<Value>>,
}

#[async_trait]
impl HttpClient for Plain {
    async fn send(
        &self,
        request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let url = request.uri().to_string();
        let headers: serde_json::Map<String, Value> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        self.sent.lock().unwrap().push(json!({
            "method": request.method().as_str(),
            "url": url,
            "headers": headers,
            "body": String::from_utf8_lossy(request.body()),
        }));
        exchange(&request, limit).map_err(|error| HttpError {
            url,
            source: Box::new(error),
        })
    }
}

fn exchange(request: &Request<Vec<u8>>, limit: usize) -> std::io::Result<Response<Vec<u8>>> {
    let uri = request.uri();
    let mut stream = TcpStream::connect(uri.authority().unwrap().as_str())?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\n",
        request.method(),
        uri.path_and_query().unwrap()
    );
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let length = request.body().len();
    head.push_str(&format!(
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body())?;
    let mut answer = Vec::new();
    stream.take(limit as u64).read_to_end(&mut answer)?;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let response = Response::builder().status(status);
    Ok(response.body(body.as_bytes().to_vec()).unwrap())
}

/// Answers everything with the same status and body.
struct Scripted(u16, String);

#[async_trait]
impl HttpClient for Scripted {
    async fn send(&self, _: Request<Vec<u8>>, _: usize) -> Result<Response<Vec<u8>>, HttpError> {
        let response = Response::builder().status(self.0);
        Ok(response.body(self.1.clone().into_bytes()).unwrap())
    }
}

fn provider(client: Arc<dyn HttpClient>, endpoint: &str, zone: &str) -> Route53 {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: None,
    };
    let clock: Arc<dyn Clock> = Arc::new(|| Timestamp::from_seconds(1_700_000_000));
    let provider = Route53::new(client, clock, credentials, zone).unwrap();
    provider.at(endpoint).unwrap()
}

fn required() -> RequiredRecords {
    let mut settings = DomainSettings::of_region(
        "example.com".parse().unwrap(),
        "us-east-1",
        "to&<k>en/+=",
        ["one", "two", "three"],
    )
    .unwrap();
    settings.recommended.services = vec![Service {
        name: "imaps".into(),
        host: "mail.example.net".parse().unwrap(),
        port: 993,
    }];
    RequiredRecords::for_domain(&settings).unwrap()
}

fn text(value: &str) -> Record {
    Record {
        name: "example.com".parse().unwrap(),
        ttl: 3600,
        data: RecordData::Txt(Txt::new(value)),
    }
}

#[test]
fn a_hosted_zone_gets_everything_once_and_keeps_what_it_has() {
    let Some(mut moto) = Moto::start() else {
        return;
    };
    moto.create(
        "example.com.",
        "TXT",
        &["\"site-verification=1\"", "\"two \" \"strings\""],
    );
    moto.create("example.com.", "A", &["192.0.2.1"]);
    moto.create("www.example.com.", "CNAME", &["example.com."]);
    let before = moto.records();
    let client = Arc::new(Plain::default());
    let provider = provider(client.clone(), &moto.endpoint, &moto.zone);

    let plan = block_on(Plan::with(&provider, &required())).unwrap();
    assert!(plan.conflict.is_empty(), "{plan}");
    block_on(plan.apply(&provider)).unwrap();
    let after = moto.records();
    for line in &before {
        assert!(after.contains(line), "{line} is lost: {after:#?}");
    }
    assert_eq!(after.len(), before.len() + required().iter().count());
    for line in [
        // In the set that was there, with its TTL.
        "example.com. TXT 300 \"v=spf1 include:amazonses.com ~all\"",
        "_amazonses.example.com. TXT 3600 \"to&<k>en/+=\"",
        "example.com. MX 3600 10 inbound-smtp.us-east-1.amazonaws.com.",
        "_imaps._tcp.example.com. SRV 3600 0 1 993 mail.example.net.",
    ] {
        assert!(after.iter().any(|it| it == line), "{line}: {after:#?}");
    }
    let again = block_on(Plan::with(&provider, &required())).unwrap();
    assert!(again.is_done(), "{again}");

    let sent = client.sent.lock().unwrap().clone();
    assert_eq!(sent.iter().filter(|it| it["method"] == "POST").count(), 1);
    for request in sent {
        let objection = moto.ask(&json!({"check": request}));
        assert!(objection.is_null(), "botocore: {objection}");
    }
}

#[test]
fn a_zone_of_several_pages_is_read_to_its_end() {
    let Some(mut moto) = Moto::start() else {
        return;
    };
    let host = |i: u32| set(&format!("host{i:03}.example.com."), "A", &["192.0.2.1"]);
    let hosts: Vec<Value> = (0..320).map(host).collect();
    moto.ask(&json!({"create": hosts}));
    moto.create("zone-end.example.com.", "TXT", &["\"here\""]);
    let client = Arc::new(Plain::default());
    let provider = provider(client.clone(), &moto.endpoint, &moto.zone);
    let names: Vec<DnsName> = ["example.com", "zone-end.example.com"]
        .map(|name| name.parse().unwrap())
        .into();
    let found = block_on(provider.records(&names)).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let sent = client.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 2);
    for request in sent {
        let objection = moto.ask(&json!({"check": request}));
        assert!(objection.is_null(), "botocore: {objection}");
    }
}

#[test]
fn a_set_that_has_changed_since_it_was_seen_is_left_as_it_is() {
    let Some(mut moto) = Moto::start() else {
        return;
    };
    moto.create("example.com.", "TXT", &["\"by somebody else\""]);
    let provider = provider(Arc::new(Plain::default()), &moto.endpoint, &moto.zone);
    let found = block_on(provider.add(&[text("v=spf1 -all")], &[text("as it was")]));
    assert!(found.is_err(), "{found:?}");
    assert_eq!(
        moto.records(),
        ["example.com. TXT 300 \"by somebody else\""]
    );
}

#[test]
fn every_refusal_is_told_apart() {
    let add = |status: u16, body: &str| {
        let client = Arc::new(Scripted(status, body.into()));
        let provider = provider(client, "https://route53.amazonaws.com", "Z1");
        block_on(provider.add(&[text("new")], &[]))
    };
    let error = |code: &str, message: &str| {
        format!(
            "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
             <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>1</RequestId></ErrorResponse>"
        )
    };
    let batch = |message: &str| add(400, &error("InvalidChangeBatch", message));
    for overtaken in [
        "[Tried to create resource record set [name='example.com.', type='TXT'] but it already exists]",
        "[Tried to delete resource record set [name='example.com.', type='TXT'] but it was not found]",
        "[Tried to delete resource record set [name='example.com.', type='TXT'] but the values provided do not match the current values]",
    ] {
        let found = batch(overtaken);
        assert!(matches!(found, Err(ProviderError::Changed(_))), "{found:?}");
    }
    let found = batch("[RRSet with DNS name a.b. is not permitted in zone example.com.]\u{1b}[2J");
    match found {
        // XML has no escape character at all, or it is left out.
        Err(ProviderError::Refused(text)) => assert!(!text.contains('\u{1b}'), "{text:?}"),
        other => panic!("{other:?}"),
    }
    let denied = add(403, &error("InvalidClientTokenId", "The token is invalid."));
    assert_eq!(
        denied,
        Err(ProviderError::Denied(
            "InvalidClientTokenId: The token is invalid.".into()
        ))
    );
    for (status, body) in [
        (400, error("Throttling", "Rate exceeded")),
        (503, "<html>unavailable</html>".into()),
    ] {
        let found = add(status, &body);
        assert!(
            matches!(found, Err(ProviderError::Unreachable(_))),
            "{found:?}"
        );
    }
    for (status, body) in [(200, ""), (200, "<html/>"), (301, ""), (404, "nothing")] {
        let found = add(status, body);
        assert!(matches!(found, Err(ProviderError::Refused(_))), "{found:?}");
    }
}

#[test]
fn a_set_of_which_the_values_are_not_known_is_not_planned_with() {
    let listing = |sets: &str| {
        format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets>{sets}</ResourceRecordSets>\
             <IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"
        )
    };
    let alias = "<AliasTarget><DNSName>a.example.net.</DNSName></AliasTarget>";
    let plan = |record_type: &str| {
        let set = format!(
            "<ResourceRecordSet><Name>example.com.</Name><Type>{record_type}</Type>{alias}</ResourceRecordSet>"
        );
        let client = Arc::new(Scripted(200, listing(&set)));
        let provider = provider(client, "https://route53.amazonaws.com", "Z1");
        block_on(Plan::with(&provider, &required()))
    };
    assert_eq!(plan("A").unwrap().conflict.len(), 0);
    let found = plan("MX");
    assert!(
        matches!(&found, Err(ProviderError::Refused(text)) if text.contains("alias")),
        "{found:?}"
    );
}

#[test]
fn ids_and_endpoints_lead_nowhere_else() {
    let credentials = || Credentials {
        access_key_id: String::new(),
        secret_access_key: "".into(),
        session_token: None,
    };
    let make = |zone: &str| {
        let clock: Arc<dyn Clock> = Arc::new(|| Timestamp::from_seconds(0));
        Route53::new(Arc::new(Plain::default()), clock, credentials(), zone)
    };
    for wrong in ["", "Z1/../Z2", "Z1?a=b", "/hostedzone/", &"Z".repeat(33)] {
        assert!(make(wrong).is_err(), "{wrong}");
    }
    for wrong in ["ftp://a", "https://a/b", "https://a?b", "a", ""] {
        assert!(
            make("/hostedzone/Z1").unwrap().at(wrong).is_err(),
            "{wrong}"
        );
    }
}
