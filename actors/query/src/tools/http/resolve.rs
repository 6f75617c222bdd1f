//! Looking names up. What a name leads to is checked where the connection takes it from, so that no other
//! answer to the same question can come in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::may_be_reached;

/// Tells the addresses of a name.
pub(super) trait Lookup: Send + Sync + 'static {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// As the machine is set up to.
pub(super) struct System;

impl Lookup for System {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name that leads where nobody may go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, which is no public address and in no allowed network")]
pub(super) struct Refused {
    pub(super) host: String,
    pub(super) address: IpAddr,
}

/// Refuses a name if a single one of its addresses may not be reached.
pub(super) struct Checked {
    pub(super) lookup: Box<dyn Lookup>,
    pub(super) allowed: Arc<[IpNet]>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, allowed) = (self.lookup.lookup(host.clone()), Arc::clone(&self.allowed));
        Box::pin(async move {
            let found = found.await?;
            let refused = found.iter().find(|address| !may_be_reached(**address, &allowed));
            if let Some(address) = refused {
                return Err(Refused { host, address: *address }.into());
            }
            // The port is the URL's.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
