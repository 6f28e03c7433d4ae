//! Names and data of records as master files write them (RFC 1035 §5.1).
//!
//! One record's data at a time, without the directives and line breaks of such files, and read more strictly than
//! `hickory-proto` reads them: nothing surplus is passed over, and `\DDD` is decimal, as the RFC has it.

use super::service;
use crate::names::LABEL_BYTES_MAX;
use crate::topology::read::{Word, Wrong, quoted};
use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, HTTPS, MX, NAPTR, SRV, SSHFP, SVCB, TLSA};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use std::net::IpAddr;
use std::str::FromStr;

/// The types that the file may have, with an example of each.
pub const FORMS: [(RecordType, &str); 12] = [
    (RecordType::A, "192.0.2.1"),
    (RecordType::AAAA, "2001:db8::1"),
    (RecordType::CNAME, "www.example.com."),
    (RecordType::MX, "10 mx.example.com."),
    (RecordType::TXT, "v=spf1 -all"),
    (RecordType::CAA, "0 issue \"letsencrypt.org\""),
    (RecordType::SRV, "10 60 5060 sip.example.com."),
    (RecordType::HTTPS, "1 . alpn=h2,http/1.1"),
    (RecordType::SVCB, "1 dns.example.com. alpn=dot port=853"),
    (RecordType::TLSA, "3 1 1 0123…cdef"),
    (RecordType::SSHFP, "4 2 0123…cdef"),
    (RecordType::NAPTR, "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" ."),
];

/// Types that it may not have, what is wrong with them, and where they come from.
pub const MADE_BY_US: [(&[&str], &str, &str); 7] = [
    (
        &["NS"],
        "is made from nameservers, and nothing is delegated from this zone",
        "name the zone's own servers in nameservers of [zone]; give a zone below it a parent of its own",
    ),
    (&["SOA"], "is made by every node", "nameservers, hostmaster and negative_ttl of [zone] say what is in it"),
    (
        &["DNSKEY", "CDS", "CDNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM"],
        "is made from the keys of the zone",
        "add [zone.dnssec], and the zone is signed",
    ),
    (&["DS"], "belongs into the parent zone", "`anyfront dnssec ds` prints it for whoever runs the parent zone"),
    (&["ALIAS", "ANAME"], "is not needed", "write CNAME: inside the zone it is answered with what its target has"),
    (&["DNAME"], "is not answered here", "write a CNAME at \"*\" below the name"),
    (&["SPF"], "is written as TXT (RFC 7208)", "use type = \"TXT\""),
];

/// How `kind` is written.
fn form(kind: RecordType) -> String {
    let example = FORMS.iter().find(|(known, _)| *known == kind).map_or("", |(_, example)| example);
    format!("a record of type {kind} is written such as '{example}'")
}

/// The name that `text` means in the zone at `apex`: relative, `@`, or whole with a final dot.
///
/// # Errors
/// What is wrong with it.
pub fn name(text: &str, apex: &Name) -> Result<Name, Wrong> {
    let help = "a name has letters, digits, hyphens and underscores between dots; \"@\" is the zone itself";
    if text == "@" {
        return Ok(apex.clone());
    }
    if text == "." {
        return Ok(Name::root());
    }
    let (relative, is_whole) = text.strip_suffix('.').map_or((text, false), |whole| (whole, true));
    for label in relative.split('.') {
        if label.is_empty() {
            return Err(Wrong::new("has an empty label", help));
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err(Wrong::new(format!("has a label of more than {LABEL_BYTES_MAX} octets"), "shorten it"));
        }
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(bad) = label.chars().find(|c| label != "*" && !is_good(*c)) {
            let help = if bad.is_ascii() { help } else { "write it in the form of IDNA: \"xn--…\"" };
            return Err(Wrong::new(format!("has the character {bad:?}, which a name cannot have"), help));
        }
    }
    let lower = relative.to_ascii_lowercase();
    let above = apex.iter().filter(|_| !is_whole);
    Name::from_labels(lower.split('.').map(str::as_bytes).chain(above))
        .map_err(|_| Wrong::new("is longer than 255 octets with the zone's name", "shorten it"))
}

/// The owner that `text` means: in the zone, and `*` only as a whole first label.
///
/// # Errors
/// What is wrong with it.
pub fn owner(text: &str, apex: &Name) -> Result<Name, Wrong> {
    let owner = name(text, apex)?;
    if !apex.zone_of(&owner) {
        return Err(Wrong::new(
            format!("lies outside the zone {}", shown(apex)),
            "a dot at the end makes it a whole name: leave it out, or name something inside the zone",
        ));
    }
    if owner.iter().skip(1).any(|label| label == b"*") {
        return Err(Wrong::new("has a \"*\" after its first label", "a wildcard is \"*\", or \"*.\" and a name"));
    }
    let zone = shown(apex);
    if !text.ends_with('.')
        && (text.eq_ignore_ascii_case(&zone) || text.to_ascii_lowercase().ends_with(&format!(".{zone}")))
    {
        let inside = text[..text.len() - zone.len()].trim_end_matches('.');
        let relative = if inside.is_empty() { "@" } else { inside };
        return Err(Wrong::new(
            "repeats the name of the zone",
            format!("write {relative:?}, or {:?} with its dot", format!("{text}.")),
        ));
    }
    Ok(owner)
}

/// A name as people write it: without its final dot.
#[must_use]
pub fn shown(name: &Name) -> String {
    let text = name.to_ascii();
    if text == "." { text } else { text.trim_end_matches('.').to_owned() }
}

/// What `text` says of type `kind` in the zone at `apex`; not for TXT, whose text is its value.
///
/// # Errors
/// What is wrong with it.
pub fn data(kind: RecordType, text: &str, apex: &Name) -> Result<RData, Wrong> {
    let mut fields = Fields { rest: fields(text, kind)?.into(), kind, apex };
    let data = match kind {
        RecordType::A => match fields.address()? {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(_) => return Err(fields.wrong("is an IPv6 address; its type is AAAA")),
        },
        RecordType::AAAA => match fields.address()? {
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            IpAddr::V4(_) => return Err(fields.wrong("is an IPv4 address; its type is A")),
        },
        RecordType::CNAME => RData::CNAME(CNAME(fields.name("target")?)),
        RecordType::MX => RData::MX(MX::new(fields.number("preference")?, fields.name("mail server")?)),
        RecordType::SRV => {
            let (priority, weight) = (fields.number("priority")?, fields.number("weight")?);
            RData::SRV(SRV::new(priority, weight, fields.number("port")?, fields.name("target")?))
        }
        RecordType::CAA => fields.caa()?,
        RecordType::TLSA => {
            let (usage, selector): (u8, u8) = (fields.number("usage")?, fields.number("selector")?);
            let matching: u8 = fields.number("matching type")?;
            RData::TLSA(TLSA::new(
                usage.into(),
                selector.into(),
                matching.into(),
                fields.hex(digest_bytes_tlsa(matching))?,
            ))
        }
        RecordType::SSHFP => {
            let (algorithm, how): (u8, u8) = (fields.number("algorithm")?, fields.number("type of fingerprint")?);
            RData::SSHFP(SSHFP::new(algorithm.into(), how.into(), fields.hex(digest_bytes_sshfp(how))?))
        }
        RecordType::NAPTR => fields.naptr()?,
        RecordType::HTTPS => RData::HTTPS(HTTPS(fields.svcb()?)),
        RecordType::SVCB => RData::SVCB(fields.svcb()?),
        _ => return Err(fields.wrong("is of a type that is not known here")),
    };
    if let Some(surplus) = fields.rest.front() {
        let surplus = quoted(&String::from_utf8_lossy(&surplus.octets));
        return Err(fields.wrong(format!("has {surplus} after its end")));
    }
    Ok(data)
}

const fn digest_bytes_tlsa(matching: u8) -> Option<usize> {
    match matching {
        1 => Some(32),
        2 => Some(64),
        _ => None,
    }
}

const fn digest_bytes_sshfp(how: u8) -> Option<usize> {
    match how {
        1 => Some(20),
        2 => Some(32),
        _ => None,
    }
}

/// One field: its octets without quotes and escapes.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) octets: Vec<u8>,
    /// Whether it had escapes: a name cannot have any here.
    pub(super) is_escaped: bool,
}

/// The fields of `text`: parted by blanks; quotes hold blanks together, at a field's begin or after `=`.
fn fields(text: &str, kind: RecordType) -> Result<Vec<Field>, Wrong> {
    let wrong = |problem: &str| Wrong::new(problem, form(kind));
    let mut fields = Vec::new();
    let mut field: Option<Field> = None;
    let mut is_quoted = false;
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'"' if is_quoted => is_quoted = false,
            b'"' if field.as_ref().is_none_or(|field| field.octets.ends_with(b"=")) => {
                is_quoted = true;
                field.get_or_insert(Field { octets: Vec::new(), is_escaped: false });
            }
            b'"' => return Err(wrong("has a quotation mark inside a word")),
            b'\\' => {
                let escaped = escaped(&mut octets).ok_or_else(|| wrong("has a \\ that escapes nothing"))?;
                let field = field.get_or_insert(Field { octets: Vec::new(), is_escaped: true });
                field.is_escaped = true;
                field.octets.push(escaped);
            }
            b' ' | b'\t' if !is_quoted => fields.extend(field.take()),
            b';' if !is_quoted => {
                return Err(Wrong::new(
                    "has a ; outside of quotes, where a comment would begin",
                    "put the text around it into quotes",
                ));
            }
            b'(' | b')' if !is_quoted => return Err(wrong("has a parenthesis outside of quotes")),
            octet if octet.is_ascii_control() => return Err(wrong("has a control character or a line break")),
            octet => field.get_or_insert(Field { octets: Vec::new(), is_escaped: false }).octets.push(octet),
        }
    }
    if is_quoted {
        return Err(wrong("has a quotation mark that is not closed"));
    }
    fields.extend(field);
    Ok(fields)
}

/// What follows a backslash: three decimal digits are an octet, anything else is itself.
fn escaped(octets: &mut std::str::Bytes<'_>) -> Option<u8> {
    let digit = |octet: Option<u8>| octet.filter(u8::is_ascii_digit).map(|octet| u32::from(octet - b'0'));
    let first = octets.next()?;
    let Some(hundreds) = digit(Some(first)) else { return first.is_ascii_graphic().then_some(first) };
    let (tens, ones) = (digit(octets.next())?, digit(octets.next())?);
    u8::try_from(hundreds * 100 + tens * 10 + ones).ok()
}

/// The fields that are still to be read.
pub(super) struct Fields<'a> {
    pub(super) rest: std::collections::VecDeque<Field>,
    kind: RecordType,
    apex: &'a Name,
}

impl Fields<'_> {
    pub(super) fn wrong(&self, problem: impl Into<String>) -> Wrong {
        Wrong::new(problem, form(self.kind))
    }

    fn next(&mut self, what: &str) -> Result<Field, Wrong> {
        self.rest.pop_front().ok_or_else(|| self.wrong(format!("has no {what}")))
    }

    /// A field that is text in ASCII.
    fn word(&mut self, what: &str) -> Result<String, Wrong> {
        let field = self.next(what)?;
        let text = String::from_utf8(field.octets).ok().filter(|text| text.is_ascii() && !field.is_escaped);
        text.ok_or_else(|| self.wrong(format!("has a {what} with characters that it cannot have")))
    }

    pub(super) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let text = self.word(what)?;
        let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number.ok_or_else(|| self.wrong(format!("has {} as its {what}, which is no number that fits", quoted(&text))))
    }

    fn address(&mut self) -> Result<IpAddr, Wrong> {
        let text = self.word("address")?;
        <IpAddr as Word>::parse(&text)
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name, Wrong> {
        let text = self.word(what)?;
        if text.parse::<IpAddr>().is_ok() {
            return Err(self.wrong(format!("has an address as its {what}, where a name belongs")));
        }
        let name = name(&text, self.apex)
            .map_err(|wrong| Wrong::new(format!("has a {what} that {}", wrong.problem), wrong.help))?;
        if name.iter().any(|label| label == b"*") {
            return Err(self.wrong(format!("has a wildcard as its {what}")));
        }
        Ok(name)
    }

    /// All that is left, in hexadecimal digits; blanks between them do not matter.
    fn hex(&mut self, bytes: Option<usize>) -> Result<Vec<u8>, Wrong> {
        let mut digits = Vec::new();
        while let Some(field) = self.rest.pop_front() {
            digits.extend(field.octets);
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let pair = |pair: &[u8]| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?);
        let octets: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
        match octets {
            Some(octets) if octets.is_empty() => Err(self.wrong("has no hexadecimal digits at its end")),
            Some(octets) if bytes.is_some_and(|bytes| bytes != octets.len()) => {
                let bytes = bytes.unwrap_or_default();
                Err(self.wrong(format!("has a digest of {} octets, and its type has {bytes}", octets.len())))
            }
            Some(octets) => Ok(octets),
            None => Err(self.wrong("has something else than pairs of hexadecimal digits at its end")),
        }
    }

    /// A character string: at most 255 octets.
    fn string(&mut self, what: &str) -> Result<Box<[u8]>, Wrong> {
        let field = self.next(what)?;
        if field.octets.len() > super::words::STRING_BYTES_MAX {
            return Err(self.wrong(format!("has a {what} of more than 255 octets")));
        }
        Ok(field.octets.into())
    }

    /// CAA (RFC 8659 §4.1).
    fn caa(&mut self) -> Result<RData, Wrong> {
        let flags: u8 = self.number("flags")?;
        let tag = self.word("tag")?;
        let value = self.next("value")?.octets;
        if flags & 0x7f != 0 {
            return Err(self.wrong(format!("has flags {flags}, and there are 0 and 128")));
        }
        if tag.is_empty() || tag.len() > 15 || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.wrong("has a tag that is not 1 to 15 letters and digits"));
        }
        let mut caa = CAA::new_issue(flags != 0, None, Vec::new());
        caa.tag = tag.to_ascii_lowercase();
        caa.value = value;
        Ok(RData::CAA(caa))
    }

    /// NAPTR (RFC 3403 §4.1).
    fn naptr(&mut self) -> Result<RData, Wrong> {
        let (order, preference) = (self.number("order")?, self.number("preference")?);
        let (flags, services) = (self.string("flags")?, self.string("services")?);
        if !flags.iter().all(u8::is_ascii_alphanumeric) {
            return Err(self.wrong("has flags that are not letters and digits"));
        }
        let regexp = self.string("regular expression")?;
        let replacement = self.name("replacement")?;
        if !regexp.is_empty() && !replacement.is_root() {
            return Err(self.wrong("has a regular expression and a replacement, and may have one of them"));
        }
        Ok(RData::NAPTR(NAPTR::new(order, preference, flags, services, regexp, replacement)))
    }

    fn svcb(&mut self) -> Result<SVCB, Wrong> {
        let priority = self.number("priority")?;
        let target = self.name("target")?;
        let parameters = service::parameters(self, priority)?;
        Ok(SVCB::new(priority, target, parameters))
    }
}

/// How many octets `data` takes in a message, its names whole; 65 536 if it takes more than a message has.
#[must_use]
pub fn bytes(data: &RData) -> usize {
    data.to_bytes().map_or(1 << 16, |octets| octets.len())
}
