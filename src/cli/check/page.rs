//! What the configuration means for the status page and for who is told.

use crate::topology::Topology;
use crate::topology::status::{Mail, Security, Status};
use serde_json::{Value, json};

/// What is told of the page, as rows: what it is about, and what is so. Nothing where the file says nothing of it.
pub(super) fn rows(topology: &Topology) -> Vec<(&'static str, String)> {
    let Status { hostname, url, title, webhooks, mail } = &topology.status;
    if !is_written(topology) {
        return Vec::new();
    }
    let mut rows = vec![("title", title.to_string())];
    if let Some(hostname) = hostname {
        rows.push(("hostname", format!("{hostname}, by HTTPS where nodes have --https, else in the clear")));
        if topology.dns.is_none() || !hostname.is_within(&topology.zone) {
            let all = topology.sites.iter().flat_map(|site| &site.addresses);
            let addresses: Vec<String> = all.map(ToString::to_string).collect();
            let what = match &addresses[..] {
                [] => "A and AAAA with the addresses of the sites".to_owned(),
                addresses => format!("A and AAAA with {}", addresses.join(", ")),
            };
            rows.push(("record", format!("DNS is not answered for it here: whoever does needs {what}")));
        }
    }
    if let Some(url) = url {
        rows.push(("links", format!("lead to {url}")));
    }
    rows.push(("mails", mail.as_deref().map_or_else(|| "none".to_owned(), told)));
    let webhooks = match webhooks.as_deref() {
        None => "none".to_owned(),
        Some(terms) if terms.private.is_empty() => "to public addresses at port 443".to_owned(),
        Some(terms) => {
            let networks: Vec<String> = terms.private.iter().map(ToString::to_string).collect();
            format!("to public addresses at port 443, and to {} at any port", networks.join(", "))
        }
    };
    rows.push(("webhooks", webhooks));
    rows
}

/// The page for programs.
pub(super) fn json(topology: &Topology) -> Value {
    let Status { hostname, url, title, webhooks, mail } = &topology.status;
    let mail = mail.as_deref().map(|mail| {
        let user = mail.login.as_ref().map(|login| &login.user);
        json!({ "server": mail.authority(), "security": mail.security.as_str(), "from": mail.from, "user": user })
    });
    let private = webhooks.as_deref().map(|terms| json!({ "private": terms.private }));
    json!({ "hostname": hostname, "url": url, "title": title, "webhooks": private, "mail": mail })
}

/// Whether the file says anything about it.
fn is_written(topology: &Topology) -> bool {
    let Status { hostname, url, title, webhooks, mail } = &topology.status;
    let is_plain = webhooks.as_deref().is_some_and(|terms| terms.private.is_empty() && terms.trust.is_empty());
    let has_place = hostname.is_some() || url.is_some();
    has_place || mail.is_some() || !is_plain || **title != *Status::title_of(&topology.fleet)
}

fn told(mail: &Mail) -> String {
    let how = match mail.security {
        Security::StartTls => "with STARTTLS",
        Security::Tls => "by TLS",
        Security::None => "in the clear",
    };
    let whom = mail.login.as_ref().map(|login| format!(" as {}", login.user)).unwrap_or_default();
    format!("from {} by way of {} {how}{whom}", mail.from, mail.authority())
}
