//! Private links: the tunnels inside a cloud by which a customer's network reaches us, and what is known of each.

use super::RegionIndex;
use crate::names::Hostname;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// How a VPC endpoint's id begins.
const VPCE: &str = "vpce-";
/// Digits of a VPC endpoint's id: eight in old ones, seventeen in new ones, and room for what comes.
const VPCE_DIGITS_MAX: usize = 32;

/// Whose private links there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// AWS `PrivateLink`.
    Aws,
    /// Google's Private Service Connect.
    Gcp,
    /// Azure Private Link.
    Azure,
}

/// One private link, as its cloud knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PrivateLink {
    /// The id of a VPC endpoint: `vpce-` and hexadecimal digits.
    Aws(Arc<str>),
    /// The id of a Private Service Connect connection.
    Gcp(u64),
    /// The link id of a private endpoint.
    Azure(u32),
}

/// What the file says of a private link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkTerms {
    /// What may be asked for on it; `None` is everything.
    pub hostnames: Option<HashSet<Hostname>>,
    /// Where its requests go; `None`: where those of everybody go.
    pub region: Option<RegionIndex>,
    /// Whether they may go elsewhere when that region does not serve them.
    pub leaves_region: bool,
}

impl LinkTerms {
    /// Whether this hostname may be asked for.
    #[must_use]
    pub fn allow(&self, hostname: &Hostname) -> bool {
        self.hostnames.as_ref().is_none_or(|hostnames| hostnames.contains(hostname))
    }
}

impl Cloud {
    /// Every cloud and its name.
    pub const NAMES: [(&'static str, Self); 3] = [("aws", Self::Aws), ("gcp", Self::Gcp), ("azure", Self::Azure)];

    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        }
    }

    /// What an id looks like there.
    #[must_use]
    pub fn id_help(self) -> &'static str {
        match self {
            Self::Aws => "the id of a VPC endpoint, such as \"vpce-08d2bf15fac5001c9\"",
            Self::Gcp => "the pscConnectionId, a whole number such as \"20216\"",
            Self::Azure => "the LinkID of the private endpoint connection, a whole number such as \"4660\"",
        }
    }
}

impl PrivateLink {
    /// The link of that id, as the cloud writes it; `None` if no id looks so. Each link has one way to be written.
    #[must_use]
    pub fn parse_id(cloud: Cloud, id: &str) -> Option<Self> {
        match cloud {
            Cloud::Aws => {
                let digits = id.strip_prefix(VPCE)?;
                let is_good = (1..=VPCE_DIGITS_MAX).contains(&digits.len())
                    && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                is_good.then(|| Self::Aws(id.into()))
            }
            Cloud::Gcp => Some(Self::Gcp(id.parse().ok()?)).filter(|link| link.id() == id),
            Cloud::Azure => Some(Self::Azure(id.parse().ok()?)).filter(|link| link.id() == id),
        }
    }

    /// A link as it is shown: `aws:vpce-…`, `gcp:20216`, `azure:4660`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, id) = text.split_once(':').ok_or("is written CLOUD:ID, such as aws:vpce-08d2bf15fac5001c9")?;
        let cloud = Cloud::NAMES.iter().find(|(known, _)| *known == name).map(|(_, cloud)| *cloud);
        let cloud = cloud.ok_or_else(|| format!("{name:?} is no cloud that is known here: aws, gcp, azure"))?;
        Self::parse_id(cloud, id).ok_or_else(|| format!("{id:?} is not {}", cloud.id_help()))
    }

    /// Whose it is.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        match self {
            Self::Aws(_) => Cloud::Aws,
            Self::Gcp(_) => Cloud::Gcp,
            Self::Azure(_) => Cloud::Azure,
        }
    }

    /// Its id, as the cloud writes it.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Aws(id) => id.to_string(),
            Self::Gcp(id) => id.to_string(),
            Self::Azure(id) => id.to_string(),
        }
    }
}

impl fmt::Display for PrivateLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cloud().as_str(), self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_shown_as_it_is_read() {
        for text in ["aws:vpce-08d2bf15fac5001c9", "aws:vpce-0", "gcp:0", "gcp:18446744073709551615", "azure:4660"] {
            assert_eq!(PrivateLink::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_no_cloud_writes_is_no_link() {
        for text in [
            "vpce-08d2",
            "aws:",
            "aws:vpce-",
            "aws:vpce-08D2",
            "aws:vpce-svc-08d2",
            "aws:vpce-08d2\r\n",
            "aws:vpce-000000000000000000000000000000000",
            "gcp:007",
            "gcp:+7",
            "gcp:18446744073709551616",
            "azure:-1",
            "azure:4294967296",
            "oci:1",
        ] {
            assert!(PrivateLink::parse(text).is_err(), "{text:?}");
        }
    }
}
