//! The bodies of Route 53's requests and answers (API version 2013-04-01).

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;

/// The namespace of every element.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// Elements inside each other; the deepest answer has six.
const MAX_DEPTH: usize = 16;

/// A resource record set as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: String,
    pub(super) record_type: String,
    pub(super) ttl: u32,
    pub(super) values: Vec<String>,
}

/// A resource record set as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedSet {
    pub(super) set: Set,
    /// Whether it is more than a set with values: an alias, or one of several that a routing policy
    /// chooses from.
    pub(super) is_special: bool,
}

/// A page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) sets: Vec<ListedSet>,
    /// Where the next page begins: name, type and identifier.
    pub(super) next: Option<(String, String, Option<String>)>,
}

/// What can be done with a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Delete,
}

/// What the service says of a request that it did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: String,
    pub(super) message: String,
}

/// The body of a ChangeResourceRecordSets request.
pub(super) fn change_request(changes: &[(Action, Set)]) -> String {
    let mut text =
        format!("<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>");
    for (action, set) in changes {
        let action = match action {
            Action::Create => "CREATE",
            Action::Delete => "DELETE",
        };
        let _ = write!(
            text,
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}</Name><Type>{}</Type>\
             <TTL>{}</TTL><ResourceRecords>",
            escape(&set.name),
            escape(&set.record_type),
            set.ttl
        );
        for value in &set.values {
            let _ = write!(
                text,
                "<ResourceRecord><Value>{}</Value></ResourceRecord>",
                escape(value)
            );
        }
        text.push_str("</ResourceRecords></ResourceRecordSet></Change>");
    }
    text.push_str("</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>");
    text
}

/// Reads a ListResourceRecordSets answer.
pub(super) fn page(body: &str) -> Result<Page, String> {
    let root = read(body)?;
    let is_listing = root.name == "ListResourceRecordSetsResponse";
    let Some(sets) = root.child("ResourceRecordSets").filter(|_| is_listing) else {
        return Err(format!("<{}> instead of a listing", root.name));
    };
    let mut page = Page::default();
    for set in sets.children("ResourceRecordSet") {
        page.sets.push(set.as_set()?);
    }
    if root.text_of("IsTruncated") == Some("true") {
        let field = |name| root.text_of(name).map(str::to_owned);
        let start = field("NextRecordName").zip(field("NextRecordType"));
        let (name, record_type) = start.ok_or("a listing that goes on nowhere")?;
        page.next = Some((name, record_type, field("NextRecordIdentifier")));
    }
    Ok(page)
}

/// Whether a body says that a change was accepted.
pub(super) fn is_change_info(body: &str) -> bool {
    read(body).is_ok_and(|root| {
        root.name == "ChangeResourceRecordSetsResponse" && root.child("ChangeInfo").is_some()
    })
}

/// Reads an error.
pub(super) fn fault(body: &str) -> Option<Fault> {
    let root = read(body).ok()?;
    // Errors of the change batch came in an element of their own in former times.
    let (code, message) = match root.name.as_str() {
        "ErrorResponse" => {
            let error = root.child("Error")?;
            let message = error.text_of("Message").unwrap_or_default().to_owned();
            (error.text_of("Code")?.to_owned(), message)
        }
        "InvalidChangeBatch" => {
            let messages = root.child("Messages").into_iter();
            let messages = messages.flat_map(|it| it.children("Message"));
            let texts: Vec<&str> = messages.map(|it| it.text.as_str()).collect();
            (root.name.clone(), texts.join("; "))
        }
        _ => return None,
    };
    Some(Fault { code, message })
}

/// An element, of which attributes and namespace do not matter here.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }

    fn as_set(&self) -> Result<ListedSet, String> {
        let field = |name| self.text_of(name).ok_or(format!("a set without {name}"));
        let records = self.child("ResourceRecords").into_iter();
        let records = records.flat_map(|it| it.children("ResourceRecord"));
        let values = records.map(|it| it.text_of("Value").unwrap_or_default().to_owned());
        let set = Set {
            name: field("Name")?.to_owned(),
            record_type: field("Type")?.to_owned(),
            ttl: self
                .text_of("TTL")
                .map_or(Ok(0), str::parse)
                .map_err(|_| "a TTL that is no number")?,
            values: values.collect(),
        };
        let special = ["AliasTarget", "SetIdentifier", "TrafficPolicyInstanceId"];
        Ok(ListedSet {
            set,
            is_special: special.iter().any(|name| self.child(name).is_some()),
        })
    }
}

/// Reads a document of bounded depth, without declarations of its own.
fn read(body: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(body);
    // The document, then the elements that are open.
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err("elements too deep inside each other".into());
                }
                open.push(Element {
                    name: start.local_name().as_ref().to_owned(),
                    ..Element::default()
                });
            }
            Event::Empty(empty) => close(
                &mut open,
                Element {
                    name: empty.local_name().as_ref().to_owned(),
                    ..Element::default()
                },
            ),
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    close(&mut open, element);
                }
            }
            Event::Text(text) => push(&mut open, &text.xml10_content()),
            Event::CData(text) => push(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                match reference.resolve_char_ref().map_err(|it| it.to_string())? {
                    Some(character) => push(&mut open, character.encode_utf8(&mut [0; 4])),
                    None => {
                        let known = resolve_predefined_entity(&name);
                        push(&mut open, known.ok_or(format!("unknown entity {name}"))?);
                    }
                }
            }
            Event::DocType(_) => return Err("a document type declaration".into()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    let [document] = open.as_mut_slice() else {
        return Err("the document ends early".into());
    };
    match document.children.pop() {
        Some(root) if document.children.is_empty() => Ok(root),
        _ => Err("not one element".into()),
    }
}

fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(open: &mut [Element], element: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_what_is_special_in_it() {
        let body = r#"<?xml version="1.0"?>
<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
  <ResourceRecordSets>
    <ResourceRecordSet><Name>example.com.</Name><Type>TXT</Type><TTL>300</TTL>
      <ResourceRecords>
        <ResourceRecord><Value>"a &lt;b&gt; &amp; &#34;c&#x22;"</Value></ResourceRecord>
        <ResourceRecord><Value><![CDATA["<d>"]]></Value></ResourceRecord>
      </ResourceRecords>
    </ResourceRecordSet>
    <ResourceRecordSet><Name>example.com.</Name><Type>A</Type>
      <AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>d.cloudfront.net.</DNSName></AliasTarget>
    </ResourceRecordSet>
  </ResourceRecordSets>
  <IsTruncated>true</IsTruncated><MaxItems>2</MaxItems>
  <NextRecordName>www.example.com.</NextRecordName><NextRecordType>A</NextRecordType>
</ListResourceRecordSetsResponse>"#;
        let page = page(body).unwrap();
        assert_eq!(page.sets[0].set.values, ["\"a <b> & \"c\"\"", "\"<d>\""]);
        assert_eq!(
            (page.sets[0].set.ttl, page.sets[0].is_special),
            (300, false)
        );
        assert!(page.sets[1].is_special);
        let next = ("www.example.com.".into(), "A".into(), None);
        assert_eq!(page.next, Some(next));
    }

    #[test]
    fn errors_are_read_in_both_forms() {
        let new = r#"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidChangeBatch</Code>
            <Message>[Tried to create it]</Message></Error><RequestId>1</RequestId></ErrorResponse>"#;
        let old = "<InvalidChangeBatch><Messages><Message>[Tried to create it]</Message></Messages>\
                   </InvalidChangeBatch>";
        let expected = Fault {
            code: "InvalidChangeBatch".into(),
            message: "[Tried to create it]".into(),
        };
        assert_eq!(fault(new), Some(expected.clone()));
        assert_eq!(fault(old), Some(expected));
        assert_eq!(fault("<html>Bad gateway</html>"), None);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = "<a>".repeat(20_000);
        for body in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "<a>&b;</a>",
            "<ListResourceRecordSetsResponse/>",
            "<ListResourceRecordSetsResponse><ResourceRecordSets/><IsTruncated>true</IsTruncated>\
             </ListResourceRecordSetsResponse>",
            deep.as_str(),
        ] {
            assert!(page(body).is_err(), "{body:.60}");
        }
        assert!(!is_change_info("<ChangeResourceRecordSetsResponse/>"));
    }
}
