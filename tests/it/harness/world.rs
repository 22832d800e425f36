//! A data directory and the server on it, in this process.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use thenar::engine::BackendChoice;
use thenar::model::principal::Principal;
use thenar::proto::v1;
use thenar::server::config::Config;
use thenar::server::pki::{IssuedCert, Pki};
use thenar::server::{Mode, Server};
use time::{Duration, OffsetDateTime};
use tonic::Status;

use super::caller::Caller;
use super::palms::policy;

/// Trust domain of the tests' certificates.
const TRUST_DOMAIN: &str = "test.thenar";

/// Where a server scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Cpu,
    /// Any GPU; on a machine without one Mesa's, which runs on the CPU.
    Gpu,
}

impl Backend {
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Gpu];

    /// How the names of its kernels begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Cpu => "cpu/",
            Self::Gpu => "gpu/",
        }
    }
}

/// A data directory, and the server on it while one runs.
pub struct World {
    dir: TempDir,
    backend: Backend,
    server: Option<Server>,
}

impl World {
    /// A data directory without a server.
    pub fn prepare() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        thenar::server::init(&dir.path().join("data"), TRUST_DOMAIN, &[], None).expect("made");
        Self {
            dir,
            backend: Backend::Cpu,
            server: None,
        }
    }

    /// A data directory that was made in `dir` by something else.
    pub fn adopt(dir: TempDir) -> Self {
        Self {
            dir,
            backend: Backend::Cpu,
            server: None,
        }
    }

    /// A server that searches on the CPU.
    pub async fn start() -> Self {
        Self::start_with(Backend::Cpu).await
    }

    pub async fn start_with(backend: Backend) -> Self {
        let mut world = Self::prepare();
        world.backend = backend;
        world.boot().await
    }

    /// A copy of a data directory that has no certificates, and new ones. Names in `left_out` are not copied.
    pub fn of(original: &Path, left_out: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        copy_tree(original, &data, left_out);
        for tenant in std::fs::read_dir(data.join("tenants")).expect("a directory") {
            // Git keeps no empty directory.
            let segments = tenant.expect("readable").path().join("segments");
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(segments)
                .expect("made");
        }
        let tls = data.join("tls");
        let pki = Pki::init(&tls, TRUST_DOMAIN).expect("made");
        let cert = pki.issue_server(&[]).expect("issued");
        cert.write(&tls, "server").expect("written");
        Self {
            dir,
            backend: Backend::Cpu,
            server: None,
        }
    }

    /// Starts the server.
    pub async fn boot(self) -> Self {
        self.boot_with(|_| {}).await
    }

    /// Starts the server with other settings than those of most tests.
    pub async fn boot_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config();
        change(&mut config);
        let server = Server::start(config, Mode::Serve)
            .await
            .expect("the server starts");
        self.server = Some(server);
        self
    }

    /// The settings of a server on this directory.
    pub fn config(&self) -> Config {
        let mut config = Config {
            data: self.data(),
            ..Config::default()
        };
        config.listen.address = ([127, 0, 0, 1], 0).into();
        config.matching.address = ([127, 0, 0, 1], 0).into();
        config.metrics.enabled = false;
        config.matcher.purge_seconds_max = 2;
        config.front.retention_seconds = 1;
        config.recent_matches.per_site_max = 8;
        // Tests ask faster than devices do.
        config.quotas.scanner.per_second = 0;
        config.quotas.scanner.burst = 0;
        // All clocks are this machine's.
        config.sealed_probes.ahead_seconds_max = 0;
        config.engine.backend = match self.backend {
            Backend::Cpu => BackendChoice::Cpu,
            Backend::Gpu => BackendChoice::Gpu,
        };
        config
    }

    pub async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        let server = self.server.take().expect("it runs");
        server.stop().await.expect("it stops well");
    }

    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// Stops, does something to the files, starts again.
    pub async fn restart_after(mut self, meanwhile: impl FnOnce(&Self)) -> Self {
        self.halt().await;
        meanwhile(&self);
        self.boot().await
    }

    pub async fn restart_with(mut self, backend: Backend) -> Self {
        self.halt().await;
        self.backend = backend;
        self.boot().await
    }

    pub fn address(&self) -> String {
        self.server.as_ref().expect("it runs").address().to_string()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn ca(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    pub fn tenant_path(&self, tenant: &str) -> PathBuf {
        self.data().join("tenants").join(tenant)
    }

    /// The segments of a tenant that live.
    pub fn segment_files(&self, tenant: &str) -> Vec<PathBuf> {
        let mut found = files(&self.tenant_path(tenant));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        found.sort();
        found
    }

    /// Every byte of every file of a tenant, one file after the other.
    pub fn all_bytes(&self, tenant: &str) -> Vec<u8> {
        let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
        files(&self.tenant_path(tenant)).iter().flat_map(read).collect()
    }

    pub fn pki(&self) -> Pki {
        Pki::open(&self.data().join("tls")).expect("the authority")
    }

    fn issue(&self, path: &str) -> IssuedCert {
        let principal = Principal::from_path(path).expect("valid");
        self.pki().issue(&principal, 1).expect("issued")
    }

    /// PEM of a certificate and its key for a member of a tenant.
    pub fn member(&self, tenant: &str, role: &str, name: &str) -> (String, String) {
        pem(&self.issue(&format!("/tenant/{tenant}/{role}/{name}")))
    }

    /// PEM of a certificate and its key for the server's administrator.
    pub fn administrator(&self) -> (String, String) {
        pem(&self.issue("/admin/root"))
    }

    pub async fn caller(&self, tenant: &str, role: &str, name: &str) -> Caller {
        self.connect(Some(self.member(tenant, role, name)))
            .await
            .expect("let in")
    }

    pub async fn operator(&self, tenant: &str) -> Caller {
        self.caller(tenant, "operator", "ops").await
    }

    pub async fn admin(&self) -> Caller {
        self.connect(Some(self.administrator())).await.expect("let in")
    }

    pub async fn connect(&self, certificate: Option<(String, String)>) -> Result<Caller, Status> {
        knock(&self.address(), &self.ca(), certificate).await
    }

    /// A caller of `other` with a certificate of this world's authority.
    pub async fn caller_of(
        &self,
        other: &Self,
        tenant: &str,
        role: &str,
        name: &str,
    ) -> Result<Caller, Status> {
        knock(
            &other.address(),
            &other.ca(),
            Some(self.member(tenant, role, name)),
        )
        .await
    }

    /// A caller with a certificate of this world's authority that ends in so many days, which may be in the past.
    pub async fn caller_until(&self, tenant: &str, days: i64) -> Result<Caller, Status> {
        let read =
            |file: &str| std::fs::read_to_string(self.data().join("tls").join(file)).expect("readable");
        let ca_key = KeyPair::from_pem(&read("ca.key")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), ca_key).expect("the authority");
        let id = format!("spiffe://{TRUST_DOMAIN}/tenant/{tenant}/operator/late");
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(20);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().expect("ASCII"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &issuer).expect("signed");
        self.connect(Some((cert.pem(), key.serialize_pem()))).await
    }

    pub async fn caller_without_certificate(&self) -> Result<Caller, Status> {
        self.connect(None).await
    }

    /// A tenant with a threshold of 0.5.
    pub async fn create_tenant(&self, tenant: &str) {
        self.create_tenant_with(tenant, policy(0.5)).await;
    }

    pub async fn create_tenant_with(&self, tenant: &str, policy: v1::Policy) {
        self.try_create_tenant(tenant, policy).await.expect("created");
    }

    pub async fn try_create_tenant(&self, tenant: &str, policy: v1::Policy) -> Result<v1::Tenant, Status> {
        self.admin().await.create_tenant(tenant, policy).await
    }
}

fn pem(cert: &IssuedCert) -> (String, String) {
    (cert.cert_pem.clone(), cert.key_pem.to_string())
}

/// Connects and makes a call, for in TLS 1.3 a client learns of its refusal after its own handshake.
pub async fn knock(
    address: &str,
    ca: &Path,
    certificate: Option<(String, String)>,
) -> Result<Caller, Status> {
    let refused = |error: tonic::transport::Error| Status::unauthenticated(error.to_string());
    let mut caller = Caller::connect(address, ca, certificate).await.map_err(refused)?;
    match caller.tenant("no-such-tenant").await {
        Err(status)
            if matches!(
                status.code(),
                tonic::Code::NotFound | tonic::Code::PermissionDenied
            ) =>
        {
            Ok(caller)
        }
        Err(status) => Err(status),
        Ok(_) => Err(Status::internal("a tenant that was never made")),
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("readable").path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// Copies a directory with the modes that a data directory has, but for what has one of the names in `left_out`.
pub fn copy_tree(from: &Path, to: &Path, left_out: &[&str]) {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)
        .expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if left_out.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target, left_out);
        } else {
            std::fs::copy(entry.path(), &target).expect("copied");
            std::fs::set_permissions(&target, Permissions::from_mode(0o600)).expect("its owner's");
        }
    }
}
