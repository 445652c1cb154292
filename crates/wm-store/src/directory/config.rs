use super::{
    StoredDirectory,
    record::{Document, Edit, Record, RecordId},
};
use async_trait::async_trait;
use wm_core::{
    OrganizationId,
    traits::{AuditEvent, ConfigDocument, ConfigKey, ConfigKind, ConfigStore, DirectoryError},
};

#[async_trait]
impl ConfigStore for StoredDirectory {
    async fn load(
        &self,
        organization: OrganizationId,
        key: &ConfigKey,
    ) -> Result<Option<ConfigDocument>, DirectoryError> {
        let found = |document: &Document| ConfigDocument {
            version: document.version,
            value: document.value.clone(),
        };
        let loaded = self
            .query(organization, |roll| Ok(roll.document(key).map(found)))
            .await?;
        Ok(loaded.flatten())
    }

    async fn names(
        &self,
        organization: OrganizationId,
        kind: ConfigKind,
    ) -> Result<Vec<String>, DirectoryError> {
        self.list(organization, |roll| {
            let of_kind = roll
                .documents()
                .filter(|document| document.key.kind == kind);
            of_kind.map(|document| document.key.name.clone()).collect()
        })
        .await
    }

    async fn store(
        &self,
        organization: OrganizationId,
        key: &ConfigKey,
        expected: Option<u64>,
        value: Option<Vec<u8>>,
        audit: AuditEvent,
    ) -> Result<u64, DirectoryError> {
        self.commit(organization, audit, |installation| {
            let roll = installation.roll(organization)?;
            let roll = roll.ok_or(DirectoryError::NoSuchOrganization(organization))?;
            let present = roll.document(key).map(|document| document.version);
            if present != expected {
                let present = present.map_or("there is none".into(), |it| format!("it is at {it}"));
                let why = format!("the document is not at the version expected: {present}");
                return Err(DirectoryError::WrongState(why));
            }
            let version = roll.version + 1;
            let edit = match value {
                Some(value) => Edit::Put(Record::Document(Document {
                    key: key.clone(),
                    version,
                    value,
                })),
                None => Edit::Remove(RecordId::Document(key.clone())),
            };
            Ok((vec![edit], version))
        })
        .await
    }
}
