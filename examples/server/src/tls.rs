//! The server's certificate.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rcgen::{CertificateParams, CertifiedKey, DnType, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::info;

use crate::data_dir::{DataDir, write_whole};

/// The certificate in the data directory. Where there is none, a self-signed one for `names` and the
/// loopback addresses is put there; an operator who has a better one replaces both files.
pub(crate) fn acceptor(data_dir: &DataDir, names: &[String]) -> anyhow::Result<TlsAcceptor> {
    let (certificate, key) = (data_dir.certificate(), data_dir.certificate_key());
    // The key is written first: a certificate without one is an error, not a first start.
    if !certificate.exists() {
        let CertifiedKey { cert, signing_key } = self_signed(names)?;
        write_whole(&key, signing_key.serialize_pem().as_bytes())?;
        write_whole(&certificate, cert.pem().as_bytes())?;
        info!(path = %certificate.display(), "made a self-signed certificate");
    }
    let chain = fs::read(&certificate)
        .map_err(anyhow::Error::from)
        .and_then(|pem| Ok(CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?))
        .with_context(|| format!("cannot use the certificate {}", certificate.display()))?;
    let secret = PrivateKeyDer::from_pem_file(&key)
        .with_context(|| format!("cannot use the key {}", key.display()))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| {
            format!(
                "{} and {} do not go together",
                certificate.display(),
                key.display()
            )
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// How a listener's connections begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// In clear; STARTTLS is offered.
    Clear,
    /// With a TLS handshake.
    Tls,
}

/// The server's side of a handshake, for which a client has [`HANDSHAKE`].
pub(crate) async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    timeout(HANDSHAKE, acceptor.accept(stream)).await?
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Makes ring the process's cryptography.
pub(crate) fn install_provider() {
    // It fails only when a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn self_signed(names: &[String]) -> anyhow::Result<CertifiedKey<KeyPair>> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.subject_alt_names.extend(
        [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .map(SanType::IpAddress),
    );
    params
        .distinguished_name
        .push(DnType::CommonName, "wm-server");
    let signing_key = KeyPair::generate()?;
    let cert = params.self_signed(&signing_key)?;
    Ok(CertifiedKey { cert, signing_key })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_certificate_is_made_once_and_its_key_kept_from_others() {
        install_provider();
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::create(dir.path().into()).unwrap();
        acceptor(&data_dir, &["localhost".into()]).unwrap();
        let first = fs::read(data_dir.certificate()).unwrap();
        let mode = fs::metadata(data_dir.certificate_key())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        acceptor(&data_dir, &["localhost".into()]).unwrap();
        assert_eq!(fs::read(data_dir.certificate()).unwrap(), first);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        install_provider();
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::create(dir.path().into()).unwrap();
        acceptor(&data_dir, &["localhost".into()]).unwrap();
        let other = self_signed(&["localhost".into()]).unwrap();
        fs::write(
            data_dir.certificate_key(),
            other.signing_key.serialize_pem(),
        )
        .unwrap();
        let error = acceptor(&data_dir, &[]).err().unwrap().to_string();
        assert!(error.contains("do not go together"), "{error}");
    }
}
