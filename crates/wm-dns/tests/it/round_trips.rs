//! What is exported is what is verified.

use futures::executor::block_on;
use proptest::prelude::*;
use wm_core::Timestamp;
use wm_dns::verify::RecordStatus;
use wm_dns::{
    Check, Dkim, DkimKey, DomainSettings, DomainState, Recommended, RequiredRecords, Service,
    export,
};

use crate::zone::Zone;

fn settings() -> impl Strategy<Value = DomainSettings> {
    let label = "[a-z][a-z0-9]{0,12}";
    let keys = prop::collection::vec(("[A-Za-z0-9+/]{20,600}", prop::bool::ANY), 0..=3);
    let extras = (
        prop::option::of("[a-z0-9]{1,32}"),
        prop::bool::ANY,
        prop::bool::ANY,
        any::<[u8; 32]>(),
    );
    (
        label,
        label,
        "[A-Za-z0-9+/=._;-]{1,255}",
        any::<u16>(),
        keys,
        extras,
    )
        .prop_map(
            |(
                domain,
                host,
                token,
                preference,
                keys,
                (policy, has_reports, has_services, digest),
            )| {
                let domain = format!("{domain}.example");
                let exchanger = format!("{host}.{domain}").parse().unwrap();
                let mut settings = DomainSettings::new(domain.parse().unwrap(), exchanger, &token);
                settings.preference = preference;
                let key = |(at, (public_key, is_rsa)): (usize, (String, bool))| DkimKey {
                    selector: format!("s{at}"),
                    algorithm: if is_rsa { "rsa" } else { "ed25519" }.into(),
                    public_key,
                };
                settings.dkim = Dkim::Keys(keys.into_iter().enumerate().map(key).collect());
                let service = |name: &str, port| Service {
                    name: name.into(),
                    host: settings.exchanger.clone(),
                    port,
                };
                settings.recommended = Recommended {
                    mta_sts: policy.map(|id| (id, settings.exchanger.clone())),
                    tls_reports: has_reports.then(|| format!("tls@{domain}").parse().unwrap()),
                    autoconfig: has_services.then(|| settings.exchanger.clone()),
                    services: if has_services {
                        vec![service("imaps", 993), service("submissions", 465)]
                    } else {
                        vec![]
                    },
                    key_digests: vec![digest],
                };
                settings
            },
        )
}

proptest! {
    #[test]
    fn exported_zone_text_parsed_back_is_all_verified(settings in settings()) {
        let required = RequiredRecords::for_domain(&settings).unwrap();
        let zone = Zone::parse(&export::zone_text(&required), settings.domain.as_ref());
        let findings = block_on(Check::new(required.clone()).run(&zone));
        let state = DomainState::default().advance(&findings, Timestamp::from_seconds(1_700_000_000));
        prop_assert_eq!(findings.records.len(), required.iter().count());
        for (record, judgement) in &findings.records {
            let status = state.record(record).and_then(|state| state.status);
            prop_assert_eq!(status, Some(RecordStatus::Verified), "{:?}: {:?}", record, judgement);
        }
    }
}
