//! `thenar init`: makes a data directory. Never touches one that exists.

use std::path::PathBuf;

use serde_json::json;

use crate::keys::provider::KekSource;

use super::error::CliError;
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
    /// Environment variable that holds the key-encryption key; without it and --kek-command a file is made in the directory
    #[arg(long, value_name = "VARIABLE", conflicts_with = "kek_command")]
    kek_env: Option<String>,
    /// Command that prints the key-encryption key, its arguments after it
    #[arg(long, value_name = "COMMAND", num_args = 1.., value_terminator = ";")]
    kek_command: Option<Vec<String>>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    fn kek(&self) -> Option<KekSource> {
        let env = self.kek_env.clone().map(KekSource::Env);
        env.or_else(|| self.kek_command.clone().map(KekSource::Command))
    }
}

/// Runs it.
pub fn run(args: &Args) -> Result<(), CliError> {
    let kek = args.kek();
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
