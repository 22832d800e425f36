//! Two fronts and two match nodes, each a process with a data directory of its own, under one authority; and how one node is lost and comes back. Asks about no palm.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use thenar::client::Client;
use thenar::server::pki::NodeKind;

use super::call::Tenant;
use super::network::Network;
use crate::Failure;
use crate::live::child::{Child, Site, UNLIMITED};
use crate::live::{calls, metrics};

/// Fronts side by side.
const FRONTS: [&str; 2] = ["front-1", "front-2"];
/// What they have to have in common.
const SHARED: [&str; 2] = ["kek", "keyring"];
/// A connection that is not made within this won't be: it is to this machine.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// A node that was told to drain lets nobody in any more within this, on a busy machine too.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How often that is looked for.
const POLL: Duration = Duration::from_millis(2);

/// How a node is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// SIGKILL; a successor is started.
    Killed,
    /// SIGSTOP, then SIGCONT.
    Paused,
    /// Nothing that is sent to it is taken, and nothing comes from it; then it is joined again.
    CutOff,
    /// SIGTERM while it has something to finish; a successor is started.
    Drained,
}

impl Loss {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::Killed, Self::Paused, Self::CutOff, Self::Drained];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Paused => "paused",
            Self::CutOff => "cut off",
            Self::Drained => "drained",
        }
    }
}

/// A process of one tier.
struct Tier {
    site: Site,
    process: Child,
    address: String,
}

impl Tier {
    async fn start(site: Site) -> Result<Self, Failure> {
        let (process, address, _) = site.start().await?;
        Ok(Self {
            site,
            process,
            address,
        })
    }
}

/// All of them. Fields are dropped in this order: the network once nobody is in it any more.
pub struct Deployment {
    fronts: Vec<Tier>,
    lost: Tier,
    other: Tier,
    metrics: String,
    network: Result<Network, String>,
    folder: PathBuf,
    thenar: PathBuf,
}

impl Deployment {
    /// Starts two nodes and a front, whose files are in `folder`.
    pub async fn start(folder: &Path, thenar: &Path) -> Result<Self, Failure> {
        let mut home = site(folder, thenar, Tenant::Lost.node(), "match")?;
        let other = site(folder, thenar, Tenant::Other.node(), "match")?;
        let network = Network::make();
        if let Ok(network) = &network {
            home.run_within(network.command());
            home.listen_at(network.listen());
        }
        let unseen = "[metrics]\nenabled = false\n";
        configure(&home, &home, NodeKind::Match, Tenant::Lost.node(), unseen)?;
        configure(&home, &other, NodeKind::Match, Tenant::Other.node(), unseen)?;
        let mut lost = Tier::start(home).await?;
        // Its successors are found where it was.
        lost.site.listen_at(lost.address.clone());
        let mut deployment = Self {
            fronts: Vec::new(),
            lost,
            other: Tier::start(other).await?,
            // The number is free again when the front takes it, and nobody else asks for it meanwhile.
            metrics: TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string(),
            network,
            folder: folder.to_owned(),
            thenar: thenar.to_owned(),
        };
        let seen = format!("[metrics]\naddress = \"{}\"\n", deployment.metrics);
        deployment.add_front(&seen).await?;
        Ok(deployment)
    }

    /// Starts the second front, with the keys that the first one has by now.
    pub async fn add_second_front(&mut self) -> Result<(), Failure> {
        self.add_front("[metrics]\nenabled = false\n").await
    }

    async fn add_front(&mut self, settings: &str) -> Result<(), Failure> {
        let name = *FRONTS.get(self.fronts.len()).ok_or("there are all fronts")?;
        let site = site(&self.folder, &self.thenar, name, "front")?;
        let settings = format!("{settings}{}", routes([&self.lost.address, &self.other.address]));
        configure(&self.lost.site, &site, NodeKind::Front, name, &settings)?;
        if let Some(first) = self.fronts.first() {
            for file in SHARED {
                fs::copy(first.site.data().join(file), site.data().join(file))?;
            }
        }
        self.fronts.push(Tier::start(site).await?);
        Ok(())
    }

    /// Connects to the first front, or to another, as who is at this path.
    pub async fn connect(&self, front: usize, path: &str) -> Result<Client, Failure> {
        let front = self.fronts.get(front).ok_or("there is no such front")?;
        Ok(calls::connect(&front.address, &self.lost.site.credentials(path)?).await?)
    }

    /// How many fronts there are.
    pub fn fronts(&self) -> usize {
        self.fronts.len()
    }

    /// The first front's metrics.
    pub fn metrics(&self) -> Result<String, Failure> {
        metrics::read(&self.metrics)
    }

    /// The first front's resident memory, in bytes.
    pub fn front_bytes(&self) -> Result<f64, Failure> {
        let front = self.fronts.first().ok_or("there is a front")?;
        front.process.resident_bytes()
    }

    /// Why a node can't be lost so here.
    pub fn hindrance(&self, loss: Loss) -> Option<&str> {
        match loss {
            Loss::CutOff => self.network.as_ref().err().map(String::as_str),
            _ => None,
        }
    }

    /// Takes the node away.
    pub fn lose(&mut self, loss: Loss) -> Result<(), Failure> {
        self.lost.site.note(loss.name());
        match loss {
            Loss::Killed => {
                let ended = self.lost.process.kill()?;
                if ended.signal() != Some(Signal::KILL.as_raw()) {
                    return Err(format!("the node was not killed: it had ended with {ended}").into());
                }
            }
            Loss::Paused => self.lost.process.pause()?,
            Loss::CutOff => self.network()?.cut()?,
            Loss::Drained => {
                self.lost.process.terminate()?;
                let told = Instant::now();
                while self.is_reached()? && told.elapsed() < CLOSE_MAX {
                    std::thread::sleep(POLL);
                }
            }
        }
        Ok(())
    }

    /// An error where the node is not lost as it should be.
    pub fn verify_lost(&mut self, loss: Loss) -> Result<(), Failure> {
        let is_lost = match loss {
            Loss::Killed => !self.is_reached()?,
            Loss::Paused => self.lost.process.stands_still()?,
            // It lives and runs, and nobody gets to it.
            Loss::CutOff => {
                !self.lost.process.has_ended()? && !self.lost.process.stands_still()? && !self.is_reached()?
            }
            // It has something to finish, and lets nobody in any more.
            Loss::Drained => !self.lost.process.has_ended()? && !self.is_reached()?,
        };
        if is_lost {
            return Ok(());
        }
        Err(format!("the node is not {}", loss.name()).into())
    }

    /// Brings the node back.
    pub async fn bring_back(&mut self, loss: Loss) -> Result<(), Failure> {
        match loss {
            Loss::Paused => self.lost.process.resume()?,
            Loss::CutOff => self.network()?.join()?,
            Loss::Killed => self.lost.process = self.lost.site.start().await?.0,
            Loss::Drained => {
                let ended = self.lost.process.ended().await?;
                if !ended.is_some_and(|status| status.success()) {
                    return Err(format!("the node that drains did not end well: {ended:?}").into());
                }
                self.lost.process = self.lost.site.start().await?.0;
            }
        }
        if self.is_reached()? {
            return Ok(());
        }
        Err(format!("the node that was {} is not back", loss.name()).into())
    }

    fn network(&self) -> Result<&Network, Failure> {
        Ok(self.network.as_ref().map_err(Clone::clone)?)
    }

    /// Whether a connection to the node is made.
    fn is_reached(&self) -> Result<bool, Failure> {
        let address: SocketAddr = self.lost.address.parse()?;
        Ok(TcpStream::connect_timeout(&address, CONNECT_MAX).is_ok())
    }
}

fn site(folder: &Path, thenar: &Path, name: &str, kind: &'static str) -> Result<Site, Failure> {
    let folder = folder.join(name);
    fs::create_dir(&folder)?;
    let mut site = Site::make(&folder, thenar)?;
    site.run_as(kind);
    Ok(site)
}

/// Certificates that `home` issues, and the settings that name them.
fn configure(home: &Site, site: &Site, kind: NodeKind, name: &str, settings: &str) -> Result<(), Failure> {
    let tls = site.data().join("tls/split");
    home.pki().issue_server(&[])?.write(&tls, "server")?;
    home.pki().issue_node(kind, name, &[])?.write(&tls, "node")?;
    let file = |name: &str| tls.join(name).display().to_string();
    let settings = format!(
        "{settings}[engine]\nbackend = \"cpu\"\n{UNLIMITED}[log]\nfilter = \"warn\"\n\
         [tls]\nca = {:?}\ncert = {:?}\nkey = {:?}\nnode_cert = {:?}\nnode_key = {:?}\n",
        home.data().join("tls/ca.pem").display().to_string(),
        file("server.pem"),
        file("server.key"),
        file("node.pem"),
        file("node.key"),
    );
    site.write_configuration(&settings)?;
    Ok(())
}

/// A table of routes to the tenants' nodes at these addresses.
fn routes(addresses: [&str; 2]) -> String {
    let tenants = Tenant::ALL.map(|tenant| format!("{} = \"{}\"\n", tenant.name(), tenant.node()));
    let nodes = Tenant::ALL.iter().zip(addresses).map(|(tenant, address)| {
        let node = tenant.node();
        format!("[routes.nodes.{node}]\naddress = \"{address}\"\nserver_name = \"localhost\"\n")
    });
    let head = format!(
        "[routes]\ndefault = \"{}\"\n[routes.tenants]\n",
        Tenant::Lost.node()
    );
    [head].into_iter().chain(tenants).chain(nodes).collect()
}
