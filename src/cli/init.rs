//! `thenar init`: makes a data directory. Never touches one that exists.

use std::path::PathBuf;

use serde_json::json;

use super::error::CliError;
use super::keys::KekOptions;
use super::local;
use super::output::Output;

/// Options of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory to make
    #[arg(long, value_name = "DIR", default_value = local::DATA_DEFAULT)]
    data: PathBuf,
    /// Trust domain of the certificates' SPIFFE ids
    #[arg(long, value_name = "DOMAIN", default_value = local::TRUST_DOMAIN_DEFAULT)]
    trust_domain: String,
    /// Name or address that the server's certificate carries beside localhost; may be given again
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    kek: KekOptions,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let kek = args.kek.source();
    local::init(&args.data, &args.trust_domain, &args.names, kek.as_ref())?;
    let keys = match kek {
        Some(_) => format!(
            "back up {}/keyring, and set `kek` in the configuration as it was given here",
            args.data.display()
        ),
        None => format!(
            "back up {0}/keyring and {0}/kek, apart from each other: without both nothing can be read",
            args.data.display()
        ),
    };
    let tls = args.data.join(local::TLS_DIR);
    let text = format!(
        "made {data}\n\nnext:\n  thenar serve --data {data}\n  thenar tenant create acme --data {data}\n  \
         thenar cert issue --data {data} --tenant acme --role scanner --name door-1 --out .\n\n{keys}",
        data = args.data.display(),
    );
    let json = json!({
        "data": args.data,
        "ca": tls.join(local::CA_FILE),
        "cert": tls.join(local::ADMIN_CERT_FILE),
        "key": tls.join(local::ADMIN_KEY_FILE),
    });
    args.output.print(&text, &json)
}
