//! `thenar cert`: certificates from a data directory's authority, and those it takes back. Talks to no server.

use std::path::PathBuf;

use serde_json::json;

use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};

use super::error::CliError;
use super::local::{self, Authority, LocalError, NodeKindOption};
use super::output::Output;

/// What can be done with certificates.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Issue a client certificate
    Issue(Args),
    /// Issue the certificate of a node of a split deployment, for both ends between front and match
    Node(NodeArgs),
    /// Issue the certificate that a server shows to callers
    Server(ServerArgs),
    /// Take certificates back: signs the list of them anew, which a running server reads by itself
    Revoke(RevokeArgs),
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

/// Options of `cert node`.
#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// Data directory whose authority signs
    #[arg(long, value_name = "DIR", default_value = local::DATA_DEFAULT)]
    data: PathBuf,
    /// Which tier the node runs; match nodes let in fronts alone
    #[arg(long, value_enum)]
    kind: NodeKindOption,
    /// Name of the node
    #[arg(long)]
    name: PrincipalName,
    /// Name or address that it is reached at beside localhost; may be given again
    #[arg(long = "dns", value_name = "NAME")]
    names: Vec<String>,
    /// Directory for node.pem and node.key
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Options of `cert server`.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// Data directory whose authority signs
    #[arg(long, value_name = "DIR", default_value = local::DATA_DEFAULT)]
    data: PathBuf,
    /// Name or address that callers reach it at beside localhost; may be given again
    #[arg(long = "dns", value_name = "NAME")]
    names: Vec<String>,
    /// Directory for server.pem and server.key
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Options of `cert revoke`.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// Serial numbers or files of certificates; without any the list stays as it is and is signed for longer
    #[arg(value_name = "SERIAL|FILE")]
    certificates: Vec<String>,
    /// Data directory whose authority signs
    #[arg(long, value_name = "DIR", default_value = local::DATA_DEFAULT)]
    data: PathBuf,
    /// Days until the list ends; once it has, servers let no new connection in
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Issue(args) => issue(args),
        Command::Node(args) => issue_node(args),
        Command::Server(args) => issue_server(args),
        Command::Revoke(args) => revoke(args),
    }
}

fn issue_server(args: &ServerArgs) -> Result<(), CliError> {
    let serial = Authority::open(&args.data)?.issue_server(&args.names, &args.out)?;
    let (cert, key) = (args.out.join("server.pem"), args.out.join("server.key"));
    let text = format!(
        "cert = {:?}\nkey = {:?}\nserial {serial}",
        cert.display().to_string(),
        key.display().to_string()
    );
    let json = json!({"cert": cert, "key": key, "serial": serial.to_string()});
    args.output.print(&text, &json)
}

fn revoke(args: &RevokeArgs) -> Result<(), CliError> {
    let authority = Authority::open(&args.data)?;
    let serials = args.certificates.iter().map(|text| authority.serial(text));
    let (list, file) = authority.revoke(&serials.collect::<Result<Vec<_>, _>>()?, args.days)?;
    let until = list.until.date();
    let text = format!(
        "{} certificates taken back, until {until}\n  {}",
        list.certificates,
        file.display()
    );
    let json = json!({"certificates": list.certificates, "until": until.to_string(), "crl": file});
    args.output.print(&text, &json)
}

fn issue_node(args: &NodeArgs) -> Result<(), CliError> {
    let authority = Authority::open(&args.data)?;
    let serial = authority.issue_node(args.kind, &args.name, &args.names, &args.out)?;
    let (cert, key) = (args.out.join("node.pem"), args.out.join("node.key"));
    let text = format!(
        "node_cert = {:?}\nnode_key = {:?}\nserial {serial}",
        cert.display().to_string(),
        key.display().to_string()
    );
    args.output.print(
        &text,
        &json!({"node": args.name.as_str(), "cert": cert, "key": key, "serial": serial.to_string()}),
    )
}

fn issue(args: &Args) -> Result<(), CliError> {
    let principal = principal(args.role, args.tenant.clone(), args.name.clone())?;
    let authority = Authority::open(&args.data)?;
    let issued = authority.issue(&principal, args.days)?;
    issued
        .write(&args.out, args.name.as_str())
        .map_err(LocalError::Pki)?;
    let serial = issued.serial().map_err(LocalError::Pki)?;
    let file = |ending: &str| args.out.join(format!("{}.{ending}", args.name));
    let (cert, key, ca) = (file("pem"), file("key"), args.out.join(local::CA_FILE));
    if !ca.exists() {
        std::fs::write(&ca, authority.ca_pem()).map_err(|e| CliError::file(&ca, e))?;
    }
    let text = format!(
        "{} for {} days, serial {serial}\n  --cert {}\n  --key {}\n  --ca {}",
        principal.path(),
        args.days,
        cert.display(),
        key.display(),
        ca.display()
    );
    let json = json!({"principal": principal.path(), "days": args.days, "serial": serial.to_string(),
        "cert": cert, "key": key, "ca": ca});
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
