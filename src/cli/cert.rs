//! `thenar cert issue`: client certificates from a data directory's authority. Talks to no server.

use std::path::PathBuf;

use serde_json::json;

use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};

use super::error::CliError;
use super::local::{self, Authority, LocalError};
use super::output::Output;

/// What can be done with certificates.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Issue a client certificate
    Issue(Args),
}

/// Options of `cert issue`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Data directory whose authority signs
    #[arg(long, value_name = "DIR", default_value = local::DATA_DEFAULT)]
    data: PathBuf,
    /// scanner, enroller, operator or admin
    #[arg(long)]
    role: Role,
    /// Tenant that the principal belongs to; only an administrator of the whole server has none
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Name of the principal, for instance of the device
    #[arg(long)]
    name: PrincipalName,
    /// Days until it expires
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    /// Directory for NAME.pem, NAME.key and ca.pem
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    let Command::Issue(args) = command;
    let principal = principal(args.role, args.tenant.clone(), args.name.clone())?;
    let authority = Authority::open(&args.data)?;
    let issued = authority.issue(&principal, args.days)?;
    issued
        .write(&args.out, args.name.as_str())
        .map_err(LocalError::Pki)?;
    let file = |ending: &str| args.out.join(format!("{}.{ending}", args.name));
    let (cert, key, ca) = (file("pem"), file("key"), args.out.join(local::CA_FILE));
    if !ca.exists() {
        std::fs::write(&ca, authority.ca_pem()).map_err(|e| CliError::file(&ca, e))?;
    }
    let text = format!(
        "{} for {} days\n  --cert {}\n  --key {}\n  --ca {}",
        principal.path(),
        args.days,
        cert.display(),
        key.display(),
        ca.display()
    );
    let json = json!({"principal": principal.path(), "days": args.days, "cert": cert, "key": key, "ca": ca});
    args.output.print(&text, &json)
}

fn principal(role: Role, tenant: Option<TenantId>, name: PrincipalName) -> Result<Principal, CliError> {
    match (tenant, role) {
        (Some(tenant), role) => Ok(Principal::Member { tenant, role, name }),
        (None, Role::Admin) => Ok(Principal::Admin { name }),
        (None, role) => Err(CliError::Usage(format!(
            "--tenant is required for a {role}; only an admin may belong to none"
        ))),
    }
}

#[cfg(test)]
#[path = "cert_tests.rs"]
mod tests;
