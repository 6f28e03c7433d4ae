//! One order from its beginning to a certificate (RFC 8555 §7.4), and the questions around it.
//!
//! A shell around `instant-acme`. When to do it is `schedule`'s to say; what is kept of it is `store`'s.

use super::client::{Client, ClientError};
use super::look::{self, Unseen};
use super::schedule::{ASK_AGAIN, Window};
use super::store::{Kept, Membership, StoreError};
use super::{Challenges, Parts, names};
use crate::fetch::FetchError;
use crate::moment::Dice;
use crate::tls::trust::Trust;
use crate::topology::zone::Acme;
use hickory_proto::rr::Name;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the directory has to look at the challenges, and again to sign: the slowest public ones take a minute.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(180));
/// What an account is called that the directory does not know (any more).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The directory cannot be asked, or says no.
    #[error("{doing}: {source}")]
    Directory {
        /// At what: `the account`.
        doing: &'static str,
        /// Why.
        source: Box<Error>,
    },
    /// Nothing can be proven here.
    #[error("this node answers no DNS, so it can prove nothing: --dns ADDR does")]
    NoDns,
    /// The directory does not offer to look into DNS.
    #[error("the directory offers no dns-01 challenge for {0}")]
    NoDns01(String),
    /// Our own DNS does not say what the directory is to see.
    #[error("our own DNS at {server} does not answer TXT at {owner} with the challenge: {source}")]
    Unanswered {
        /// Which of our addresses.
        server: SocketAddr,
        /// Where the challenge should be.
        owner: String,
        /// What it does instead.
        source: Unseen,
    },
    /// The directory looked and did not find what it wanted.
    #[error("the directory did not accept the challenge for {name}: {why}")]
    Unproven {
        /// Which name.
        name: String,
        /// In its words.
        why: String,
    },
    /// The order ended without a reason that we know.
    #[error("the directory ended the order ({0:?}) and did not say why")]
    Ended(OrderStatus),
    /// A key or a request for these names cannot be made.
    #[error("no request for these names can be made: {0}")]
    Request(#[from] rcgen::Error),
    /// What came cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The whole took too long.
    #[error("not done within {0:?}")]
    Late(Duration),
}

impl OrderError {
    /// How long the directory wants to be left alone, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.client()? {
            ClientError::Refused { retry_after, .. } => *retry_after,
            ClientError::Fetch(_) => None,
        }
    }

    /// Whether it cost nothing at the directory: it was not reached, or not asked yet to look at a challenge. What it counts,
    /// and locks out for, are challenges that it saw fail.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let is_unreached = matches!(self.client(), Some(ClientError::Fetch(FetchError::Unreachable { .. })));
        is_unreached || matches!(self, Self::Unanswered { .. })
    }

    fn client(&self) -> Option<&ClientError> {
        let Self::Directory { source, .. } = self else { return None };
        let Error::Other(error) = &**source else { return None };
        error.downcast_ref()
    }

    fn problem(&self) -> Option<&Problem> {
        let Self::Directory { source, .. } = self else { return None };
        let Error::Api(problem) = &**source else { return None };
        Some(problem)
    }
}

fn at(doing: &'static str) -> impl Fn(Error) -> OrderError {
    move |source| OrderError::Directory { doing, source: Box::new(source) }
}

/// Orders a certificate for the names of `terms`, in place of `before` if that is from the same directory, and keeps it.
///
/// # Errors
/// Why there is none. What was kept before stays, but for an account that the directory does not know.
pub async fn order(parts: &Parts, terms: &Acme, before: Option<&Kept>, dice: &mut Dice) -> Result<Kept, OrderError> {
    let outcome = try_to_order(parts, terms, before, dice).await;
    let gone = outcome.as_ref().err().and_then(OrderError::problem).filter(|p| p.r#type.as_deref() == Some(NO_ACCOUNT));
    if let Some(problem) = gone {
        parts.store.leave(&terms.directory, &format!("the directory does not know this account: {problem}"));
    }
    outcome
}

async fn try_to_order(parts: &Parts, terms: &Acme, before: Option<&Kept>, dice: &mut Dice) -> Result<Kept, OrderError> {
    let server = parts.dns.ok_or(OrderError::NoDns)?;
    let account = account(parts, terms).await?;
    let mut order = begin(&account, terms, before).await?;
    // Whatever comes now, what was published for it goes with it.
    let published = prove(&mut order, &parts.challenges).await?;
    for (owner, values) in published.all() {
        let seen = look::until_answered(server, owner, values, (parts.clock, parts.pace.look), dice).await;
        seen.map_err(|source| OrderError::Unanswered { server, owner: owner.to_string(), source })?;
    }
    ask_to_look(&mut order).await?;
    let (key, request) = request(&names(terms))?;
    order.finalize_csr(&request).await.map_err(at("the end of the order"))?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(at("the certificate"))?;
    drop(published);
    Ok(parts.store.keep((&key, &chain), &terms.directory, &names(terms), parts.clock.wall())?)
}

/// When the directory would like `kept` to be replaced, and when it wants to be asked again.
///
/// # Errors
/// Why it does not say. [`Error::Unsupported`]: it says so to nobody.
pub async fn window(parts: &Parts, terms: &Acme, kept: &Kept) -> Result<(Option<Window>, Duration), OrderError> {
    let Some(id) = kept.id.as_ref() else { return Ok((None, ASK_AGAIN)) };
    let account = account(parts, terms).await?;
    match account.renewal_info(id).await {
        Ok((info, ask_again)) => {
            let wall = |at: i64| Duration::from_secs(u64::try_from(at).unwrap_or_default());
            let suggested = &info.suggested_window;
            let (start, end) = (suggested.start.unix_timestamp(), suggested.end.unix_timestamp());
            if let Some(explanation) = &info.explanation_url {
                tracing::info!(explanation, "the directory explains when it wants the certificate replaced");
            }
            Ok((Some(Window { start: wall(start), end: wall(end) }), ask_again))
        }
        Err(Error::Unsupported(_)) => Ok((None, super::schedule::ASK_AGAIN_MAX)),
        Err(error) => Err(at("the time for a new certificate")(error)),
    }
}

/// Whom we believe to be the directory.
fn trust(terms: &Acme) -> Trust {
    if terms.authority.is_empty() { Trust::new(&[]) } else { Trust::only(&terms.authority) }
}

/// The account that is kept, as the terms want it; or a new one.
async fn account(parts: &Parts, terms: &Acme) -> Result<Account, OrderError> {
    let failed = at("the account");
    let client = Client { trust: trust(terms), clock: parts.clock };
    let builder = Account::builder_with_http(Box::new(client));
    let contact: Vec<&str> = terms.contact.iter().map(String::as_str).collect();
    let (directory, bound_to) = (&terms.directory, terms.external_account.as_ref());
    let bound_as = bound_to.map(|bound| bound.id.to_string());
    if let Some(mut known) = parts.store.membership(directory) {
        match serde_json::from_value(known.credentials.clone()) {
            Ok(_) if known.bound_as != bound_as => parts.store.leave(directory, "another external account is wanted"),
            Ok(credentials) => {
                let account = builder.from_credentials(credentials).await.map_err(&failed)?;
                if known.contact != terms.contact {
                    account.update_contacts(&contact).await.map_err(&failed)?;
                    known.contact.clone_from(&terms.contact);
                    parts.store.join(directory, &known)?;
                }
                return Ok(account);
            }
            Err(_) => parts.store.leave(directory, "its credentials are none"),
        }
    }
    let client = Client { trust: trust(terms), clock: parts.clock };
    let bound = bound_to.map(|bound| ExternalAccountKey::new(bound.id.to_string(), &bound.key));
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(client));
    let created = builder.create(&wanted, directory.to_string(), bound.as_ref()).await;
    let (account, credentials) = created.map_err(&failed)?;
    tracing::info!(account = account.id(), %directory, "an account was made");
    let credentials = serde_json::to_value(credentials).map_err(Error::from).map_err(&failed)?;
    parts.store.join(directory, &Membership { contact: terms.contact.clone(), bound_as, credentials })?;
    Ok(account)
}

async fn begin(account: &Account, terms: &Acme, before: Option<&Kept>) -> Result<Order, OrderError> {
    let names: Vec<Identifier> = names(terms).into_iter().map(Identifier::Dns).collect();
    let wanted = || match &terms.profile {
        Some(profile) => NewOrder::new(&names).profile(profile),
        None => NewOrder::new(&names),
    };
    let failed = at("the order");
    // A directory that knows what an order replaces may favour it (RFC 9773 §5); one that does not, or has seen it replaced
    // already, gets an order like any other.
    let replaced = before.filter(|before| *before.directory == *terms.directory).and_then(|before| before.id.clone());
    if let Some(replaced) = replaced {
        match account.new_order(&wanted().replaces(replaced)).await {
            Ok(order) => return Ok(order),
            Err(error) if is_about_more(&error) => return Err(failed(error)),
            Err(error) => tracing::debug!(%error, "an order that replaces nothing is tried"),
        }
    }
    account.new_order(&wanted()).await.map_err(failed)
}

/// Whether an order would fail for this reason too if it replaced nothing.
fn is_about_more(error: &Error) -> bool {
    match error {
        Error::Api(problem) => problem.r#type.as_deref() == Some(NO_ACCOUNT),
        Error::Other(error) => error.is::<ClientError>(),
        _ => false,
    }
}

/// Publishes what the directory wants to see.
async fn prove<'a>(order: &mut Order, challenges: &'a Challenges) -> Result<OnShow<'a>, OrderError> {
    let mut shown: Vec<(Name, Vec<String>)> = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(at("what is to be proven"))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::Dns01);
        let challenge = challenge.ok_or_else(|| OrderError::NoDns01(name.clone()))?;
        let value = challenge.key_authorization().dns_value();
        let owner = owner(&name).ok_or_else(|| OrderError::NoDns01(name.clone()))?;
        // A name and its wildcard are proven at the same owner, both at once.
        match shown.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, values)) => values.push(value),
            None => shown.push((owner, vec![value])),
        }
    }
    Ok(OnShow::put(shown, challenges))
}

/// Where the challenge for a name is (RFC 8555 §8.4).
fn owner(name: &str) -> Option<Name> {
    let name = name.strip_prefix("*.").unwrap_or(name);
    Name::from_str(&format!("_acme-challenge.{name}.")).ok().map(|owner| owner.to_lowercase())
}

/// Has the directory look, and waits until it has seen everything.
async fn ask_to_look(order: &mut Order) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(at("what is to be proven"))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(ChallengeType::Dns01) {
            challenge.set_ready().await.map_err(at("a challenge"))?;
        }
    }
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(status) => Err(unproven(order).await.unwrap_or(OrderError::Ended(status))),
        Err(error @ Error::Api(_)) => Err(unproven(order).await.unwrap_or_else(|| at("the challenges")(error))),
        Err(error) => Err(at("the challenges")(error)),
    }
}

/// What the directory did not like.
async fn unproven(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let name = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(OrderError::Unproven { name, why: problem.to_string() });
        }
    }
    None
}

/// A new key, and the request for a certificate of it (RFC 2986).
fn request(names: &[String]) -> Result<(Zeroizing<String>, Vec<u8>), OrderError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    Ok((Zeroizing::new(key.serialize_pem()), request.der().to_vec()))
}

/// Challenges that are published, until this is dropped.
struct OnShow<'a> {
    shown: Vec<(Name, Vec<String>)>,
    challenges: &'a Challenges,
}

impl<'a> OnShow<'a> {
    fn put(shown: Vec<(Name, Vec<String>)>, challenges: &'a Challenges) -> Self {
        challenges.store(shown.clone().into());
        Self { shown, challenges }
    }

    fn all(&self) -> impl Iterator<Item = (&Name, &[String])> {
        self.shown.iter().map(|(owner, values)| (owner, &**values))
    }
}

impl Drop for OnShow<'_> {
    fn drop(&mut self) {
        self.challenges.store(Vec::new().into());
    }
}
