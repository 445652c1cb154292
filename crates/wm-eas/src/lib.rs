//! Exchange ActiveSync: WBXML, the commands a phone uses, device policy and state, the sync engine.
//!
//! Nothing is here yet. The crate will hold a pure WBXML codec over the code pages of [MS-ASWBXML],
//! the commands of [MS-ASCMD] for protocol versions 2.5 to 16.1 as a service over the `wm-core`
//! traits, provisioning ([MS-ASPROV]) and the device states of requirement EAS-3. The device states
//! themselves are in `wm_core::model::DeviceState`.
