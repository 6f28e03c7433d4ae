//! The tables of DNS and of certificates by it.

use crate::names::Hostname;
use crate::topology::read::{At, May, Must, Whole, table};
use crate::topology::zone::words::{CertificateName, Contact, Directory, Folder, Kind, Mailbox, Seconds, Text, Value};
use ipnet::IpNet;

table! {
    /// The zone at the fleet's `zone`, of which every node is an authority (`serve --dns`). Steered hostnames are in it
    /// by themselves.
    Zone "[zone]" {
        /// Its name servers, whole names; the first one is named in SOA. Those inside the zone get the sites' addresses,
        /// dealt in turn. The parent zone must name the same ones.
        nameservers: Must<Vec<At<Hostname>>>,
        /// Who is responsible: a mailbox, "hostmaster@example.com".
        hostmaster: Must<Mailbox>,
        /// How long answers made by steering may be believed, where a hostname does not say otherwise.
        ttl: May<Ttl>,
        /// How long it may be believed that something does not exist, a minute at most, so that what is new is soon
        /// found.
        negative_ttl: May<Seconds> = "60s",
        /// What `version.bind` is answered with. Absent: refused, because it is nobody's business.
        version: May<Text>,
        /// Networks of the resolvers whose client subnets (EDNS, RFC 7871) are believed. Absent: everybody's, because they
        /// decide nothing but what their own client is answered. Empty: nobody's.
        client_subnet_from: May<Vec<At<IpNet>>>,
        /// Answers a second by UDP to one /24 or /56, of each kind; beyond it every other one is cut short, so that only
        /// TCP asks again, and the rest are dropped. `0`: no limit. 200: a resolver that remembers what it was told asks
        /// far less, and 200 small answers flood nobody whose address was forged.
        answers_per_second: May<Whole<0, 100_000>> = 200,
        /// What else is in the zone.
        record: May<Vec<At<Record>>>,
        /// How it is signed. Absent: it is not.
        dnssec: May<Signed>,
    }
}

table! {
    /// How long answers made by steering may be believed. What a hostname leaves out of its own is as in `[zone]`.
    Ttl "ttl" {
        /// While something is changing. Short enough to leave a region that dies, long enough for resolvers to remember.
        min: May<Seconds> = "20s",
        /// While nothing is. More than a minute would keep clients where they are for too long.
        max: May<Seconds> = "60s",
    }
}

table! {
    /// A record of the zone.
    Record "[[zone.record]]" {
        /// Whose: a name relative to the zone, `@` for the zone itself, `*` or `*.x` for whatever does not exist there. With a
        /// dot at its end it is a whole name, inside the zone.
        name: Must<String>,
        /// Which type.
        r#type: Must<Kind>,
        /// What it says, as master files write it: "10 mx.example.com.". Names without a dot at their end are relative to
        /// the zone. Of TXT it is the text itself, or a list of texts.
        value: Must<Value>,
        /// How long it may be believed. An hour: what was wrong is forgotten within it.
        ttl: May<Seconds> = "1h",
    }
}

table! {
    /// How the zone is signed (DNSSEC).
    Signed "[zone.dnssec]" {
        /// The folder with the keys, relative to the state directory. `anyfront dnssec` makes and rolls them.
        keys: May<Folder> = "dnssec",
    }
}

table! {
    /// Certificates by ACME (RFC 8555), proven by DNS-01 in the zone. Whoever writes this agrees to the authority's terms.
    Acme "[acme]" {
        /// The URL of the authority's directory.
        directory: Must<Directory>,
        /// Whom the authority may write to: "mailto:hostmaster@example.com".
        contact: May<Vec<At<Contact>>> = [],
        /// What the certificate is for: names in the zone, `*.` before one for those directly below it. Absent: the zone
        /// itself and `*.` below it.
        names: May<Vec<At<CertificateName>>>,
        /// Which of the authority's profiles to ask for, such as "shortlived". Absent: its default.
        profile: May<Text>,
        /// A PEM file, relative to this one, with who signs the directory's own certificate, instead of the public
        /// authorities: for private ones, and for tests.
        authority: May<String>,
        /// An account that the authority knows already, where it wants one.
        external_account: May<ExternalAccount>,
    }
}

table! {
    /// An account that an ACME authority knows already (RFC 8555 §7.3.4).
    ExternalAccount "[acme.external_account]" {
        /// Its id, as the authority gave it.
        id: Must<Text>,
        /// A file, relative to this one, with its key in base64url. Read when this file is; never shown.
        key_file: Must<String>,
    }
}
