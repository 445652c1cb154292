//! Any text parses or is refused at one of its characters. What parses is bounded, equals what its normalised form, its
//! original spelling and its serialised form parse to, and the two parts make the whole.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use wm_core::{AddressError, DomainName, EmailAddress, LocalPart};

fuzz_target!(|text: &str| {
    if let Some(domain) = laws::<DomainName>(text) {
        assert!(domain.as_ascii().len() <= DomainName::MAX_LEN);
        assert!(domain.as_ascii().is_ascii());
        assert!(
            domain
                .labels()
                .all(|label| (1..=DomainName::MAX_LABEL_LEN).contains(&label.len()))
        );
        assert_eq!(domain.original(), text);
        assert_eq!(domain.to_unicode().parse().as_ref(), Ok(&domain));
        if let Some(parent) = domain.parent() {
            assert!(domain.is_subdomain_of(&parent) && !parent.is_subdomain_of(&domain));
        }
    }
    if let Some(local) = laws::<LocalPart>(text) {
        assert!(local.as_str().len() <= LocalPart::MAX_LEN);
        assert_eq!(local.original(), text);
    }
    if let Some(address) = laws::<EmailAddress>(text) {
        assert!(address.to_string().len() <= EmailAddress::MAX_LEN);
        assert_eq!(address.original().to_string(), text);
        let (local, domain) = address.clone().into_parts();
        assert_eq!(EmailAddress::new(local, domain), Ok(address));
    }
});

fn laws<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = AddressError> + Display + Debug + Ord + Clone + Serialize + DeserializeOwned,
{
    let value: T = match text.parse() {
        Ok(value) => value,
        Err(error) => {
            assert!(text.is_char_boundary(error.position()), "{error}");
            return None;
        }
    };
    let normalised: T = value
        .to_string()
        .parse()
        .expect("the normalised form parses");
    assert_eq!(normalised, value);
    assert_eq!(normalised.to_string(), value.to_string());
    let json = serde_json::to_string(&value).expect("a string");
    let read: T = serde_json::from_str(&json).expect("what was written reads");
    assert_eq!(read, value);
    Some(value)
}
