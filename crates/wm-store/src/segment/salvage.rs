//! What the segments hold, found without any index.

use super::{Bodies, SegmentError, StoredBody};
use std::collections::HashMap;
use wm_core::{BodyId, OrganizationId};

impl Bodies {
    /// Every body whose last record is whole, by reading all segments; of several copies the one
    /// written last. Blocks.
    pub(crate) fn find_all(
        &self,
        progress: &dyn Fn(u64, u64),
    ) -> Result<HashMap<(OrganizationId, BodyId), StoredBody>, SegmentError> {
        let segments = self.log.segments()?;
        let scans = segments.into_iter().map(|segment| self.log.scan(segment));
        let scans: Vec<_> = scans.collect::<Result<_, _>>()?;
        let all = scans.iter().map(super::Scan::size).sum();
        let (mut found, mut before) = (HashMap::new(), 0);
        for mut scan in scans {
            while let Some(record) = scan.next() {
                progress(before + scan.position(), all);
                let Ok((location, record)) = record? else {
                    continue;
                };
                let Some(last) = record.place.last else {
                    continue;
                };
                let body = StoredBody {
                    id: last.body,
                    size: last.size,
                    stream: record.place.stream,
                    last: location,
                };
                found.insert((record.organization, last.body), body);
            }
            before += scan.size();
        }
        Ok(found)
    }
}
