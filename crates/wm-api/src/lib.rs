//! The management interface: every administrative operation, authorised and audited, and its AWS
//! JSON face.
//!
//! Nothing is here yet. The crate will hold the administration service over `DirectoryAdmin`,
//! `ConfigStore` and `AuditLog`, the `workmail` 2017-10-01 API as boto3 speaks it (API-1), SigV4
//! authentication and policies (API-2).
