//! The status page: where it is, and how people are told.

use super::{At, Proof, values};
use crate::names::Hostname;
use crate::topology::file::status as written;
use crate::topology::mistake::Mistake;
use crate::topology::read::quoted;
use crate::topology::status::{Login, Mail, Security, Status, Webhooks};
use crate::topology::{Host, RouteIndex};
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

impl Proof<'_> {
    /// The status page of the fleet called `fleet`.
    pub(super) fn status(
        &mut self,
        fleet: &str,
        routes: &HashMap<Hostname, RouteIndex>,
        nat_hostname: Option<&Hostname>,
    ) -> Status {
        let file = self.file;
        let title = |title: Option<&str>| title.map_or_else(|| Status::title_of(fleet), Arc::from);
        let Some(At { value: page, .. }) = &file.status else {
            return Status { title: title(None), webhooks: Some(Arc::default()), ..Status::default() };
        };
        if let Some(At { value: hostname, span }) = &page.hostname {
            let taken = if routes.contains_key(hostname) {
                Some("is served by regions already")
            } else {
                (nat_hostname == Some(hostname)).then_some("is that of [nat_ips] already")
            };
            if let Some(taken) = taken {
                let text = format!("the hostname of [status], {hostname}, {taken}");
                self.error(span, text, "taken", "give the page a hostname of its own, such as status below the zone");
            }
        }
        let hostname = page.hostname.as_ref().map(|hostname| hostname.value.clone());
        let url = page.url.as_ref().map(|url| url.value.0.clone());
        let url = url.or_else(|| hostname.as_ref().map(|hostname| format!("https://{hostname}")));
        if let (None, Some(At { span, .. })) = (&url, &page.mail) {
            let help = "add hostname or url to [status]: mails have links by which people confirm and unsubscribe";
            self.error(span, "[status.mail] without a place of the page", "links to where?", help);
        }
        let webhooks = self.webhooks(page);
        let mail = page.mail.as_ref().and_then(|mail| self.mail(&mail.value)).map(Arc::new);
        Status {
            hostname,
            url: url.map(Arc::from),
            title: title(page.title.as_ref().map(|title| &*title.value.0)),
            webhooks: webhooks.map(Arc::new),
            mail,
        }
    }

    fn webhooks(&mut self, page: &written::Status) -> Option<Webhooks> {
        self.repeated("webhook_private", page.webhook_private.as_ref(), ToString::to_string);
        for At { value: network, span } in page.webhook_private.iter().flat_map(|list| &list.value) {
            if network.prefix_len() == 0 {
                let help = "public addresses at port 443 need no entry: name your own networks, such as \"10.0.0.0/8\"";
                self.error(span, format!("webhook_private {network} is everything"), "no fence at all", help);
            }
        }
        if page.webhooks.as_ref().is_none_or(|are| are.value) {
            let trust = page.webhook_trust.iter().flat_map(|files| &files.value);
            let trust = trust.flat_map(|file| self.authorities("webhook_trust", file)).collect();
            return Some(Webhooks { private: values(page.webhook_private.as_ref()), trust });
        }
        let spans = [
            ("webhook_private", page.webhook_private.as_ref().map(|list| &list.span)),
            ("webhook_trust", page.webhook_trust.as_ref().map(|list| &list.span)),
        ];
        for (key, span) in spans {
            if let Some(span) = span {
                let help = "remove it, or let there be webhooks";
                self.error(span, format!("{key} with webhooks = false"), "there are none", help);
            }
        }
        None
    }

    fn mail(&mut self, written: &written::Mail) -> Option<Mail> {
        let security = written.security.as_ref().map_or(Security::StartTls, |security| security.value);
        if let (Security::None, Some(At { value: server, .. }), Some(At { span, .. })) =
            (security, &*written.server, &written.security)
        {
            let is_here = match &server.host {
                Host::Address(address) => address.is_loopback(),
                Host::Name(name) => name.as_str() == "localhost",
            };
            if !is_here {
                let help = "use \"starttls\" or \"tls\", or a server on this machine, such as \"127.0.0.1:25\"";
                self.error(span, "security \"none\" to another machine", "everybody between could read it", help);
            }
            if let Some(At { span, .. }) = written.trust.as_ref().filter(|trust| !trust.value.is_empty()) {
                let title = "trust of [status.mail] has no effect".to_owned();
                self.mistakes.push(Mistake::warning(span.clone(), title, "security is \"none\"", "remove it"));
            }
        }
        let login = self.login(written);
        let files = written.trust.iter().flat_map(|files| &files.value);
        let trust = files.flat_map(|file| self.authorities("trust", file)).collect();
        let (server, from) = (written.server.as_ref()?, written.from.as_ref()?);
        Some(Mail {
            host: server.value.host.clone(),
            port: server.value.port,
            security,
            login,
            from: from.value.0.as_str().into(),
            trust,
        })
    }

    fn login(&mut self, written: &written::Mail) -> Option<Login> {
        let (user, file) = match (&written.user, &written.password_file) {
            (Some(user), Some(file)) => (user, file),
            (None, None) => return None,
            (Some(At { span, .. }), None) => {
                let help = "add password_file with the name of a file that has it on one line, or remove user";
                self.error(span, "user without password_file", "by which password?", help);
                return None;
            }
            (None, Some(At { span, .. })) => {
                self.error(span, "password_file without user", "whose?", "add user, or remove password_file");
                return None;
            }
        };
        let octets = self.secret("password_file", file)?;
        let line = std::str::from_utf8(&octets).ok().map(|text| text.trim_end_matches(['\r', '\n']));
        let good = line.filter(|line| !line.is_empty() && !line.contains(|c: char| c.is_control()));
        let Some(password) = good else {
            let title = format!("password_file {} has no password", quoted(&file.value));
            let help = "write the password into it, on one line, and nothing else";
            self.error(&file.span, title, "empty, of several lines, or no text", help);
            return None;
        };
        Some(Login { user: user.value.0.as_str().into(), password: Arc::new(Zeroizing::new(password.to_owned())) })
    }
}
