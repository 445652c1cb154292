//! Exchange Web Services and AutoDiscover: SOAP, operations, notifications, availability.
//!
//! Nothing is here yet. The crate will hold a pure SOAP codec, the operations that unmodified EWS
//! clients use as a service over the `wm-core` traits, push, pull and streaming subscriptions
//! (EWS-2), availability (EWS-3), and POX and SOAP AutoDiscover (ADV-1 to ADV-3).
