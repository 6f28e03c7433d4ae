//! The tables of the status page and of who is told.

use crate::names::Hostname;
use crate::topology::read::{At, May, Must, table};
use crate::topology::status::Security;
use crate::topology::status::words::{Address, PageUrl, Server};
use crate::topology::zone::words::Text;
use ipnet::IpNet;

table! {
    /// The public status page, and who is told of incidents. Absent: the page is where `serve --status` says, and nobody is
    /// told by mail.
    Status "[status]" {
        /// A hostname of its own, at which nodes show the page on their HTTPS listeners, to which requests in the clear are
        /// sent; nodes without such listeners show it in the clear. Absent: on none of them.
        hostname: May<Hostname>,
        /// Where links in mails and feeds point to, without a path after it if the page is at the root. Absent: the hostname,
        /// by HTTPS.
        url: May<PageUrl>,
        /// What the page is called, in its heading and in mails. Absent: the fleet's name, with "status" after it.
        title: May<Text>,
        /// Whether anybody may have webhooks told of incidents. True: an address proves itself before it is told anything, and
        /// private ones are never asked.
        webhooks: May<bool> = true,
        /// Private networks in which webhooks may be, at any port and still by HTTPS. Empty: only public addresses at port
        /// 443, so that nobody can have us ask what stands behind our firewall.
        webhook_private: May<Vec<At<IpNet>>> = [],
        /// PEM files, relative to this one, with certificate authorities believed at webhooks besides the public ones.
        webhook_trust: May<Vec<At<String>>> = [],
        /// How mails are sent. Absent: nobody is told by mail.
        mail: May<Mail>,
    }
}

table! {
    /// How mails are sent: to one server of the operator's, which delivers them.
    Mail "[status.mail]" {
        /// The server: name or address, and port.
        server: Must<Server>,
        /// `starttls`: TLS is asked for, and nothing is sent without; `tls` from the first octet, as at port 465; `none`: only
        /// to this machine itself. Never less than is said here.
        security: May<Security> = "starttls",
        /// As whom to sign in. Absent: not at all.
        user: May<Text>,
        /// A file, relative to this one, with the password on its one line. Read when this file is; never shown.
        password_file: May<String>,
        /// Whom mails come from: a mailbox that the server may send for.
        from: Must<Address>,
        /// PEM files, relative to this one, with certificate authorities believed at the server besides the public ones.
        trust: May<Vec<At<String>>> = [],
    }
}
