//! Tests of the TLS border: TLS 1.3 with a certificate of the authority gets in, nothing else does.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;

use super::material::{Material, TlsFiles, server_side};
use super::*;
use crate::model::principal::Principal;
use crate::server::doors::tests::limits;
use crate::server::pki::{IssuedCert, Pki};

/// An authority, a server of it, and its files.
pub(super) struct Site {
    pub(super) dir: tempfile::TempDir,
    pub(super) pki: Pki,
}

impl Site {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let pki = Pki::init(dir.path(), "example.org").expect("made");
        pki.issue_server(&[])
            .expect("issued")
            .write(dir.path(), "server")
            .expect("written");
        Self { dir, pki }
    }

    pub(super) fn files(&self) -> TlsFiles {
        TlsFiles {
            which: "server",
            ca: self.path("ca.pem"),
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            crl: self.path("crl.pem"),
            crl_required: false,
        }
    }

    pub(super) fn path(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    /// Why the files don't go together.
    pub(super) fn refusal(&self) -> String {
        let read = Material::read(&self.files()).and_then(|material| server_side(&material).map(drop));
        read.expect_err("refused").to_string()
    }

    pub(super) fn client_cert(&self) -> IssuedCert {
        let principal = Principal::from_path("/tenant/acme/scanner/gate").expect("valid");
        self.pki.issue(&principal, 1).expect("issued")
    }

    /// Puts a certificate on the authority's list.
    pub(super) fn revoke(&self, cert: &IssuedCert) {
        let serial = cert.serial().expect("there is one");
        self.pki.revoke(self.dir.path(), &[serial], 30).expect("signed");
    }
}

/// One byte there and one back, as a client of `version` with this certificate.
async fn try_in(
    site: &Site,
    cert: Option<&IssuedCert>,
    version: &'static rustls::SupportedProtocolVersion,
) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let config = server_side(&Material::read(&site.files()).expect("sound")).expect("sound");
    let (_, config) = watch::channel(config);
    let mut incoming = accept(listener, config, limits(), stop.clone());
    let echo = tokio::spawn(async move {
        while let Some(Ok(mut stream)) = incoming.next().await {
            let byte = stream.read_u8().await?;
            stream.write_u8(byte).await?;
        }
        io::Result::Ok(())
    });
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(site.path("ca.pem")).expect("readable") {
        roots.add(certificate.expect("a certificate")).expect("sound");
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("known")
            .with_root_certificates(roots);
    let mut config = match cert {
        None => builder.with_no_client_auth(),
        Some(cert) => {
            let chain = CertificateDer::pem_slice_iter(cert.cert_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(cert.key_pem.as_bytes()).expect("a key");
            let chain = chain.collect::<Result<_, _>>().expect("certificates");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await?;
    let outcome = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 7);
        Ok(())
    }
    .await;
    stop.cancel();
    echo.abort();
    outcome
}

#[tokio::test]
async fn a_certificate_of_the_authority_gets_in() {
    let site = Site::new();
    let cert = site.client_cert();
    try_in(&site, Some(&cert), &rustls::version::TLS13)
        .await
        .expect("let in");
}

#[tokio::test]
async fn older_tls_does_not() {
    let site = Site::new();
    let cert = site.client_cert();
    try_in(&site, Some(&cert), &rustls::version::TLS12)
        .await
        .expect_err("TLS 1.2");
}

#[tokio::test]
async fn a_missing_foreign_or_expired_certificate_does_not() {
    let site = Site::new();
    let tls13 = &rustls::version::TLS13;
    try_in(&site, None, tls13).await.expect_err("none");
    let foreign = Site::new().client_cert();
    try_in(&site, Some(&foreign), tls13).await.expect_err("foreign");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(20);
    params.not_after = time::OffsetDateTime::now_utc() - time::Duration::days(10);
    let expired = site
        .pki
        .client(params, "/tenant/acme/scanner/gate")
        .expect("issued");
    try_in(&site, Some(&expired), tls13).await.expect_err("expired");
}

#[tokio::test]
async fn a_certificate_that_was_taken_back_does_not_and_the_others_do() {
    let site = Site::new();
    let tls13 = &rustls::version::TLS13;
    let (lost, kept) = (site.client_cert(), site.client_cert());
    site.revoke(&lost);
    try_in(&site, Some(&lost), tls13).await.expect_err("taken back");
    try_in(&site, Some(&kept), tls13).await.expect("let in");
}

#[tokio::test]
async fn an_authority_without_a_list_lets_its_own_in() {
    let (site, other) = (Site::new(), Site::new());
    site.revoke(&site.client_cert());
    let read = |site: &Site| std::fs::read_to_string(site.path("ca.pem")).expect("readable");
    let both = read(&site) + &read(&other);
    std::fs::write(site.path("ca.pem"), both).expect("written");
    let cert = other.client_cert();
    try_in(&site, Some(&cert), &rustls::version::TLS13)
        .await
        .expect("let in");
}
