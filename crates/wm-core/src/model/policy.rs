use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a device must comply with before it synchronises (EAS-2; [MS-ASPROV] 2.2.2). One default
/// policy per organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevicePolicy {
    /// A password must be set (`DevicePasswordEnabled`). The fields up to `encrypt_device` have a
    /// meaning only with it.
    pub require_password: bool,
    /// Passwords such as 1111 or 1234 are allowed (`AllowSimpleDevicePassword`).
    pub allow_simple_password: bool,
    /// Characters at least, 1 to 16 (`MinDevicePasswordLength`).
    pub minimum_password_length: u8,
    /// Letters and digits are both needed (`AlphanumericDevicePasswordRequired`).
    pub require_alphanumeric: bool,
    /// Character sets needed of lower, upper, digits, symbols: 1 to 4
    /// (`MinDevicePasswordComplexCharacters`).
    pub minimum_character_sets: u8,
    /// Wrong passwords, 4 to 16, after which the device wipes itself
    /// (`MaxDevicePasswordFailedAttempts`; the guide calls this "locked out"). `None`: no limit.
    pub failed_attempts: Option<u8>,
    /// Days until a new password is due, 1 to 730 (`DevicePasswordExpiration`). `None`: never.
    pub password_expiration_days: Option<u16>,
    /// Idle time until the screen locks, at most 9999 seconds (`MaxInactivityTimeDeviceLock`).
    /// `None`: no limit.
    pub screen_lock: Option<Duration>,
    /// Old passwords that may not be used again, 0 to 50 (`DevicePasswordHistory`).
    pub password_history: u8,
    /// The device must be encrypted (`RequireDeviceEncryption`).
    pub encrypt_device: bool,
    /// The storage card must be encrypted (`RequireStorageCardEncryption`).
    pub encrypt_storage_card: bool,
}

impl Default for DevicePolicy {
    fn default() -> Self {
        Self {
            require_password: false,
            allow_simple_password: true,
            minimum_password_length: 4,
            require_alphanumeric: false,
            minimum_character_sets: 1,
            failed_attempts: None,
            password_expiration_days: None,
            screen_lock: None,
            password_history: 0,
            encrypt_device: false,
            encrypt_storage_card: false,
        }
    }
}
