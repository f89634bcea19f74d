//! The lab's proxy, for the ordinary role of the tests' clusters.

use std::ops::Deref;

use pg_leader_lab::proxy;

use super::cluster::url_at;

pub struct Proxy(proxy::Proxy);

impl Proxy {
    pub async fn start(server_port: u16) -> Proxy {
        Proxy(proxy::Proxy::start(server_port).await)
    }

    /// The ordinary role's.
    pub fn url(&self) -> String {
        url_at(&format!("127.0.0.1:{}", self.port))
    }
}

impl Deref for Proxy {
    type Target = proxy::Proxy;

    fn deref(&self) -> &proxy::Proxy {
        &self.0
    }
}
