//! `thenar init`: makes a data directory with keys, an authority and certificates. Overwrites nothing, starts nothing.

use std::path::Path;

use super::ServerError;
use super::config::check_trust_domain;
use super::pki::{Pki, SERVER_DAYS};
use crate::keys::keyring::Keyring;
use crate::keys::provider::KekSource;
use crate::model::id::PrincipalName;
use crate::model::principal::Principal;
use crate::storage::data_dir::DataDir;

/// Makes `data`: format file, `kek` (the key-encryption key), `keyring` and `tls/` with an authority,
/// the server's certificate (for `localhost`, loopback and `dns_names`) and an administrator's (`admin.pem`). `kek` is where the key comes from;
/// `None` makes the file.
pub fn init(
    data: &Path,
    trust_domain: &str,
    dns_names: &[String],
    kek: Option<&KekSource>,
) -> Result<(), ServerError> {
    check_trust_domain(trust_domain)?;
    DataDir::init(data)?;
    let key = match kek {
        Some(source) => source.load()?,
        None => KekSource::create_file(&data.join("kek"))?,
    };
    Keyring::create(&data.join("keyring"), &key)?;
    let tls = data.join("tls");
    let pki = Pki::init(&tls, trust_domain)?;
    pki.issue_server(dns_names)?.write(&tls, "server")?;
    let name: PrincipalName = "admin".parse().expect("a valid name");
    pki.issue(&Principal::Admin { name }, SERVER_DAYS)?
        .write(&tls, "admin")?;
    Ok(())
}
