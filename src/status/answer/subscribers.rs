//! What the admin address says of those who are told of incidents.

use super::super::subscribers::{self, PATH, RemoveAnswer, RemoveBody};
use super::{Answer, Desk, Refused, check_text, json_answer, parsed, read};
use http::Method;
use http::request::Parts;
use hyper::body::Incoming;
use std::net::IpAddr;

impl Desk {
    /// Who is told, or the end of it for one of them.
    pub(super) async fn subscribers(&self, peer: IpAddr, parts: &Parts, body: Incoming) -> Result<Answer, Refused> {
        match parts.method {
            Method::GET | Method::HEAD => {
                let list = subscribers::list(&self.subscriptions).await.map_err(|why| Refused::new(503, why))?;
                Ok(json_answer(&list))
            }
            Method::POST => self.unsubscribe(peer, &read(body).await?).await,
            _ => Err(Refused::method(PATH, "GET, POST")),
        }
    }

    async fn unsubscribe(&self, peer: IpAddr, body: &[u8]) -> Result<Answer, Refused> {
        let RemoveBody { remove, who } = parsed(body)?;
        check_text("who", &who)?;
        let removed = subscribers::remove(&self.subscriptions, remove).await.map_err(|why| Refused::new(503, why))?;
        tracing::info!(%peer, who, "an operator ended the subscription {remove}: {removed}");
        Ok(json_answer(&RemoveAnswer { removed }))
    }
}
